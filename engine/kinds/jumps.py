"""The jumps of budgets and limits: where a route's requests go once a step of them is reached.

No file says this kind: lowering puts it around the start of every route that a jump may apply to, so that all
that is proven of a route holds for its jumps too. Steps below 100% lead elsewhere before the start is asked;
the last step does once nobody answered and a budget had no room. No branch is taken twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from engine.kinds.effects import Context, Detour, Note, Outcome, Steps
from engine.kinds.use import Use
from engine.kinds.walk import Rest, walk, worse
from engine.kinds.walk import targets as targets_of
from engine.plan.types import Node


@dataclass(frozen=True, slots=True)
class Jump:
    """A branch. `name`: what the steps' `use` says. `why`: whose steps lead here, for people.

    before, after: whether it may be taken in the place of the start, and once that has failed.
    """

    name: str
    node: Node
    why: str
    before: bool = False
    after: bool = False


@dataclass(frozen=True, slots=True)
class Jumps(Node):
    """A route's start, and where its requests may be led instead."""

    kind: ClassVar[str] = "jumps"
    start: Node
    branches: tuple[Jump, ...]


def steps(node: Jumps, ctx: Context, rest: Rest | None) -> Steps:
    """Walk the start, or where the steps lead; then, while nobody answered, where they lead from there."""
    left = {branch.name: branch.node for branch in node.branches}
    going, last = node.start, None
    after = False
    while True:
        found = yield Detour(tuple(left), after)
        if found is not None:
            name, why = found
            yield Note(node.id, "jumped", f"to {name}: {why}")
            going = left.pop(name)
        elif last is not None:
            return last
        outcome: Outcome = yield from walk(going, ctx, rest)
        if outcome.ok or outcome.final:
            return outcome
        last = worse(last, outcome)
        after = True


def targets(node: Jumps, ctx: Context) -> Iterator[Use]:
    """Those that may answer while no step is reached."""
    return targets_of(node.start, ctx)
