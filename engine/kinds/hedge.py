"""`hedge: [...]`: a further call where the first takes long; the first good answer wins.

The losers are cancelled and their upstreams closed before the winner is handed on. A target that fails before
its time is up makes the next one start at once, whatever the failure: a hedge is a race, and `failures` has
no say in it.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, ClassVar

from engine.kinds.effects import Branch, Context, Effect, Measure, Note, Outcome, Race, Steps
from engine.kinds.walk import Rest, targets, walk
from engine.plan.types import Node
from engine.policies.failures import CLASSES

#: `after: p95` where the first one's latency is not known yet.
UNKNOWN_MS = 1_000

_ANY = frozenset(CLASSES)


@dataclass(frozen=True, slots=True)
class Hedge(Node):
    """Who races, in the order they are called. One of `after_ms` and `after_percentile` (10 to 99) is set."""

    kind: ClassVar[str] = "hedge"
    children: tuple[Node, ...]
    after_ms: int | None = None
    after_percentile: int | None = None


def steps(node: Hedge, ctx: Context, rest: Rest | None) -> Steps:
    """Race the children, each begun so long after the one before."""
    wait = yield from _after(node, ctx)
    children = node.children
    branches = tuple(
        Branch(
            # Whoever fails leaves the others to it: those that begin later, at the latest now.
            walk(child, ctx, Rest(children[place + 1 :], _ANY, rest) if place + 1 < len(children) else rest),
            after_ms=wait * place,
            role="hedge" if place else "answer",
        )
        for place, child in enumerate(children)
    )
    outcome: Outcome = yield Race(branches)
    if outcome.ok or outcome.final:
        yield Note(node.id, "hedged", f"{outcome.deployment or 'the graph'} answered first")
    return outcome


def _after(node: Hedge, ctx: Context) -> Generator[Effect, Any, int]:
    """Milliseconds between two beginnings."""
    if node.after_ms is not None:
        return node.after_ms
    first = next(targets(node.children[0], ctx), None)
    known = math.nan
    if first is not None:
        (known,) = yield Measure(f"p{node.after_percentile}", (first.deployment,))
    wait = UNKNOWN_MS if math.isnan(known) else math.ceil(known)
    told = "not known" if math.isnan(known) else f"{known:.0f} ms"
    yield Note(node.id, "raced", f"one every {wait} ms: the first one's p{node.after_percentile} is {told}")
    return wait
