"""`use: NAME`: one target, or a named node, with its call options. A bare string is the same."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import model_validator

from engine.kinds.use import Use
from engine.plan.types import Node, Ref
from engine.spec.lowering import Lowering, Path
from engine.spec.model import about
from engine.spec.names import Target
from engine.spec.nodes.node import CallingNode


class UseNode(CallingNode):
    """Asks one deployment, or goes to a named node. It is retried in place where that can help."""

    kind: ClassVar[str] = "use"
    noun: ClassVar[str] = "node.use"
    example: ClassVar[str] = (
        "{use: gpt, params: {reasoning_effort: low}, timeout: {first_token: 8s}, retry: {extra: 1, "
        "failures: [transient]}}"
    )

    use: Target = about("The deployment or named node.", required=True, examples=["gpt"])

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, value: Any) -> Any:
        return {"use": value} if isinstance(value, str) else value

    def lower(self, low: Lowering, path: Path) -> Node:
        own = low.id(path), low.call(self, path)
        return Use(*own, self.use) if low.is_deployment(self.use) else Ref(*own, self.use)
