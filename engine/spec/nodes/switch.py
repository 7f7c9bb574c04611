"""`switch: [...]`: the first arm whose `when` holds, else `else`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from engine.kinds.switch import Arm, Switch
from engine.plan.types import Node
from engine.spec.containers import Some
from engine.spec.expression import Expression
from engine.spec.lowering import Lowering, Path
from engine.spec.model import about
from engine.spec.nodes.node import CallingNode, Child, Edge, NodeSpec


class SwitchArm(Edge):
    """An arm: its condition beside the node's own keys."""

    noun: ClassVar[str] = "arm"

    when: Expression = about(
        "The arm is taken if this holds.", required=True, examples=["request.input_tokens > 3k"]
    )


class SwitchNode(CallingNode):
    """Takes the first arm whose condition holds, else `else`. What it narrows holds below it."""

    kind: ClassVar[str] = "switch"
    noun: ClassVar[str] = "node.switch"
    example: ClassVar[str] = "{switch: [{when: request.input_tokens > 100k, use: long}], else: best}"

    switch: Some[SwitchArm] = about(
        "The arms, asked in order.",
        required=True,
        examples=[[{"when": 'request.has("image")', "use": "vision"}]],
    )
    otherwise: Child = about(
        "Where requests go for which no arm holds.", required=True, alias="else", examples=["best"]
    )

    def children(self) -> Iterator[tuple[Path, NodeSpec]]:
        for index, arm in enumerate(self.switch):
            yield ("switch", index), arm.node
        yield ("else",), self.otherwise

    def lower(self, low: Lowering, path: Path) -> Node:
        otherwise = low.node(self.otherwise, (*path, "else"))
        arms: list[Arm] = []
        for index, arm in enumerate(self.switch):
            at = (*path, "switch", index)
            when = low.expr(arm.when, (*at, "when"))
            node = low.node(arm.node, at)
            if when is not None:  # else it is reported, and no plan comes of it
                arms.append(Arm(when, node))
        return Switch(low.id(path), low.call(self, path), tuple(arms), otherwise)
