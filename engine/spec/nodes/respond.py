"""`respond: TEXT`: answers with a fixed text as a model would, calling nobody."""

from __future__ import annotations

from typing import ClassVar

from engine.kinds.respond import Respond
from engine.spec.lowering import Lowering, Path
from engine.spec.model import about
from engine.spec.nodes.node import NodeSpec
from engine.spec.plain import Text


class RespondNode(NodeSpec):
    """Answers by itself."""

    kind: ClassVar[str] = "respond"
    noun: ClassVar[str] = "node.respond"
    example: ClassVar[str] = "{respond: Closed until Monday.}"

    respond: Text = about("The answer's text.", required=True, examples=["Closed until Monday."])

    def lower(self, low: Lowering, path: Path) -> Respond:
        return Respond(low.id(path), low.call(self, path), self.respond)
