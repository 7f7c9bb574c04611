"""`fallback: [...]`: the first that answers, in order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from engine.kinds.fallback import Fallback
from engine.spec.containers import Some
from engine.spec.lowering import Lowering, Path
from engine.spec.model import about
from engine.spec.nodes.node import CallingNode, Child, NodeSpec


class FallbackNode(CallingNode):
    """Asks its children in order until one answers; `failures` says which failures move on."""

    kind: ClassVar[str] = "fallback"
    noun: ClassVar[str] = "node.fallback"
    example: ClassVar[str] = "{fallback: [gpt, claude, here], failures: [transient, quota_exhausted]}"

    fallback: Some[Child] = about(
        "The children, first choice first.", required=True, examples=[["gpt", "claude", "here"]]
    )

    def children(self) -> Iterator[tuple[Path, NodeSpec]]:
        for index, child in enumerate(self.fallback):
            yield ("fallback", index), child

    def lower(self, low: Lowering, path: Path) -> Fallback:
        children = tuple(low.node(child, path + below) for below, child in self.children())
        return Fallback(low.id(path), low.call(self, path), children)
