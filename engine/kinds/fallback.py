"""`fallback: [...]`: the first that answers, in order; `failures` says which failures move on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from engine.kinds.effects import Context, Note, Outcome, Steps
from engine.kinds.walk import Rest, walk, worse
from engine.plan.types import Node
from engine.policies.failures import moving


@dataclass(frozen=True, slots=True)
class Fallback(Node):
    """An ordered chain."""

    kind: ClassVar[str] = "fallback"
    children: tuple[Node, ...]


def steps(node: Fallback, ctx: Context, rest: Rest | None) -> Steps:
    """Ask one child after the other. A skipped one never stops the chain: it was not asked."""
    moves = moving(node.call.failures)
    children = node.children
    last: Outcome | None = None
    for index, child in enumerate(children, 1):
        after = Rest(children[index:], moves, rest) if index < len(children) else rest
        outcome = yield from walk(child, ctx, after)
        if outcome.ok or outcome.final:
            return outcome
        if outcome.tried and outcome.failure not in moves:
            yield Note(node.id, "stopped", f"{outcome.failure} does not move on")
            return outcome
        last = worse(last, outcome)
        if index < len(children):
            yield Note(node.id, "moved_on", f"{outcome.failure} at {outcome.deployment or child.id}")
    assert last is not None, "a fallback has children"
    return last
