"""`split: [...]`: fixed shares of the traffic; unhealth never moves users."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Self

from pydantic import model_validator

from engine.spec.amounts import Ratio
from engine.spec.containers import Mapped, Some
from engine.spec.fault import fault
from engine.spec.lowering import Path
from engine.spec.model import Spec, about
from engine.spec.names import Name
from engine.spec.nodes.node import CallingNode, Edge, NodeSpec
from engine.spec.nodes.sticky import Sticky
from engine.spec.plain import Moment


class SplitArm(Edge):
    """An arm, and its share beside the node's own keys."""

    noun: ClassVar[str] = "arm of a split"

    share: Ratio | None = about(
        "Its share of the traffic.", shown="what the others leave, in equal parts", examples=["5%"]
    )


class RampStep(Spec):
    """New shares from a moment on. Arms that are not named share the rest."""

    noun: ClassVar[str] = "ramp step"

    start: Moment = about("From when.", required=True, alias="from", examples=["2026-12-07T00:00"])
    share: Mapped[Name, Ratio] = about(
        "Arm (by the name it uses) to share.", required=True, examples=[{"new": "20%"}]
    )


class SplitNode(CallingNode):
    """Sends fixed shares of the traffic to its arms. A user once in a growing share stays."""

    kind: ClassVar[str] = "split"
    noun: ClassVar[str] = "node.split"
    example: ClassVar[str] = (
        "{split: [{use: old}, {use: new, share: 5%}], sticky: {by: request.user or key.id}}"
    )

    split: Some[SplitArm] = about(
        "The arms.", required=True, examples=[[{"use": "old", "share": "95%"}, {"use": "new", "share": "5%"}]]
    )
    sticky: Sticky | None = about("Who stays on an arm.", examples=[{"by": "request.user or key.id"}])
    ramp: Some[RampStep] | None = about("How the shares change over time.")

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        shares = [arm.share for arm in self.split]
        total = sum(share for share in shares if share is not None)
        if total > 1 + 1e-9:
            raise fault(
                "E113",
                f"the shares add up to {total:.4g} of the traffic, and there is 1",
                "lower them",
                at=("split",),
            )
        if None not in shares and total < 1 - 1e-9:
            raise fault(
                "E113",
                f"the shares add up to {total:.4g} of the traffic only",
                "leave one out: it gets the rest",
                at=("split",),
            )
        return self

    def children(self) -> Iterator[tuple[Path, NodeSpec]]:
        for index, arm in enumerate(self.split):
            yield ("split", index), arm.node
