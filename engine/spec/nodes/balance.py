"""`balance: [...]`: spreads requests over members that can all serve them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Discriminator, Tag, model_validator

from engine.kinds.balance import Balance
from engine.kinds.balance import Sticky as StickyBy
from engine.kinds.rank import MEASURED
from engine.kinds.rank import Score as Ranked
from engine.spec.containers import Some
from engine.spec.defaults import PRINTED, STICKY_TTL_MS
from engine.spec.expression import Expression
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

    quality: Fraction = about(
        "The model's quality, as `quality` says at the deployment or its model.", default=0.0, shown="0"
    )
    cost: Fraction = about("A low price: 1 for the cheapest, a half for twice that.", default=0.0, shown="0")
    speed: Fraction = about(
        "A short time to the first token: 1 for the quickest, a half for twice that.", default=0.0, shown="0"
    )

    @model_validator(mode="after")
    def _counts_something(self) -> Self:
        if not (self.quality or self.cost or self.speed):
            raise fault("E107", "the score counts nothing", "give it `quality`, `cost` or `speed`")
        return self


def _form(value: Any) -> str:
    return "form:mix" if isinstance(value, dict | Score) else "form:expression"


AnyScore = Annotated[
    Annotated[Score, Tag("form:mix")] | Annotated[Expression, Tag("form:expression")], Discriminator(_form)
]


class BalanceNode(CallingNode):
    """Orders its members by `rank` for each request and asks them in that order."""

    kind: ClassVar[str] = "balance"
    noun: ClassVar[str] = "node.balance"
    example: ClassVar[str] = "{balance: [{use: a, weight: 3}, b], tries: 2}"

    balance: Some[Member] = about("The members.", required=True, examples=[["a", "b", "c"]])
    rank: Literal["weight", "round_robin", "in_flight", "latency", "cost", "quality", "headroom"] | None = (
        about(
            "Who is asked first: at random by `weight`, in turn, the one with fewer open calls of two drawn "
            "at random, the one of two that would answer sooner, the cheapest, the best, the one with most "
            "of the vendor's quota left.",
            shown=PRINTED["balance.rank"],
        )
    )
    score: AnyScore | None = about(
        "Ranks by a mix instead, or by the number that an expression over `deployment` gives: the highest "
        "is asked first.",
        examples=[{"quality": 0.4, "cost": 0.3, "speed": 0.3}, "deployment.quality - deployment.cost * 10"],
    )
    tries: Positive | None = about("Members asked in all.", shown=PRINTED["balance.tries"])
    sticky: Sticky | None = about(
        "Keeps users or conversations where they were answered last, as long as that member answers."
    )

    @model_validator(mode="after")
    def _one_order(self) -> Self:
        if self.score is not None and self.rank is not None:
            raise fault("E113", "`rank` and `score` exclude each other", "keep one", at=("score",))
        rank = "score" if self.score is not None else self.rank
        if rank not in (None, "weight"):
            for index, member in enumerate(self.balance):
                if "weight" in member.model_fields_set:
                    raise fault(
                        "E113",
                        f"`weight` does nothing under `{'score' if self.score else f'rank: {rank}'}`",
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
        rank = "score" if self.score is not None else self.rank or "weight"
        return Balance(
            low.id(path), low.call(self, path), children, weights, rank, self.tries,
            self._sticky(low, path), self._score(low, path),
        )  # fmt: skip

    def _sticky(self, low: Lowering, path: Path) -> StickyBy | None:
        if self.sticky is None:
            return None
        by = low.expr(self.sticky.by, (*path, "sticky", "by"))
        return None if by is None else StickyBy(by, self.sticky.ttl or STICKY_TTL_MS)

    def _score(self, low: Lowering, path: Path) -> Ranked | None:
        score = self.score
        if score is None or isinstance(score, Score):
            return None if score is None else Ranked(score.quality, score.cost, score.speed)
        by = low.expr(score, (*path, "score"))
        if by is None:
            return None
        read = low.reads(by)
        return Ranked(by=by, reads=tuple(w for w in MEASURED if f"deployment.{w}" in read))
