"""`ensemble: [...]`: asks several at once and makes one answer of theirs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from engine.spec.containers import Some
from engine.spec.lowering import Path
from engine.spec.model import about
from engine.spec.names import Target
from engine.spec.nodes.balance import Member
from engine.spec.nodes.node import CallingNode, NodeSpec


class EnsembleNode(CallingNode):
    """Asks all its members and merges what they say."""

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
