"""`switch: [...]`: the first arm whose `when` holds, else `else`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from engine.kinds.effects import Context, Note, Steps
from engine.kinds.use import Use
from engine.kinds.walk import Rest, walk
from engine.kinds.walk import targets as targets_of
from engine.plan.types import Node
from engine.plan.values import Expr


@dataclass(frozen=True, slots=True)
class Arm:
    """One branch of a switch."""

    when: Expr
    node: Node


@dataclass(frozen=True, slots=True)
class Switch(Node):
    """Branches by condition, asked in order."""

    kind: ClassVar[str] = "switch"
    arms: tuple[Arm, ...]
    otherwise: Node


def steps(node: Switch, ctx: Context, rest: Rest | None) -> Steps:
    """Walk the branch taken. Its failures are the switch's own: no other arm is asked."""
    taken, why = _branch(node, ctx)
    yield Note(node.id, "took", why)
    return (yield from walk(taken, ctx, rest))


def branch(node: Switch, ctx: Context) -> Node:
    """The branch that this request takes."""
    return _branch(node, ctx)[0]


def targets(node: Switch, ctx: Context) -> Iterator[Use]:
    """Those of the branch that this request takes."""
    return targets_of(branch(node, ctx), ctx)


def _branch(node: Switch, ctx: Context) -> tuple[Node, str]:
    for arm in node.arms:
        if ctx.test(arm.when):
            return arm.node, arm.when.source
    return node.otherwise, "else"
