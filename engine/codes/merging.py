"""Many files to one workspace (`compiler/merge`, `overlay`, `extends`)."""

from __future__ import annotations

from engine.codes.code import Code
from engine.codes.examples import ROUTED

CODES = (
    Code(
        "E201",
        "defined-twice",
        why="One name is defined once, whatever file it stands in. Were the last one to win, the order of "
        "files would decide what runs.",
        fix="Keep one of them, or rename one. A change for one environment belongs into envs/NAME/.",
        bad={
            "routes/a.yaml": "deployments:\n  gpt: {provider: openai, model: gpt-5-mini}\nroutes:\n  chat:"
            " gpt\n",
            "routes/b.yaml": "deployments:\n  gpt: {provider: openai, model: gpt-5}\n",
        },
        good={
            "routes/a.yaml": "deployments:\n  gpt: {provider: openai, model: gpt-5-mini}\nroutes:\n  chat:"
            " gpt\n",
            "routes/b.yaml": "deployments:\n  gpt5: {provider: openai, model: gpt-5}\nroutes:\n  big: gpt5\n",
        },
    ),
    Code(
        "E202",
        "policy-section-elsewhere",
        why="`require` and `residency` are the floor under every route. A floor that a route's own file "
        "could set would be none, so they count only from policies/.",
        fix="Move the section to a file in policies/.",
        bad="require:\n  eu: {residency: [eu]}\ndeployments:\n  here: {provider: onnx, model:"
        " smollm2-135m-instruct}\nroutes:\n  chat: here\n",
        good={
            "policies/eu.yaml": "require:\n  eu: {residency: [on_host]}\n",
            "routes/a.yaml": ROUTED,
        },
    ),
    Code(
        "E203",
        "overlay-of-nothing",
        why="An overlay changes what exists. A name that does not exist is mostly a typo, and would "
        "otherwise become a second definition that nobody uses.",
        fix="Correct the name, or write `$add: true` beside the new definition.",
        bad={
            "routes/a.yaml": ROUTED,
            "envs/prod/a.yaml": "deployments:\n  hear: {concurrent: 4}\n",
        },
        good={
            "routes/a.yaml": ROUTED,
            "envs/prod/a.yaml": "deployments:\n  here: {concurrent: 4}\n",
        },
    ),
    Code(
        "E204",
        "policy-overlaid",
        why="What policies/ define cannot be changed, patched or removed from anywhere else.",
        fix="Change it in the policy file, or give the overlay a definition of its own.",
        bad={
            "policies/floor.yaml": "require:\n  all: {limits: [slow]}\nlimits:\n  slow: {requests: 10/min}\n",
            "routes/a.yaml": ROUTED,
            "envs/prod/a.yaml": "limits:\n  slow: {requests: 100/min}\n",
        },
        good={
            "routes/a.yaml": ROUTED,
            "envs/prod/a.yaml": "routes:\n  chat: {timeout: {total: 30s}}\n",
        },
    ),
    Code(
        "E205",
        "overlaid-twice",
        why="Two overlay files of one environment set the same value, and the order of files means nothing.",
        fix="Keep one of them.",
        bad={
            "routes/a.yaml": ROUTED,
            "envs/prod/a.yaml": "deployments:\n  here: {concurrent: 4}\n",
            "envs/prod/b.yaml": "deployments:\n  here: {concurrent: 8}\n",
        },
        good={
            "routes/a.yaml": ROUTED,
            "envs/prod/a.yaml": "deployments:\n  here: {concurrent: 4}\n",
            "envs/prod/b.yaml": "routes:\n  chat: {timeout: {total: 30s}}\n",
        },
    ),
    Code(
        "E206",
        "shipped-name",
        why="A file in providers.d/ has the name of one that the engine ships. Replacing prices, "
        "residency and wire quirks by accident must not happen in silence.",
        fix="Write `extends: NAME` to patch the shipped file, `replace: true` to replace it, or rename "
        "yours.",
        bad={
            "providers.d/openai.yaml": "dialect: openai_chat\nbase_url: https://me.example/v1\nauth: none\n"
        },
        good={"providers.d/openai.yaml": "extends: openai\n"},
    ),
    Code(
        "E207",
        "extends-nothing",
        why="`extends` names a file that does not exist, or files extend one another in a circle.",
        fix="Name a provider (or dialect) that exists; `engine providers list` shows them.",
        bad={"providers.d/acme.yaml": "extends: opanai\n"},
        good={
            "providers.d/acme.yaml": "extends: openai\nbase_url: https://api.acme.ai/v1\nresidency: us\n"
            "auth: {bearer: env:ACME_API_KEY}\n"
        },
    ),
    Code(
        "W204",
        "removes-nothing",
        why="`null` in an overlay or an extending file removes a value, and there is none here.",
        fix="Remove the line.",
        bad={
            "routes/a.yaml": ROUTED,
            "envs/prod/a.yaml": "deployments:\n  here: {concurrent: null}\n",
        },
        good={
            "routes/a.yaml": "deployments:\n  here: {provider: onnx, model: smollm2-135m-instruct,"
            " concurrent: 4}\n"
            "routes:\n  chat: here\n",
            "envs/prod/a.yaml": "deployments:\n  here: {concurrent: null}\n",
        },
    ),
    Code(
        "W205",
        "adds-nothing",
        why="`$add: true` allows an overlay new names, and every name beside it exists.",
        fix="Remove it: while it stands there, a typo would pass.",
        bad={
            "routes/a.yaml": ROUTED,
            "envs/prod/a.yaml": "deployments:\n  $add: true\n  here: {concurrent: 4}\n",
        },
        good={
            "routes/a.yaml": ROUTED,
            "envs/prod/a.yaml": "deployments:\n  there: {$add: true, provider: onnx, model:"
            " smollm2-135m-instruct}\nroutes:\n  spare: {$add: true, start: there}\n",
        },
    ),
)
