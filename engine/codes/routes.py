"""What routes do that they cannot mean (`compiler/checks/`)."""

from __future__ import annotations

from engine.codes.code import Code
from engine.codes.examples import ACME, HERE, TWO, with_acme

CODES = (
    Code(
        "E220",
        "ambiguous-match",
        why="Two routes take the same model by the same pattern, and a request can meet the conditions of "
        "both. Which one serves would depend on the order of files.",
        fix="Give them other names in `match.models`, or a `match.when` each that excludes the other.",
        bad=HERE + "routes:\n  a: {match: {models: [chat]}, start: here}\n"
        "  b: {match: {models: [chat]}, start: here}\n",
        good=HERE
        + "routes:\n  a: {match: {models: [chat], when: request.stream}, start: here}\n"
        + "  b: {match: {models: [chat], when: not request.stream}, start: here}\n",
    ),
    Code(
        "W221",
        "listed-twice",
        why="A list of models names one twice; the second changes nothing.",
        fix="Remove one.",
        bad=HERE + "routes:\n  a: {match: {models: [chat, chat]}, start: here}\n",
        good=HERE + "routes:\n  a: {match: {models: [chat, talk]}, start: here}\n",
    ),
    Code(
        "W222",
        "unused",
        why="No route leads to a deployment or node, or no deployment uses a credential. It is mostly a "
        "typo somewhere else, or the rest of an old route.",
        fix="Use it, or remove it. It is not part of the plan.",
        bad=TWO + "routes:\n  chat: here\n",
        good=TWO + "routes:\n  chat: {start: {fallback: [here, there]}}\n",
    ),
    Code(
        "W223",
        "unreachable-branch",
        why="No request can come to a branch: its condition never holds, or an earlier branch takes all "
        "that meet it, or what stands before it always answers.",
        fix="Remove it, or put it before the branch that takes its requests.",
        bad=TWO + "routes:\n  chat:\n    start:\n      switch:\n"
        "        - {when: request.input_tokens > 1k, use: here}\n"
        + "        - {when: request.input_tokens > 4k, use: there}\n      else: there\n",
        good=TWO + "routes:\n  chat:\n    start:\n      switch:\n"
        "        - {when: request.input_tokens > 4k, use: there}\n"
        + "        - {when: request.input_tokens > 1k, use: here}\n      else: there\n",
    ),
    Code(
        "E228",
        "capability-gap",
        why="`admit` lets requests in that no target of a branch can serve, so they would all fail there.",
        fix="Add a target that can, lead such requests elsewhere with a `switch`, or lower `admit`.",
        bad=with_acme(
            "deployments:\n  low: {provider: acme, model: small, region: eu}\nroutes:\n"
            "  chat: {admit: {tools: true}, start: low}\n"
        ),
        good=with_acme(
            "deployments:\n  low: {provider: acme, model: small, region: eu}\n"
            "  big: {provider: acme, model: large, region: eu}\nroutes:\n"
            "  chat:\n    admit: {tools: true}\n    start:\n      switch:\n"
            "        - {when: 'request.has(\"tools\")', use: big}\n      else: low\n"
        ),
    ),
    Code(
        "W229",
        "calls-below-chain",
        why="`per_request.calls` is smaller than the longest chain of targets: when the others fail, the "
        "last is never asked.",
        fix="Allow as many calls as the chain has targets, or drop a target.",
        bad=TWO + "routes:\n  chat: {per_request: {calls: 1}, start: {fallback: [here, there]}}\n",
        good=TWO + "routes:\n  chat: {per_request: {calls: 2}, start: {fallback: [here, there]}}\n",
    ),
    Code(
        "W234",
        "one-member",
        why="A fallback or balance of one member is that member.",
        fix="Name another member, or use this one directly.",
        bad=HERE + "routes:\n  chat: {start: {balance: [here]}}\n",
        good=TWO + "routes:\n  chat: {start: {balance: [here, there]}}\n",
    ),
    Code(
        "W235",
        "same-member-twice",
        why="A chain or balance names the same target twice with the same options.",
        fix="Remove one; more calls to one target are `retry`, a larger share is `weight`.",
        bad=HERE + "routes:\n  chat: {start: {fallback: [here, here]}}\n",
        good=TWO + "routes:\n  chat: {start: {fallback: [here, there]}}\n",
    ),
    Code(
        "W260",
        "quality-unknown",
        why="A balance ranks by quality, and nobody says how good a member is: it is taken for the worst, "
        "whatever it is.",
        fix="Write `quality`, a measure of your own, at the deployment or at its model in the provider file.",
        bad=TWO + "routes:\n  chat: {start: {balance: [here, there], rank: quality}}\n",
        good="deployments:\n  here: {provider: onnx, model: smollm2-135m-instruct, quality: 0.3}\n"
        "  there: {provider: onnx, model: smollm2-135m-instruct, threads: 2, quality: 0.2}\n"
        "routes:\n  chat: {start: {balance: [here, there], rank: quality}}\n",
    ),
    Code(
        "W266",
        "label-unread",
        why="A `classify` gives a label that nothing below it reads: it works, and asks its judge or "
        "embedder, for nothing.",
        fix="Read the label in a `switch` below, or use the node below itself.",
        bad=HERE + "routes:\n  chat:\n    start:\n"
        "      {classify: here, as: task, via: keywords, labels: {code: [traceback], rest: else}}\n",
        good=TWO + "routes:\n  chat:\n    start:\n"
        "      classify: {switch: [{when: 'label.task == \"code\"', use: here}], else: there}\n"
        "      as: task\n      via: keywords\n      labels: {code: [traceback], rest: else}\n",
    ),
    Code(
        "W261",
        "headroom-unknown",
        why="A balance ranks by what is left of quotas, and the answers of a member's provider do not tell "
        "that: its quota counts as full, always.",
        fix="Name the provider's headers under `headroom` in its file, or the quota in the deployment's "
        "`limits`, or rank otherwise.",
        bad=TWO + "routes:\n  chat: {start: {balance: [here, there], rank: headroom}}\n",
        good=TWO + "routes:\n  chat: {start: {balance: [here, there], rank: in_flight}}\n",
    ),
    Code(
        "W264",
        "nobody-goes-on",
        why="`on_cut: continue` asks for the rest of a broken stream at targets whose facts have `prefill` "
        "(they go on with an answer that is begun), and no target of the route has it: every broken stream "
        "ends with an error event.",
        fix="Add a target that can, list `prefill` and `stream` under `can` of a model of yours that goes "
        "on with a last message of the assistant's, or write `switch_until: complete` to have nothing sent "
        "before the end.",
        bad=with_acme(
            "deployments:\n  low: {provider: acme, model: small}\nroutes:\n"
            "  chat: {stream: {on_cut: continue}, start: low}\n"
        ),
        good=with_acme(
            "deployments:\n  low: {provider: acme, model: small}\n  pre: {provider: acme, model: able}\n"
            "routes:\n  chat: {stream: {on_cut: continue}, start: {fallback: [low, pre]}}\n"
        ),
    ),
    Code(
        "W269",
        "nothing-to-go-on-from",
        why="With `switch_until: complete` the client sees nothing before the end, and whatever breaks is "
        "answered anew by another target. `on_cut: continue` is about answers that the client has begun to "
        "read: beside it, it does nothing.",
        fix="Remove `on_cut`, or `switch_until` where the client shall see the answer grow.",
        bad=with_acme(
            "deployments:\n  pre: {provider: acme, model: able}\nroutes:\n"
            "  chat: {stream: {switch_until: complete, on_cut: continue}, start: pre}\n"
        ),
        good=with_acme(
            "deployments:\n  pre: {provider: acme, model: able}\nroutes:\n"
            "  chat: {stream: {switch_until: complete}, start: pre}\n"
        ),
    ),
    Code(
        "W236",
        "never-retried",
        why="`retry.failures` names a class after which the same target is never asked again: it would "
        "fail the same way. Retried in place are `connect`, `server`, `cut`, `rate_limited`, and "
        "`timeout` and `overloaded` where they are named.",
        fix="Remove it; `failures` says what moves on to the next target.",
        bad=HERE + "routes:\n  chat: {start: {use: here, retry: {extra: 1, failures: [auth]}}}\n",
        good=HERE + "routes:\n  chat: {start: {use: here, retry: {extra: 1, failures: [connect]}}}\n",
    ),
    Code(
        "W237",
        "timeout-never-binds",
        why="A timeout can never end a call, because a shorter one that runs at the same time always does "
        "before.",
        fix="Make it shorter than the other, or remove it.",
        bad=HERE + "routes:\n  chat: {timeout: {first_token: 60s, total: 30s}, start: here}\n",
        good=HERE + "routes:\n  chat: {timeout: {first_token: 10s, total: 30s}, start: here}\n",
    ),
    Code(
        "W238",
        "param-dropped",
        why="A target sets a parameter that its provider does not take: it is left out of every call.",
        fix="Remove it, or use another target.",
        bad=with_acme(
            "deployments:\n  big: {provider: acme, model: large, region: eu}\nroutes:\n"
            "  chat: {start: {use: big, params: {logit_bias: {}}}}\n"
        ),
        good=with_acme(
            "deployments:\n  big: {provider: acme, model: large, region: eu}\nroutes:\n"
            "  chat: {start: {use: big, params: {temperature: 0}}}\n"
        ),
    ),
    Code(
        "W258",
        "nobody-waits",
        why="A route says who is served first of those who wait (`priority`, `fair_by`), and nobody ever "
        "waits: neither it nor a deployment that it reaches has a queue.",
        fix="Give one a queue with `concurrent: {most: ..., queue: ...}`, or remove the key.",
        bad=HERE + "routes:\n  chat: {priority: 7, start: here}\n",
        good=HERE + "routes:\n  chat: {priority: 7, concurrent: {most: 4, queue: 20}, start: here}\n",
    ),
    Code(
        "W268",
        "never-probed",
        why="A deployment has `probe`, and each of its credentials is kept for some client keys (`only`). "
        "A probe is the engine's own call: no client key stands behind it, so there is none to show.",
        fix="Give the deployment a credential without `only` beside them, or remove `probe`.",
        bad=with_acme(
            "deployments:\n"
            "  big: {provider: acme, model: large, region: eu, credentials: theirs, probe: {}}\n"
            "credentials:\n"
            "  theirs: {provider: acme, secret: env:THEIR_KEY, only: 'key.org == \"acme\"'}\n"
            "keys: {orgs: [acme]}\nroutes:\n  chat: big\n"
        ),
        good=with_acme(
            "deployments:\n  big: {provider: acme, model: large, region: eu, credentials: ours, probe: {}}\n"
            "credentials:\n  ours: {provider: acme, secret: env:OUR_KEY}\nroutes:\n  chat: big\n"
        ),
    ),
    Code(
        "W259",
        "wait-beyond-deadline",
        why="A request may wait for a place of its route, or for room in a limit, for as long as it may take "
        "at all, so that who waited so long would have no time left for an answer.",
        fix="Make `concurrent.wait`, or the limit's `queue`, shorter than `per_request.time`.",
        bad=HERE + "routes:\n  chat: {per_request: {time: 5s}, concurrent: {most: 4, queue: 20, wait: 10s}, "
        "start: here}\n",
        good=HERE + "routes:\n  chat: {per_request: {time: 60s}, concurrent: {most: 4, queue: 20, wait: 10s}"
        ", start: here}\n",
    ),
    Code(
        "E249",
        "loss",
        why="The route says `strict: lossless`, and a target would lose a part of the requests that the "
        "route admits: the wire format there, or the vendor's file, has no room for it. `engine providers "
        "ledger CLIENT UPSTREAM` shows all that is lost between two formats.",
        fix="Keep such requests out with `admit`, take a target that carries them, or narrow the route to "
        "clients whose format loses nothing there.",
        bad={
            "providers.d/acme.yaml": ACME.replace("logit_bias", "tools"),
            "routes/main.yaml": "deployments:\n  big: {provider: acme, model: large, region: eu}\nroutes:\n"
            "  chat: {strict: lossless, start: big}\n",
        },
        good=with_acme(
            "deployments:\n  big: {provider: acme, model: large, region: eu}\nroutes:\n"
            "  chat: {strict: lossless, start: big}\n"
        ),
    ),
    Code(
        "W241",
        "no-route",
        why="The workspace has no route, so every request will be answered with 404.",
        fix="Add one: `routes: {assistant: NAME_OF_A_DEPLOYMENT}`.",
        bad=HERE,
        good=HERE + "routes:\n  chat: here\n",
    ),
)
