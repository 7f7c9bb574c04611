"""`cascade: [...]`: cheap first; goes on when the answer is not good enough."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import Discriminator, Tag

from engine.kinds.cascade import Cascade, Check
from engine.spec.containers import Some
from engine.spec.expression import Expression
from engine.spec.lowering import Lowering, Path
from engine.spec.model import Spec, about
from engine.spec.names import Target
from engine.spec.nodes.node import CallingNode, Child, NodeSpec
from engine.spec.nodes.use import UseNode
from engine.spec.plain import Fraction

#: Entries that are no expression.
WORDS: Final = ("schema", "refusal")


class JudgeBelow(Spec):
    """A judge scores the answer from 0 to 1. One that fails, or gives no score, does not let it pass."""

    noun: ClassVar[str] = "judge"

    judge_below: Fraction = about("Goes on below this score.", required=True, examples=[0.7])
    judge: Target = about("Who judges.", required=True, examples=["big"])


def _entry(value: Any) -> str:
    if isinstance(value, dict):
        return "form:judge"
    return "form:word" if value in WORDS else "form:expression"


Escalate = Annotated[
    Annotated[Literal["schema", "refusal"], Tag("form:word")]
    | Annotated[Expression, Tag("form:expression")]
    | Annotated[JudgeBelow, Tag("form:judge")],
    Discriminator(_entry),
]


class CascadeNode(CallingNode):
    """Asks its children in order until an answer passes; early answers are buffered.

    It goes on after a failure that `failures` lists, and at the first entry of `escalate` that holds for an
    answer: of several choices, for one of them (a judge sees the first). A judge is asked in a chat of its
    own, about the words of the conversation and the answer alone, without the client's tools, formats and
    sampling, and without the `params` that hold for answers.
    """

    kind: ClassVar[str] = "cascade"
    noun: ClassVar[str] = "node.cascade"
    example: ClassVar[str] = (
        "{cascade: [small, big], escalate: [schema, refusal, answer.length < 20, {judge_below: 0.7, judge: "
        "big}]}"
    )

    cascade: Some[Child] = about("The stages, cheapest first.", required=True, examples=[["small", "big"]])
    escalate: Some[Escalate] = about(
        "Goes on when one of these matches (or a failure): `schema` (the client's json_schema is not met), "
        "`refusal` (marked so by its vendor, or stopped by its content filter), an expression over `answer` "
        "(`text`, `length` in characters, `finish`, `refused`, `tool_calls`, `output_tokens`), or a judge.",
        required=True,
        examples=[["schema", "refusal", "answer.length < 20"]],
    )
    on_last: Literal["deliver", "fail"] = about(
        "When the last stage does not pass either: its answer all the same (or, where it fails, the last "
        "that was given), or `invalid_output`. Only an answer that nobody looks at is streamed as it comes.",
        default="deliver",
        shown="deliver",
    )

    def children(self) -> Iterator[tuple[Path, NodeSpec]]:
        for index, child in enumerate(self.cascade):
            yield ("cascade", index), child

    def consults(self) -> Iterator[tuple[Path, str]]:
        for index, entry in enumerate(self.escalate):
            if isinstance(entry, JudgeBelow):
                yield ("escalate", index, "judge"), entry.judge

    def lower(self, low: Lowering, path: Path) -> Cascade:
        children = tuple(low.node(child, path + below) for below, child in self.children())
        checks = tuple(
            check
            for index, entry in enumerate(self.escalate)
            if (check := _check(entry, low, (*path, "escalate", index))) is not None
        )
        return Cascade(low.id(path), low.call(self, path), children, checks, self.on_last == "deliver")


def _check(entry: Any, low: Lowering, path: Path) -> Check | None:
    """One reason to go on; None where its expression has a fault, which is reported."""
    if isinstance(entry, JudgeBelow):
        return Check(judge=low.node(UseNode(use=entry.judge), (*path, "judge")), below=entry.judge_below)
    if entry in WORDS:
        return Check(word=entry)
    condition = low.expr(entry, path, "answer")
    return None if condition is None else Check(condition=condition)
