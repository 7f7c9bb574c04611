"""Provider and dialect files (`spec/provider`, `compiler/lower_provider`, `lower_dialect`)."""

from __future__ import annotations

from engine.codes.code import Code
from engine.codes.examples import PROVIDER, with_dialect, with_provider

CODES = (
    Code(
        "E400",
        "no-dialect",
        why="A provider file does not say which wire format is spoken there.",
        fix="Write `dialect: openai_chat`, or another name out of `providers.d/dialects/`.",
        bad=with_provider("base_url: https://api.acme.ai/v1\nauth: {bearer: env:ACME_API_KEY}\n"),
        good=with_provider(PROVIDER),
    ),
    Code(
        "E401",
        "unknown-dialect",
        why="A provider file names a wire format that neither the workspace nor the engine has.",
        fix="Name one that exists, or write `providers.d/dialects/NAME.yaml`.",
        bad=with_provider(
            "dialect: openai_chatt\nbase_url: https://api.acme.ai/v1\nauth: {bearer: env:ACME_API_KEY}\n"
        ),
        good=with_provider(PROVIDER),
    ),
    Code(
        "E402",
        "where-it-runs",
        why="A provider file says nowhere, or twice, where the provider runs.",
        fix="Write either `base_url` or `regions`.",
        bad=with_provider("dialect: openai_chat\nauth: {bearer: env:ACME_API_KEY}\n"),
        good=with_provider(PROVIDER),
    ),
    Code(
        "E403",
        "plain-http",
        why="Prompts and keys would travel unencrypted over a public network.",
        fix="Use https. Plain http is for loopback and private addresses.",
        bad=with_provider(
            "dialect: openai_chat\nbase_url: http://api.acme.ai/v1\nauth: {bearer: env:ACME_API_KEY}\n"
        ),
        good=with_provider(PROVIDER),
    ),
    Code(
        "E404",
        "unknown-region",
        why="A region is named that the provider file does not list.",
        fix="Name a listed one, or list it with its address and residency.",
        bad=with_provider(
            "dialect: openai_chat\nauth: {bearer: env:ACME_API_KEY}\ndefault_region: ue\n"
            "regions:\n  eu: {base_url: 'https://eu.acme.ai/v1', residency: eu}\n"
        ),
        good=with_provider(
            "dialect: openai_chat\nauth: {bearer: env:ACME_API_KEY}\ndefault_region: eu\n"
            "regions:\n  eu: {base_url: 'https://eu.acme.ai/v1', residency: eu}\n"
        ),
    ),
    Code(
        "E406",
        "bad-regular-expression",
        why="Patterns run in RE2, whose time is linear in the text; what it cannot promise that for it "
        "does not take.",
        fix="Write it without look-around and back-references.",
        bad=with_provider(PROVIDER + "errors:\n  - {path: message, matches: '^(?!ok)', class: server}\n"),
        good=with_provider(PROVIDER + "errors:\n  - {path: message, matches: '^not ok', class: server}\n"),
    ),
    Code(
        "E407",
        "which-auth",
        why="`auth` names no scheme, or several, so it is not known how a call shows its key.",
        fix="Write one: `bearer: env:NAME`, `header: {...}`, `query: {...}`, or `auth: none`.",
        bad=with_provider(
            "dialect: openai_chat\nbase_url: https://api.acme.ai/v1\n"
            "auth: {query: {name: key}, bearer: env:ACME_API_KEY}\n"
        ),
        good=with_provider(PROVIDER),
    ),
    Code(
        "E408",
        "bad-shape",
        why="The `check` of a dialect's request is not a shape.",
        fix="A shape is a type word (text integer number flag map list any) or a map of type, required, "
        "values, min, max, fields, items, by, cases, any_of.",
        bad=with_dialect("operations: {chat: {request: {check: {type: mapp}}}}\n"),
        good=with_dialect("operations: {chat: {request: {check: {type: map}}}}\n"),
    ),
    Code(
        "E409",
        "half-an-ingress",
        why="A dialect is offered to clients although their requests cannot be read or their answers not "
        "written.",
        fix="Write `request.read` and `response.write`, or leave `ingress` out.",
        bad=with_dialect("operations: {chat: {request: {read: null}}}\n"),
        good=with_dialect("operations: {chat: {ingress: null, request: {read: null}}}\n"),
    ),
    Code(
        "E410",
        "undeclared-state",
        why="A stream rule sets state that is not declared, which is mostly a typo.",
        fix="Declare it under `state` with its first value.",
        bad=with_dialect("operations: {chat: {stream: {read: {rules: [{set: {sen: true}}]}}}}\n"),
        good=with_dialect(
            "operations: {chat: {stream: {read: {state: {seen: false}, rules: [{set: {seen: true}}]}}}}\n"
        ),
    ),
    Code(
        "E431",
        "where-to-call",
        why="A further call about a job has no address, or two.",
        fix="Write `url` where the vendor gives the whole address, `path` where the base URL goes in front.",
        bad=with_dialect(
            "operations: {chat: {poll: {status: '${{ body.s }}', pending: [run], succeeded: [ok], at: {}}}}\n"
        ),
        good=with_dialect(
            "operations: {chat: {poll: {status: '${{ body.status }}', pending: [run], succeeded: [ok], "
            "at: {path: '/jobs/${{ body.id }}'}}}}\n"
        ),
    ),
    Code(
        "E430",
        "option-of-another-decoder",
        why="An option stands beside a decoder that does not know it, so it would do nothing.",
        fix="Leave it out, or name the decoder that it belongs to.",
        bad=with_dialect("operations: {chat: {stream: {read: {options: {inner: base64-json}}}}}\n"),
        good=with_dialect(
            "operations: {chat: {stream: {read: {decoder: aws_eventstream, "
            "options: {inner: base64-json}}}}}\n"
        ),
    ),
    Code(
        "E427",
        "unknown-facts",
        why="`facts` of a provider file names a table of model facts that the engine does not ship.",
        fix="Write the name of a table, or leave `facts` out and list the models under `models`.",
        bad=with_provider(PROVIDER + "facts: opnai\n"),
        good=with_provider(PROVIDER + "facts: openai\nunknown_models: true\n"),
    ),
    Code(
        "E411",
        "adjust-unknown-field",
        why="An `adjust` rule names a field that a canonical request does not have, so it would never apply.",
        fix="Use the canonical name, not the vendor's: dotted, with lists passed through (`tools.strict`).",
        bad=with_provider(PROVIDER + "adjust: [{drop: [temprature]}]\n"),
        good=with_provider(PROVIDER + "adjust: [{drop: [temperature], when: request.reasoning}]\n"),
    ),
    Code(
        "E412",
        "native-only-unknown-field",
        why="`native_only` names a field that `request.check` does not know, which is mostly "
        "a typo: requests that have the field would go to targets that cannot understand it.",
        fix="Correct the name, or list the field under `request.check.fields`.",
        bad=with_dialect("operations: {chat: {native_only: [stor]}}\n"),
        good=with_dialect("operations: {chat: {native_only: [store]}}\n"),
    ),
    Code(
        "E413",
        "not-for-this-operation",
        why="A dialect says of an operation what only others can have: `batch` is for embeddings, whose "
        "inputs are answered one by one, and `stream` for chats.",
        fix="Leave it out.",
        bad=with_dialect("operations: {rerank: {batch: 100}}\n"),
        good=with_dialect("operations: {embeddings: {batch: 100}}\n"),
    ),
)
