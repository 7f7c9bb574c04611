"""`cascade: [...]`: cheap first; goes on when the answer is not good enough."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Tag

from engine.spec.containers import Some
from engine.spec.expression import Expression
from engine.spec.lowering import Path
from engine.spec.model import Spec, about
from engine.spec.names import Target
from engine.spec.nodes.node import CallingNode, Child, NodeSpec
from engine.spec.plain import Fraction


class JudgeBelow(Spec):
    """A judge scores the answer from 0 to 1."""

    noun: ClassVar[str] = "judge"

    judge_below: Fraction = about("Goes on below this score.", required=True, examples=[0.7])
    judge: Target = about("Who judges.", required=True, examples=["big"])


def _entry(value: Any) -> str:
    if isinstance(value, dict):
        return "form:judge"
    return "form:word" if value in ("schema", "refusal") else "form:expression"


Escalate = Annotated[
    Annotated[Literal["schema", "refusal"], Tag("form:word")]
    | Annotated[Expression, Tag("form:expression")]
    | Annotated[JudgeBelow, Tag("form:judge")],
    Discriminator(_entry),
]


class CascadeNode(CallingNode):
    """Asks its children in order until an answer passes; early answers are buffered."""

    kind: ClassVar[str] = "cascade"
    noun: ClassVar[str] = "node.cascade"
    example: ClassVar[str] = (
        "{cascade: [small, big], escalate: [schema, refusal, answer.length < 20, {judge_below: 0.7, judge: "
        "big}]}"
    )

    cascade: Some[Child] = about("The stages, cheapest first.", required=True, examples=[["small", "big"]])
    escalate: Some[Escalate] = about(
        "Goes on when one of these matches (or a failure): `schema` (the client's json_schema is not met), "
        "`refusal`, an expression over `answer`, or a judge.",
        required=True,
        examples=[["schema", "refusal", "answer.length < 20"]],
    )
    on_last: Literal["deliver", "fail"] = about(
        "When the last stage does not pass either: its answer all the same, or `invalid_output`.",
        default="deliver",
        shown="deliver",
    )

    def children(self) -> Iterator[tuple[Path, NodeSpec]]:
        for index, child in enumerate(self.cascade):
            yield ("cascade", index), child
