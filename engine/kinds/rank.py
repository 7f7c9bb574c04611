"""Who comes next in a `balance`: its ranks.

| rank | who is asked first | then |
|---|---|---|
| weight | drawn by weight | drawn again among the rest |
| round_robin | in turn | the next in the file's order |
| in_flight | of two drawn at random, the one with fewer open calls | drawn again |
| latency | of two drawn at random, the one where a call would be answered sooner | drawn again |
| cost | the cheapest | in that order |
| quality | the best | in that order |
| headroom | the one with most of its quota left | in that order |
| score | the highest score | in that order |

A member that is a graph of its own stands for its first target.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from engine.kinds.effects import Context, Draw, Effect, Measure, Next
from engine.kinds.use import Use
from engine.kinds.walk import targets
from engine.plan.types import Node
from engine.plan.values import Expr
from engine.policies.selection import (
    best_first,
    better,
    cheapest_first,
    load,
    mixed,
    most_left_first,
    two,
    weighted,
)

#: Ranks whose whole order is known before the first member is asked.
ORDERED: Final = frozenset({"round_robin", "cost", "quality", "headroom", "score"})


@dataclass(frozen=True, slots=True)
class Score:
    """`rank: score`: a mix by these weights, or what `by` gives over `deployment`, of which it reads `reads`.

    reads: fields that have to be measured.
    """

    quality: float = 0.0
    cost: float = 0.0
    speed: float = 0.0
    by: Expr | None = None
    reads: tuple[str, ...] = ()


#: Fields of `deployment` in an expression that are measured; the others are the plan's own.
MEASURED: Final = ("quality", "cost", "latency", "in_flight", "headroom")
_NANOS: Final = 1e9

Figures = Generator[Effect, Any, list[float]]


def order(
    rank: str, score: Score | None, node: str, members: Sequence[Node], ctx: Context
) -> Generator[Effect, Any, list[int]]:
    """The order of all members, for one of `ORDERED`; `node` is the id of the balance."""
    count = len(members)
    if rank == "round_robin":
        turn = (yield Next(node)) % count
        return [(turn + i) % count for i in range(count)]
    leads = _leads(members, ctx)
    if rank == "cost":
        return cheapest_first((yield from _measure("cost", leads)))
    if rank == "quality":
        return best_first((yield from _measure("quality", leads)))
    if rank == "headroom":
        left = yield from _measure("headroom", leads)
        return most_left_first(left, (yield Draw()))
    assert score is not None, "`rank: score` comes with one"
    if score.by is not None:
        return best_first((yield from _scored(score.by, score.reads, leads, ctx)))
    qualities = yield from _measure("quality", leads)
    costs = yield from _measure("cost", leads)
    loads = yield from _loads(leads)
    return best_first(mixed((score.quality, score.cost, score.speed), qualities, costs, loads))


def pick(
    rank: str, weights: Sequence[float], members: Sequence[Node], ctx: Context
) -> Generator[Effect, Any, int]:
    """Index of the member to ask next, for a rank that is drawn anew each time."""
    if len(members) == 1:
        return 0
    if rank == "weight":
        return weighted(weights, (yield Draw()))
    first = yield Draw()
    second = yield Draw()
    a, b = two(len(members), first, second)
    leads = _leads((members[a], members[b]), ctx)
    if rank == "in_flight":
        values = yield from _measure("in_flight", leads)
    else:
        values = yield from _loads(leads)
    return (a, b)[better(values, 0, 1)]


def _leads(members: Sequence[Node], ctx: Context) -> list[Use | None]:
    """The target that each member stands for; None where it has none for this request."""
    return [next(targets(member, ctx), None) for member in members]


def _measure(what: str, leads: Sequence[Use | None]) -> Figures:
    known = tuple(lead.deployment for lead in leads if lead is not None)
    values = iter((yield Measure(what, known)))
    return [math.nan if lead is None else next(values) for lead in leads]


def _loads(leads: Sequence[Use | None]) -> Figures:
    latencies = yield from _measure("latency", leads)
    open_calls = yield from _measure("in_flight", leads)
    return [load(*each) for each in zip(latencies, open_calls, strict=True)]


def _scored(by: Expr, reads: Sequence[str], leads: Sequence[Use | None], ctx: Context) -> Figures:
    """What the expression gives for each member; NaN where that is no number."""
    figures: dict[str, list[float]] = {}
    for what in reads:
        figures[what] = yield from _measure(what, leads)
    scores = []
    for index, lead in enumerate(leads):
        if lead is None:
            scores.append(math.nan)
            continue
        seen = {what: values[index] for what, values in figures.items()}
        value = ctx.value(by, _view(ctx, lead, seen))
        scores.append(math.nan if value is None else float(value))
    return scores


def _view(ctx: Context, lead: Use, seen: dict[str, float]) -> dict[str, Any]:
    """`deployment` of an expression; what is not known is absent."""
    found = ctx.deployment(lead.deployment)
    view: dict[str, Any] = {what: value for what, value in seen.items() if not math.isnan(value)}
    if "cost" in view:
        view["cost"] /= _NANOS
    for name in ("name", "provider", "model", "region", "residency"):
        view[name] = getattr(found, name)
    return view
