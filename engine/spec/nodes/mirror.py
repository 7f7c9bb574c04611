"""`mirror: NODE`: a copy of the traffic goes elsewhere; its answer is thrown away."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Self

from pydantic import model_validator

from engine.kinds.mirror import Mirror
from engine.spec.amounts import Ratio
from engine.spec.fault import fault
from engine.spec.lowering import Lowering, Path
from engine.spec.model import about
from engine.spec.nodes.node import CallingNode, Child, NodeSpec


class MirrorNode(CallingNode):
    """Answers from the node below and sends a copy to another one. Residency and budgets hold for both.

    Nobody waits for the copy, and its failures are its own: it has a record of its own, and `per_request`
    holds for it apart. At most 256 copies are under way in a process; beyond that they are left out.
    """

    kind: ClassVar[str] = "mirror"
    noun: ClassVar[str] = "node.mirror"
    example: ClassVar[str] = "{mirror: best, to: new, share: 10%}"

    mirror: Child = about("The node that answers.", required=True, examples=["best"])
    to: Child = about("The node that gets the copy.", required=True, examples=["new"])
    share: Ratio = about("Share of the traffic that is copied.", default=1.0, shown="100%")

    @model_validator(mode="after")
    def _copies_once(self) -> Self:
        if self.share > 1:
            raise fault("E112", "a copy of more than 100% of the traffic", "100% copies all", at=("share",))
        return self

    def children(self) -> Iterator[tuple[Path, NodeSpec]]:
        yield ("mirror",), self.mirror
        yield ("to",), self.to

    def lower(self, low: Lowering, path: Path) -> Mirror:
        node, to = (low.node(child, path + below) for below, child in self.children())
        return Mirror(low.id(path), low.call(self, path), node, to, self.share)
