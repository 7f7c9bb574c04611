"""`balance: [...]`: spreads requests over members that can all serve them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal, Self

from pydantic import model_validator

from engine.kinds.balance import Balance
from engine.spec.containers import Some
from engine.spec.defaults import PRINTED
from engine.spec.fault import fault
from engine.spec.lowering import Lowering, Path
from engine.spec.model import Spec, about
from engine.spec.nodes.node import CallingNode, Edge, NodeSpec
from engine.spec.nodes.sticky import Sticky
from engine.spec.plain import Fraction, Positive, Weight


class Member(Edge):
    """A member, and its weight beside the node's own keys."""

    noun: ClassVar[str] = "member"

    weight: Weight = about("Its share against the others, under `rank: weight`.", default=1.0, shown="1")


class Score(Spec):
    """How much each quality of a target counts."""

    noun: ClassVar[str] = "score"

    quality: Fraction = about("The model's quality.", default=0.0, shown="0")
    cost: Fraction = about("A low price.", default=0.0, shown="0")
    speed: Fraction = about("A short time to the first token.", default=0.0, shown="0")


class BalanceNode(CallingNode):
    """Orders its members by `rank` for each request and asks them in that order."""

    kind: ClassVar[str] = "balance"
    noun: ClassVar[str] = "node.balance"
    example: ClassVar[str] = "{balance: [{use: a, weight: 3}, b], tries: 2}"

    balance: Some[Member] = about("The members.", required=True, examples=[["a", "b", "c"]])
    rank: Literal["weight", "round_robin", "in_flight", "latency", "cost", "quality", "headroom"] | None = (
        about(
            "Who is asked first: at random by `weight`, in turn, the one with fewest open calls, the "
            "fastest, the cheapest, the best, the one with most of the vendor's quota left.",
            shown=PRINTED["balance.rank"],
        )
    )
    score: Score | None = about(
        "Ranks by a mix instead.", examples=[{"quality": 0.4, "cost": 0.3, "speed": 0.3}]
    )
    tries: Positive | None = about("Members asked in all.", shown=PRINTED["balance.tries"])
    sticky: Sticky | None = about("Keeps users or conversations where they are.")

    @model_validator(mode="after")
    def _one_order(self) -> Self:
        if self.score is not None and self.rank is not None:
            raise fault("E113", "`rank` and `score` exclude each other", "keep one", at=("score",))
        if self.rank not in (None, "weight"):
            for index, member in enumerate(self.balance):
                if "weight" in member.model_fields_set:
                    raise fault(
                        "E113",
                        f"`weight` does nothing under `rank: {self.rank}`",
                        "remove it, or write `rank: weight`",
                        at=("balance", index, "weight"),
                    )
        return self

    def children(self) -> Iterator[tuple[Path, NodeSpec]]:
        for index, member in enumerate(self.balance):
            yield ("balance", index), member.node

    def lower(self, low: Lowering, path: Path) -> Balance:
        children = tuple(low.node(child, path + below) for below, child in self.children())
        weights = tuple(member.weight for member in self.balance)
        return Balance(
            low.id(path), low.call(self, path), children, weights, self.rank or "weight", self.tries
        )
