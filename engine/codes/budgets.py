"""Budgets: what can never count, fit or be reached (`compiler/checks/budgets.py`)."""

from __future__ import annotations

from engine.codes.code import Code
from engine.codes.examples import HERE, with_acme

_BIG = "deployments:\n  big: {provider: acme, model: large, price: {input: $1/M, output: $4/M}}\n"
_FREE = "  free: {provider: acme, model: small, price: free}\n"


def _with(budgets: str) -> dict[str, str]:
    """A workspace whose one route counts in these budgets."""
    names = ", ".join(line.split(":")[0].strip() for line in budgets.splitlines())
    route = f"routes:\n  chat: {{budgets: [{names}], admit: {{input: 4k, output: 1k}}, start: big}}\n"
    return with_acme(_BIG + (_FREE if "use: free" in budgets else "") + route + "budgets:\n" + budgets)


def _required(per: str) -> dict[str, str]:
    """A workspace whose policy requires a budget that is kept by this."""
    floor = (
        "require:\n  all: {budgets: [a]}\nbudgets:\n  a: {limit: $5, window: rolling 24h, missing: share, "
    )
    route = "routes:\n  chat: {admit: {input: 4k, output: 1k}, start: big}\n"
    return with_acme(route, policies__floor=f"{_BIG}{floor}per: {per}}}\n")


CODES = (
    Code(
        "E276",
        "old-name-twice",
        why="`was` tells what a budget was called before it was renamed, and what was spent carries over. "
        "Said of two budgets, it would count twice.",
        fix="Leave it at the one that was renamed.",
        bad=_with(
            "  a: {limit: $5, window: rolling 24h, was: c}\n  b: {limit: $2, window: every 1h, was: c}\n"
        ),
        good=_with("  a: {limit: $5, window: rolling 24h, was: c}\n  b: {limit: $2, window: every 1h}\n"),
    ),
    Code(
        "E277",
        "step-by-deployment",
        why="A budget that is kept by the deployment has no partition before one is chosen, and a step below "
        "100% decides before that where a request goes.",
        fix="Let it jump at 100%, or keep the budget by something of the request or the key.",
        bad=_with(
            "  a: {limit: $5, window: rolling 24h, per: deployment.provider, steps: [{at: 80%, use: free}]}\n"
        ),
        good=_with(
            "  a: {limit: $5, window: rolling 24h, per: deployment.provider, "
            "steps: [{at: 100%, use: free}]}\n"
        ),
    ),
    Code(
        "E278",
        "required-per",
        why="A budget that a policy requires is a floor. If its `per` read the request, whoever asks could "
        "choose an unused partition by what is written there.",
        fix="Read `key.*` alone: what the operator wrote of the client key.",
        bad=_required("request.user"),
        good=_required("key.org"),
    ),
    Code(
        "W276",
        "budget-never-reached",
        why="Nothing that counts in the budget costs anything, or all of it counts in a smaller budget of "
        "the same window too, which is used up first.",
        fix="Count tokens, give the deployments a price, make it smaller than the other, or remove it.",
        bad=HERE
        + "budgets:\n  a: {limit: $5, window: rolling 24h}\nroutes:\n  chat: {budgets: [a], start: here}\n",
        good=HERE + "budgets:\n  a: {limit: 2M tokens, window: rolling 24h}\n"
        "routes:\n  chat: {budgets: [a], start: here}\n",
    ),
    Code(
        "W277",
        "budget-too-small",
        why="Before a call its worst case is reserved. Of a request as large as the route lets in, that is "
        "more than the whole budget wherever the request goes, so it is refused even by an unused one.",
        fix="Raise the limit, or lower what the route admits.",
        bad=_with("  a: {limit: $0.001, window: rolling 24h}\n"),
        good=_with("  a: {limit: $1, window: rolling 24h}\n"),
    ),
    Code(
        "W278",
        "jump-nowhere",
        why="A step of a budget or a limit leads to where the route's requests begin anyway: nothing gets "
        "cheaper by it.",
        fix="Jump to a cheaper node or deployment, or remove the `use`.",
        bad=_with("  a: {limit: $5, window: rolling 24h, steps: [{at: 80%, use: big}]}\n"),
        good=_with("  a: {limit: $5, window: rolling 24h, steps: [{at: 80%, use: free}]}\n"),
    ),
)
