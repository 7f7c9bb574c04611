"""What deployments need of a provider: its settings, formats, regions, operations."""

from __future__ import annotations

from engine.codes.code import Code
from engine.codes.examples import ACME, ACME_ROUTED, PROVIDER, with_acme, with_dialect, with_provider

#: A route that takes embeddings.
EMBEDS = ACME_ROUTED.replace("chat: big", "e: {match: {operations: [embeddings]}, start: big}")

CODES = (
    Code(
        "E414",
        "undeclared-setting",
        why="A provider file reads a setting that it does not declare, or declares one whose own example "
        "does not fit.",
        fix="Declare it under `settings`, with `about`, and a `pattern` that its example and default match.",
        bad=with_provider(PROVIDER.replace("api.acme", "${{ settings.account }}.acme")),
        good={
            **with_provider(
                PROVIDER.replace("api.acme", "${{ settings.account }}.acme")
                + "settings: {account: {about: Your account's name., pattern: '[a-z]+', example: blue}}\n"
            ),
            "routes/main.yaml": ACME_ROUTED.replace("large}", "large, settings: {account: blue}}"),
        },
    ),
    Code(
        "E415",
        "setting-of-a-deployment",
        why="A deployment lacks a setting that its provider needs, has one that it does not know, or one "
        "that cannot stand where it belongs.",
        fix="Give the settings that the message names, under `settings` of the deployment.",
        bad=with_provider(PROVIDER + "settings: {account: {about: Your account's name.}}\n"),
        good={
            **with_provider(PROVIDER + "settings: {account: {about: Your account's name.}}\n"),
            "routes/main.yaml": ACME_ROUTED.replace("large}", "large, settings: {account: blue}}"),
        },
    ),
    Code(
        "E416",
        "address-of-settings",
        why="An address may hold a region and settings and nothing else, and where a setting decides the "
        "whole host, nobody can say where that lies.",
        fix="End the host with the vendor's own domain, or leave `residency` out.",
        bad=with_provider(
            "dialect: openai_chat\nauth: none\nbase_url: 'https://${{ settings.host }}/v1'\nresidency: eu\n"
            "settings: {host: {about: The server., default: api.acme.ai}}\n"
        ),
        good=with_provider(
            "dialect: openai_chat\nauth: none\nbase_url: 'https://${{ settings.host }}.acme.ai/v1'\n"
            "residency: eu\nsettings: {host: {about: The server., default: api}}\n"
        ),
    ),
    Code(
        "E417",
        "operation-without-format",
        why="A provider file says that it serves an operation that none of its formats has.",
        fix="Remove it from `operations`, or add a format that carries it to `speaks`.",
        bad=with_provider(PROVIDER + "operations: [chat, count_tokens]\n"),
        good=with_provider(PROVIDER + "operations: [chat]\n"),
    ),
    Code(
        "E418",
        "retired-provider",
        why="The service that a deployment names is no more.",
        fix="Use what the message names instead.",
        bad=with_provider("retired: It closed in October; its models are at beta.\n"),
        good=with_provider(PROVIDER),
    ),
    Code(
        "E419",
        "format-of-a-model",
        why="A model is spoken to in a format that its provider file does not list.",
        fix="Add the format to `speaks`, without a condition.",
        bad=with_provider(PROVIDER + "models: {large: {dialect: acme_messages}}\n"),
        good=with_provider(PROVIDER + "models: {large: {dialect: openai_chat}}\n"),
    ),
    Code(
        "E420",
        "model-of-a-region",
        why="The region of a deployment does not serve its model.",
        fix="Name a region that does, or another model.",
        bad={
            **with_acme(ACME_ROUTED.replace("large}", "large, region: eu}")),
            "providers.d/acme.yaml": ACME.replace("residency: eu}", "residency: eu, models: [small]}"),
        },
        good={
            **with_acme(ACME_ROUTED.replace("large}", "large, region: eu}")),
            "providers.d/acme.yaml": ACME.replace("residency: eu}", "residency: eu, models: [large]}"),
        },
    ),
    Code(
        "E421",
        "operation-not-served",
        why="A route takes requests of a kind that no target of one of its branches serves.",
        fix="Add a target that does, or leave the operation out of `match.operations`.",
        bad={
            **with_provider(PROVIDER),
            "routes/main.yaml": EMBEDS,
        },
        good={
            **with_provider(PROVIDER + "operations: [embeddings]\n"),
            "routes/main.yaml": EMBEDS,
        },
    ),
    Code(
        "E422",
        "format-spoken-twice",
        why="An entry of `speaks` says what holds already, or contradicts itself, so it could never be used.",
        fix="Remove it, or say `when` the format must be used.",
        bad=with_provider(PROVIDER + "speaks: [{dialect: openai_chat}]\n"),
        good=with_provider(
            PROVIDER + "speaks: [{dialect: openai_chat, when: request.tools, root: /with-tools/v1}]\n"
        ),
    ),
    Code(
        "E423",
        "errors-without-default",
        why="A list of errors says nothing of those that it does not name: a failure would have no class, or "
        "no name in the client's format.",
        fix="Write `default`: beside `rules` a failure class or `by_status`, in `types` a name.",
        bad=with_dialect("errors: {types: null, default: null}\n"),
        good=with_dialect("errors: {types: null}\n"),
    ),
    Code(
        "E424",
        "error-rule-without-use",
        why="A rule for errors names nothing that must hold, or names it nowhere, or is for a failure class "
        "that does not exist: it would silently never apply.",
        fix="Say what must hold: `status`, or `path`, `told` or `header` with `equals` or `matches`.",
        bad=with_provider(PROVIDER + "errors:\n  - {equals: [TOO_FAST], class: rate_limited}\n"),
        good=with_provider(PROVIDER + "errors:\n  - {path: code, equals: [TOO_FAST], class: rate_limited}\n"),
    ),
)
