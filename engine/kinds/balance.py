"""`balance: [...]`: spreads requests over members that can all serve them.

Members are asked one after the other without repeating one, until one answers, a failure does not move on, or
`tries` of them have been asked. `rank` says who comes next: a draw by weight, a turn (round_robin), the
better of two drawn at random (in_flight, latency), or the cheapest.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, ClassVar

from engine.kinds.effects import Context, Draw, Effect, Measure, Next, Note, Outcome, Steps
from engine.kinds.walk import Rest, targets, walk, worse
from engine.plan.types import Node
from engine.policies.failures import moving
from engine.policies.selection import better, cheapest_first, two, weighted

Pick = Generator[Effect, Any, int]


@dataclass(frozen=True, slots=True)
class Balance(Node):
    """Members with their weights; `tries` members are asked in all, None = all of them."""

    kind: ClassVar[str] = "balance"
    children: tuple[Node, ...]
    weights: tuple[float, ...]
    rank: str  # weight round_robin in_flight latency cost
    tries: int | None = None


def steps(node: Balance, ctx: Context, rest: Rest | None) -> Steps:
    """Ask members until one answers. A skipped member does not count as asked."""
    moves = moving(node.call.failures)
    left = list(range(len(node.children)))
    if node.rank in {"round_robin", "cost"}:
        left = yield from _ordered(node, ctx)
    asked = 0
    last: Outcome | None = None
    while left and (node.tries is None or asked < node.tries):
        index = left.pop((yield from _pick(node, left, ctx)))
        last_try = node.tries is not None and asked + 1 >= node.tries
        others = () if last_try else [node.children[i] for i in left]
        outcome = yield from walk(node.children[index], ctx, Rest(others, moves, rest) if others else rest)
        if outcome.ok or outcome.final:
            return outcome
        if outcome.tried and outcome.failure not in moves:
            yield Note(node.id, "stopped", f"{outcome.failure} does not move on")
            return outcome
        asked += outcome.tried
        last = worse(last, outcome)
        if left:
            yield Note(node.id, "moved_on", f"{outcome.failure} at {outcome.deployment or index}")
    assert last is not None, "a balance has members"
    return last


def _ordered(node: Balance, ctx: Context) -> Generator[Effect, Any, list[int]]:
    """The whole order, where it is known before the first member is asked."""
    count = len(node.children)
    if node.rank == "round_robin":
        turn = (yield Next(node.id)) % count
        return [(turn + i) % count for i in range(count)]
    return cheapest_first((yield from _measure("cost", list(range(count)), node, ctx)))


def _pick(node: Balance, left: list[int], ctx: Context) -> Pick:
    """Position in `left` of the member to ask next."""
    if len(left) == 1 or node.rank in {"round_robin", "cost"}:
        return 0
    if node.rank == "weight":
        return weighted([node.weights[i] for i in left], (yield Draw()))
    first = yield Draw()
    second = yield Draw()
    a, b = two(len(left), first, second)
    what = "in_flight" if node.rank == "in_flight" else "latency"
    values = yield from _measure(what, [left[a], left[b]], node, ctx)
    return (a, b)[better(values, 0, 1)]


def _measure(
    what: str, members: list[int], node: Balance, ctx: Context
) -> Generator[Effect, Any, list[float]]:
    """One figure a member. A member that is a graph of its own stands for its first target."""
    leads = [next(targets(node.children[i], ctx), None) for i in members]
    known = tuple(lead.deployment for lead in leads if lead is not None)
    values = iter((yield Measure(what, known)))
    return [math.nan if lead is None else next(values) for lead in leads]
