"""One step into the graph: hands a node to its kind's behaviour, and knows who else could be asked.

`BEHAVIOURS` is filled from the table in `table.py`; a kind that has children calls `walk` and so need
not know what they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from engine.kinds.effects import Context, Outcome, Steps
from engine.kinds.use import Use
from engine.plan.types import Node


class Rest:
    """Who is left to ask after the node at hand, and for which failures: a link to the next outer one.

    Looked at only after a failure, so that a walk in which the first target answers pays nothing for it.
    """

    __slots__ = ("failures", "nodes", "outer")

    def __init__(self, nodes: Sequence[Node], failures: frozenset[str], outer: Rest | None) -> None:
        self.nodes = nodes
        self.failures = failures
        self.outer = outer

    def takes(self, failure: str, ctx: Context) -> bool:
        """True where some target that fits this request would be asked after this failure."""
        here: Rest | None = self
        while here is not None:
            if failure in here.failures and any(_fits(node, ctx) for node in here.nodes):
                return True
            here = here.outer
        return False


class Behaviour(NamedTuple):
    """What a kind does. `steps` walks a node; `targets` are those it could ask, in no promised order."""

    steps: Callable[[Any, Context, Rest | None], Steps]
    targets: Callable[[Any, Context], Iterator[Use]]


BEHAVIOURS: dict[str, Behaviour] = {}


def walk(node: Node, ctx: Context, rest: Rest | None = None) -> Steps:
    """The steps of any node: `outcome = yield from walk(child, ctx, rest)`."""
    return BEHAVIOURS[node.kind].steps(node, ctx, rest)


def targets(node: Node, ctx: Context) -> Iterator[Use]:
    """The targets that a node could ask for this request."""
    return BEHAVIOURS[node.kind].targets(node, ctx)


def children_targets(node: Any, ctx: Context) -> Iterator[Use]:
    """`targets` of a kind that may ask any of its children."""
    for child in node.children:
        yield from targets(child, ctx)


def no_targets(_node: Any, _ctx: Context) -> Iterator[Use]:
    """`targets` of a kind that answers by itself."""
    return iter(())


def worse(last: Outcome | None, new: Outcome) -> Outcome:
    """Which of two failures is told when nobody is left: a call's own error before a skip, the later before
    the earlier. Targets skipped for different reasons are `full` together: nobody could be asked. Of skips
    the soonest says when to come back.
    """
    if last is None or new.tried:
        return new
    if last.tried:
        return last
    delays = [each.retry_after_ms for each in (last, new) if each.retry_after_ms is not None]
    soonest = min(delays, default=None)
    if last.failure == new.failure:
        return replace(last, retry_after_ms=soonest)
    words = "no target can take this request now"
    return Outcome(ok=False, failure="full", message=words, retry_after_ms=soonest, tried=False)


def _fits(node: Node, ctx: Context) -> bool:
    return any(ctx.unfit(target) is None for target in targets(node, ctx))
