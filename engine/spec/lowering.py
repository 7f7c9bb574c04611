"""What a node kind may ask of the compiler while it lowers itself: names, expressions, options, ids.

`compiler/lower.py` implements it; a kind's `lower` gets it as an argument, so the spec never imports the
compiler.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from engine.plan.types import Call, Node
    from engine.plan.values import Expr
    from engine.spec.nodes.node import NodeSpec

#: Keys and indexes from the root of the merged workspace to a value.
Path = tuple[str | int, ...]


class Lowering(Protocol):
    """The compiler, as a node kind sees it. `path` is where the node or value stands in the document."""

    def node(self, spec: NodeSpec, path: Path) -> Node:
        """The plan's node for any child."""
        ...

    def expr(self, text: str, path: Path, scope: str = "route") -> Expr | None:
        """A boolean expression, compiled; None where it has a fault (which is reported)."""
        ...

    def reads(self, expr: Expr) -> set[str]:
        """Dotted names of what an expression reads: `deployment.cost`."""
        ...

    def moment(self, text: str, path: Path, after: int) -> int:
        """A date and time as epoch seconds; without an offset in the workspace's time zone.

        What is not later than `after` is reported, and what needs a time zone where there is none.
        """
        ...

    def call(self, spec: NodeSpec, path: Path) -> Call:
        """The node's own call options; what it does not say stays None."""
        ...

    def id(self, path: Path) -> str:
        """The node's id: `assistant/switch[0]`."""
        ...

    def in_policies(self, path: Path) -> bool:
        """Whether policies/ define what stands there."""
        ...

    def is_deployment(self, name: str) -> bool:
        """Whether a name is a deployment's; else it is a named node's (resolved before lowering)."""
        ...
