"""`cache: NODE`: answers from what was answered before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Self

from pydantic import model_validator

from engine.kinds.cache import Cache
from engine.kinds.cache import Semantic as Kept
from engine.plan.types import Node
from engine.spec.amounts import PositiveDuration
from engine.spec.expression import Expression
from engine.spec.fault import fault
from engine.spec.lowering import Lowering, Path
from engine.spec.model import Spec, about
from engine.spec.names import DeploymentName
from engine.spec.nodes.node import CallingNode, Child, NodeSpec
from engine.spec.nodes.use import UseNode
from engine.spec.plain import Fraction


class Semantic(Spec):
    """Takes the answer to a question that means nearly the same."""

    noun: ClassVar[str] = "semantic"

    above: Fraction = about("Least likeness, from 0 to 1.", required=True, examples=[0.95])
    ttl: PositiveDuration = about("How long an answer is kept.", required=True, examples=["1h"])
    embed: DeploymentName = about("Who embeds.", required=True, examples=["minilm"])


class CacheNode(CallingNode):
    """Looks for an answer before it asks the node below."""

    kind: ClassVar[str] = "cache"
    noun: ClassVar[str] = "node.cache"
    example: ClassVar[str] = "{cache: best, exact: 1h, semantic: {above: 0.95, ttl: 1h, embed: minilm}}"

    cache: Child = about("The node below.", required=True, examples=["best"])
    exact: PositiveDuration | None = about(
        "Keeps answers to the very same request this long. A client passes it by with `cache-control: "
        "no-cache` or `no-store`.",
        examples=["1h"],
    )
    semantic: Semantic | None = about("Also takes answers to nearly the same question.")
    scope_by: Expression = about(
        "Answers are shared among requests with the same value, and never among organisations, but for a "
        "cache that policies/ define.",
        default="key.org",
        shown="key.org",
    )

    @model_validator(mode="after")
    def _keeps_something(self) -> Self:
        if self.exact is None and self.semantic is None:
            raise fault("E107", "the cache keeps nothing", "give it `exact` or `semantic`")
        return self

    def consults(self) -> Iterator[tuple[Path, str]]:
        if self.semantic is not None:
            yield ("semantic", "embed"), self.semantic.embed

    def lower(self, low: Lowering, path: Path) -> Node:
        below = low.node(self.cache, (*path, "cache"))
        semantic = None
        if self.semantic is not None:
            embed = low.node(UseNode(use=self.semantic.embed), (*path, "semantic", "embed"))
            semantic = Kept(self.semantic.above, self.semantic.ttl, embed)
        scope = low.expr(self.scope_by, (*path, "scope_by"))
        if scope is None:
            return below  # its fault is reported, and no plan comes of it
        within = not low.in_policies(path)
        return Cache(low.id(path), low.call(self, path), below, scope, within, self.exact, semantic)

    def children(self) -> Iterator[tuple[Path, NodeSpec]]:
        yield ("cache",), self.cache
