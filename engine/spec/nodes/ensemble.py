"""`ensemble: [...]`: asks several at once and makes one answer of theirs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal, Self

from pydantic import model_validator

from engine.kinds.ensemble import Ensemble
from engine.spec.containers import Some
from engine.spec.fault import fault
from engine.spec.lowering import Lowering, Path
from engine.spec.model import about
from engine.spec.names import Target
from engine.spec.nodes.balance import Member
from engine.spec.nodes.node import CallingNode, NodeSpec
from engine.spec.nodes.use import UseNode


class EnsembleNode(CallingNode):
    """Asks all its members and merges what they say.

    Answers are the same where they say and call the same, but for layout and case; JSON is compared as data.
    A tie is the judge's, else the first's in the order of the members. Who fails is left out. A judge that
    fails, or names nobody, leaves the first of those it was asked about. Under `fuse` the client's form and
    limit of the answer hold for what is written; answers that call tools are voted on.
    """

    kind: ClassVar[str] = "ensemble"
    noun: ClassVar[str] = "node.ensemble"
    example: ClassVar[str] = "{ensemble: [a, b, c], merge: vote, judge: big}"

    ensemble: Some[Member] = about(
        "Who is asked; `weight` counts under `merge: weighted`.", required=True, examples=[["a", "b", "c"]]
    )
    merge: Literal["vote", "best_of", "weighted", "fuse"] = about(
        "The most frequent answer, the one the judge likes best, the one with most weight behind it, or "
        "one that the judge writes from all.",
        required=True,
        examples=["vote"],
    )
    judge: Target | None = about("Who judges or writes.", examples=["big"])

    def children(self) -> Iterator[tuple[Path, NodeSpec]]:
        for index, member in enumerate(self.ensemble):
            yield ("ensemble", index), member.node

    def consults(self) -> Iterator[tuple[Path, str]]:
        if self.judge is not None:
            yield ("judge",), self.judge

    @model_validator(mode="after")
    def _at_one(self) -> Self:
        if self.merge in ("best_of", "fuse") and self.judge is None:
            raise fault(
                "E107", f"`merge: {self.merge}` needs a `judge`", "name who judges, like `judge: big`"
            )
        if self.merge != "weighted":
            for index, member in enumerate(self.ensemble):
                if "weight" in member.model_fields_set:
                    raise fault(
                        "E113",
                        f"`weight` does nothing under `merge: {self.merge}`",
                        "remove it, or write `merge: weighted`",
                        at=("ensemble", index, "weight"),
                    )
        return self

    def lower(self, low: Lowering, path: Path) -> Ensemble:
        children = tuple(low.node(child, path + below) for below, child in self.children())
        weights = tuple(member.weight for member in self.ensemble)
        judge = None if self.judge is None else low.node(UseNode(use=self.judge), (*path, "judge"))
        return Ensemble(low.id(path), low.call(self, path), children, weights, self.merge, judge)
