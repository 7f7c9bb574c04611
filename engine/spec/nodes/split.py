"""`split: [...]`: fixed shares of the traffic; unhealth never moves users."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Self

from pydantic import model_validator

from engine.kinds.split import Layout, Split
from engine.kinds.split import SplitArm as Arm
from engine.policies.shares import change, lay_out, points_of
from engine.spec.amounts import Ratio
from engine.spec.containers import Mapped, Some
from engine.spec.fault import fault
from engine.spec.lowering import Lowering, Path
from engine.spec.model import Spec, about
from engine.spec.names import Name
from engine.spec.nodes.node import CallingNode, Edge, NodeSpec
from engine.spec.nodes.sticky import Sticky
from engine.spec.nodes.use import UseNode
from engine.spec.plain import Moment

#: More than the whole by less than this is a rounding of percents.
_ROUNDING = 1e-9


class SplitArm(Edge):
    """An arm, and its share beside the node's own keys."""

    noun: ClassVar[str] = "arm of a split"

    share: Ratio | None = about(
        "Its share of the traffic.", shown="what the others leave, in equal parts", examples=["5%"]
    )


class RampStep(Spec):
    """New shares from a moment on. Arms that are not named share the rest in equal parts."""

    noun: ClassVar[str] = "ramp step"

    start: Moment = about("From when.", required=True, alias="from", examples=["2026-12-07T00:00"])
    share: Mapped[Name, Ratio] = about(
        "Arm (by the name it uses) to share.", required=True, examples=[{"new": "20%"}]
    )


class SplitNode(CallingNode):
    """Sends fixed shares of the traffic to its arms. A user once in a growing share stays.

    An arm has the name of the first deployment or node written in it, like `new` for
    `{fallback: [new, old]}`: the ramp and the decision record name it so.
    """

    kind: ClassVar[str] = "split"
    noun: ClassVar[str] = "node.split"
    example: ClassVar[str] = (
        "{split: [{use: old}, {use: new, share: 5%}], sticky: {by: request.user or key.id}}"
    )

    split: Some[SplitArm] = about(
        "The arms.", required=True, examples=[[{"use": "old", "share": "95%"}, {"use": "new", "share": "5%"}]]
    )
    sticky: Sticky | None = about(
        "Who stays on an arm: a hash of the value decides, for good. Without it, or where the value is "
        "empty, chance decides for each request.",
        examples=[{"by": "request.user or key.id"}],
    )
    ramp: Some[RampStep] | None = about("How the shares change over time, earliest first.")

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        shares = [arm.share for arm in self.split]
        _check_sum(sum(share or 0 for share in shares), None not in shares, ("split",))
        if self.sticky is not None and self.sticky.ttl is not None:
            raise fault(
                "E113",
                "`ttl` does nothing here: who is on which arm follows from a hash, for good",
                "remove it",
                at=("sticky", "ttl"),
            )
        self._check_ramp()
        return self

    def _check_ramp(self) -> None:
        names = self.names()
        for index, step in enumerate(self.ramp or ()):
            at = ("ramp", index, "share")
            for name in step.share:
                if names.count(name) != 1:
                    several = name in names
                    raise fault(
                        "E113",
                        f"{'more than one arm' if several else 'no arm'} is named `{name}`",
                        f"the arms are {', '.join(names)}: an arm has the name of the first target in it"
                        + ("; a named node gives it one of its own" if several else ""),
                        at=(*at, name),
                    )
            _check_sum(sum(step.share.values()), len(step.share) == len(names), at)

    def names(self) -> list[str]:
        """The arms' names."""
        return [_name(arm.node) or f"arm{index}" for index, arm in enumerate(self.split, 1)]

    def children(self) -> Iterator[tuple[Path, NodeSpec]]:
        for index, arm in enumerate(self.split):
            yield ("split", index), arm.node

    def lower(self, low: Lowering, path: Path) -> Split:
        names = self.names()
        arms = tuple(
            Arm(name, low.node(child, path + below))
            for name, (below, child) in zip(names, self.children(), strict=True)
        )
        sticky = None
        if self.sticky is not None:
            sticky = low.expr(self.sticky.by, (*path, "sticky", "by"))
        return Split(low.id(path), low.call(self, path), arms, self._layouts(names, low, path), sticky)

    def _layouts(self, names: list[str], low: Lowering, path: Path) -> tuple[Layout, ...]:
        points = points_of([arm.share for arm in self.split])
        found = [Layout(0, points, lay_out(points))]
        for index, step in enumerate(self.ramp or ()):
            since = low.moment(step.start, (*path, "ramp", index, "from"), after=found[-1].since)
            points = points_of([step.share.get(name) for name in names])
            found.append(Layout(since, points, change(found[-1].stretches, points)))
        return tuple(found)


def _check_sum(total: float, whole: bool, at: tuple[Any, ...]) -> None:
    if total > 1 + _ROUNDING:
        raise fault(
            "E113",
            f"the shares add up to {total * 100:.6g}% of the traffic",
            "lower them to 100% in all",
            at=at,
        )
    if whole and total < 1 - _ROUNDING:
        raise fault(
            "E113",
            f"the shares add up to {total * 100:.6g}% of the traffic only",
            "leave one out: it gets the rest",
            at=at,
        )


def _name(node: NodeSpec) -> str | None:
    """The first deployment or named node that is written in a node."""
    if isinstance(node, UseNode):
        return node.use
    return next((found for _, child in node.children() if (found := _name(child)) is not None), None)
