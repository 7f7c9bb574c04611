"""Limits that cannot do what they say (`compiler/checks/limits.py`)."""

from __future__ import annotations

from engine.codes.code import Code
from engine.codes.examples import HERE, with_acme

_BIG = "deployments:\n  big: {provider: acme, model: large, region: eu%s}\n"


def _limited(limit: str, route: str = "", here: str = HERE) -> str:
    """One route that counts in one limit."""
    return here + f"limits:\n  l: {limit}\nroutes:\n  chat: {{limits: [l], {route}start: here}}\n"


CODES = (
    Code(
        "E270",
        "limit-never-serves",
        why="A limit of tokens holds, before a request goes out, the most that it may use: its input and its "
        "longest answer, which is `max_tokens`, else what the route admits, else what the model can write. "
        "A limit that never has so much turns every request away that names no `max_tokens`.",
        fix="Bound the answers with `admit: {output: ...}`, or let the limit have more at once (`burst`).",
        bad=with_acme(
            _BIG % "" + "limits:\n  l: {tokens: 8k/min}\nroutes:\n  chat: {limits: [l], start: big}\n"
        ),
        good=with_acme(
            _BIG % "" + "limits:\n  l: {tokens: 8k/min}\nroutes:\n"
            "  chat: {limits: [l], admit: {input: 3k, output: 1k}, start: big}\n"
        ),
    ),
    Code(
        "W270",
        "limit-too-small",
        why="The largest requests that a route admits, or the calls of a deployment, need more tokens than a "
        "limit ever has: they are turned away, or the deployment is skipped, whenever they come.",
        fix="Admit less, or let the limit have more at once (`burst`).",
        bad=with_acme(
            _BIG % "" + "limits:\n  l: {tokens: 8k/min}\nroutes:\n"
            "  chat: {limits: [l], admit: {input: 30k, output: 1k}, start: big}\n"
        ),
        good=with_acme(
            _BIG % "" + "limits:\n  l: {tokens: {rate: 8k/min, burst: 40k}}\nroutes:\n"
            "  chat: {limits: [l], admit: {input: 30k, output: 1k}, start: big}\n"
        ),
    ),
    Code(
        "E271",
        "limit-of-both",
        why="A limit that a route, a group, a key or a floor names counts clients' requests, each once; one "
        "that a deployment names counts the calls that are made there. The same limit would count a request "
        "and its own calls as several.",
        fix="Write two limits.",
        bad=_limited("{requests: 100/min}", here=HERE.replace("}", ", limits: [l]}")),
        good=HERE.replace("}", ", limits: [quota]}")
        + "limits:\n  l: {requests: 100/min}\n  quota: {requests: 500/min}\n"
        "routes:\n  chat: {limits: [l], start: here}\n",
    ),
    Code(
        "N271",
        "not-named",
        why="No route, group, floor, deployment or key in a file names the limit or the budget, so nothing "
        "counts in it, unless a key in the state store does: those are not seen when files are checked, "
        "hence a note and no warning.",
        fix="Name it where it should hold, or remove it.",
        bad=HERE + "limits:\n  l: {requests: 100/min}\nroutes:\n  chat: here\n",
        good=_limited("{requests: 100/min}"),
    ),
    Code(
        "W272",
        "limit-of-deployment",
        why="A deployment whose limit has no room is skipped, and the next target is asked: nobody waits or "
        "goes elsewhere by such a limit, and no client is told of the vendor's quota.",
        fix="Remove what does nothing; `fallback` says who is asked next.",
        bad=HERE.replace("}", ", limits: [quota]}")
        + "limits:\n  quota: {requests: 500/min, on_exceed: {queue: 2s}}\nroutes:\n  chat: here\n",
        good=HERE.replace("}", ", limits: [quota]}")
        + "limits:\n  quota: {requests: 500/min}\nroutes:\n  chat: here\n",
    ),
    Code(
        "E273",
        "partition-of-text",
        why="Each value of `per` is counted under its own name, which stands in the state store, in messages "
        "and in what `/admin/budgets` shows. What users write belongs into none of them.",
        fix="Count by who asks or what for.",
        bad=_limited("{per: request.text, requests: 100/min}"),
        good=_limited("{per: request.user, requests: 100/min}"),
    ),
    Code(
        "N270",
        "limit-counted-apart",
        why="A limit counts over all hosts where they share the state store. Memory is each process's own, "
        "and a SQLite file is the host's, so each lets as much through as the limit says.",
        fix="Write `state: redis://HOST:6379/0` to count over all of them, or `scope: host` where each may.",
        bad=_limited("{requests: 100/min}"),
        good=_limited("{requests: 100/min, scope: host}"),
    ),
)
