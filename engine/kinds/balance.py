"""`balance: [...]`: spreads requests over members that can all serve them.

Members are asked one after the other without repeating one, until one answers, a failure does not move on, or
`tries` of them have been asked. `rank` says who comes next (`kinds/rank.py`).

With `sticky`, requests of one value begin where the last of them was answered; the first of them, under
`rank: weight`, where a hash of the value says, so that several processes agree. Where that member fails, the
others are asked by rank, and who answers is the new home; a member that only cannot do what this request
needs stays the home of the next.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, ClassVar

from engine.kinds.effects import Context, Effect, Keep, Note, Outcome, Recall, Steps
from engine.kinds.rank import ORDERED, Score, order, pick
from engine.kinds.use import Use
from engine.kinds.walk import Rest, walk, worse
from engine.plan.types import Node
from engine.plan.values import Expr
from engine.policies.failures import moving
from engine.policies.selection import weighted
from engine.policies.shares import WHOLE, point

#: A member is skipped for these because of what this one request needs.
_REQUESTS_OWN = frozenset({"unsupported", "context_length"})


@dataclass(frozen=True, slots=True)
class Sticky:
    """Requests of one value of `by` go to one member, until none came for `ttl_ms`."""

    by: Expr
    ttl_ms: int


@dataclass(frozen=True, slots=True)
class Balance(Node):
    """Members with their weights; `tries` members are asked in all, None = all of them."""

    kind: ClassVar[str] = "balance"
    children: tuple[Node, ...]
    weights: tuple[float, ...]
    rank: str  # weight round_robin in_flight latency cost quality headroom score
    tries: int | None = None
    sticky: Sticky | None = None
    score: Score | None = None


def steps(node: Balance, ctx: Context, rest: Rest | None) -> Steps:
    """Ask members, the home of a sticky request first."""
    if node.sticky is None:
        return (yield from _ask(node, ctx, rest, None, []))
    value = ctx.value(node.sticky.by)
    if not value:
        return (yield from _ask(node, ctx, rest, None, []))
    key = f"{node.id}\0{value}"
    home = yield from _home(node, (yield Recall("sticky", key)))
    asked: list[tuple[int, Outcome]] = []
    if home is None and node.rank == "weight":
        home = weighted(node.weights, point(node.id, value) / WHOLE)
    outcome = yield from _ask(node, ctx, rest, home, asked)
    if outcome.ok:
        index, _ = asked[-1]
        if home is not None and asked[0][0] == home and asked[0][1].failure in _REQUESTS_OWN:
            index = home
        yield Keep("sticky", key, _name(node.children[index]), node.sticky.ttl_ms)
    return outcome


def _ask(
    node: Balance, ctx: Context, rest: Rest | None, home: int | None, seen: list[tuple[int, Outcome]]
) -> Steps:
    """Ask members until one answers. A skipped one does not count as asked. `seen` gets all outcomes."""
    moves = moving(node.call.failures)
    ordered = node.rank in ORDERED
    left = list(range(len(node.children)))
    if ordered:
        left = yield from order(node.rank, node.score, node.id, node.children, ctx)
    asked = 0
    last: Outcome | None = None
    while left and (node.tries is None or asked < node.tries):
        index = left.pop((yield from _next(node, left, ctx, home)))
        last_try = node.tries is not None and asked + 1 >= node.tries
        others = () if last_try else [node.children[i] for i in left]
        outcome = yield from walk(node.children[index], ctx, Rest(others, moves, rest) if others else rest)
        seen.append((index, outcome))
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


def _next(node: Balance, left: list[int], ctx: Context, home: int | None) -> Generator[Effect, Any, int]:
    """Position in `left` of the member to ask next."""
    if home is not None and home in left:
        return left.index(home)
    if node.rank in ORDERED:
        return 0
    return (
        yield from pick(node.rank, [node.weights[i] for i in left], [node.children[i] for i in left], ctx)
    )


def _home(node: Balance, name: str | None) -> Generator[Effect, Any, int | None]:
    """The member of that name; None where there is none, or no longer."""
    if name is None:
        return None
    for index, child in enumerate(node.children):
        if _name(child) == name:
            yield Note(node.id, "took", f"{name}, where this value was served before")
            return index
    return None


def _name(member: Node) -> str:
    """What a member is remembered by: its deployment, so that the order in the file does not matter."""
    return member.deployment if isinstance(member, Use) else member.id
