"""`split: [...]`: fixed shares of the traffic; unhealth never moves users.

With `sticky`, a hash of its value decides, so that a user has the same arm on every host and after every
restart, and keeps it while the arm's share grows (`policies/shares.py`). Without, or where the value is
empty, chance decides for each request. An arm's failure is the split's: no other arm is asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from engine.kinds.effects import Context, Draw, Steps, Variant
from engine.kinds.use import Use
from engine.kinds.walk import Rest, targets, walk
from engine.plan.types import Node
from engine.plan.values import Expr
from engine.policies.shares import WHOLE, Stretches, arm_at, point


@dataclass(frozen=True, slots=True)
class SplitArm:
    """One arm. `name`, which the record tells, is that of the first target or node written in it."""

    name: str
    node: Node


@dataclass(frozen=True, slots=True)
class Layout:
    """Who has what share from a moment on: `since` in epoch seconds, shares in millionths by arm."""

    since: int
    points: tuple[int, ...]
    stretches: Stretches


@dataclass(frozen=True, slots=True)
class Split(Node):
    """Arms, and their layouts in the order of time: the first holds from the beginning."""

    kind: ClassVar[str] = "split"
    arms: tuple[SplitArm, ...]
    layouts: tuple[Layout, ...]
    sticky: Expr | None = None


def steps(node: Split, ctx: Context, rest: Rest | None) -> Steps:
    """Walk the arm that this request belongs to, and no other."""
    value = "" if node.sticky is None else ctx.value(node.sticky)
    if value:
        at, why = point(node.id, value), "by its hash"
    else:
        at, why = int((yield Draw()) * WHOLE), "by chance"
    layout = layout_at(node, ctx.now)
    number = arm_at(layout.stretches, at)
    arm = node.arms[number]
    yield Variant(node.id, arm.name, f"{arm.name}, {percent(layout.points[number])} of the traffic, {why}")
    return (yield from walk(arm.node, ctx, rest))


def split_targets(node: Split, ctx: Context) -> Iterator[Use]:
    """Those of the arms that this request may take."""
    for arm in possible(node, ctx):
        yield from targets(arm.node, ctx)


def possible(node: Split, ctx: Context) -> tuple[SplitArm, ...]:
    """The arm that the request's value has; where chance decides, those that have a share now."""
    layout = layout_at(node, ctx.now)
    value = "" if node.sticky is None else ctx.value(node.sticky)
    if value:
        return (node.arms[arm_at(layout.stretches, point(node.id, value))],)
    return tuple(arm for arm, points in zip(node.arms, layout.points, strict=True) if points)


def layout_at(node: Split, now: float) -> Layout:
    """The layout that holds at a moment, in epoch seconds."""
    return next(layout for layout in reversed(node.layouts) if layout.since <= now)


def percent(points: int) -> str:
    """A share for people: `5%`, `0.25%`."""
    return f"{points * 100 / WHOLE:g}%"
