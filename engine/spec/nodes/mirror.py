"""`mirror: NODE`: a copy of the traffic goes elsewhere; its answer is thrown away."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from engine.spec.amounts import Ratio
from engine.spec.lowering import Path
from engine.spec.model import about
from engine.spec.nodes.node import CallingNode, Child, NodeSpec


class MirrorNode(CallingNode):
    """Answers from the node below and sends a copy to another one. Residency and budgets hold for both."""

    kind: ClassVar[str] = "mirror"
    noun: ClassVar[str] = "node.mirror"
    example: ClassVar[str] = "{mirror: best, to: new, share: 10%}"

    mirror: Child = about("The node that answers.", required=True, examples=["best"])
    to: Child = about("The node that gets the copy.", required=True, examples=["new"])
    share: Ratio = about("Share of the traffic that is copied.", default=1.0, shown="100%")

    def children(self) -> Iterator[tuple[Path, NodeSpec]]:
        yield ("mirror",), self.mirror
        yield ("to",), self.to
