"""`reject: CODE`: answers with an error of the client's dialect, calling nobody."""

from __future__ import annotations

from typing import ClassVar

from engine.kinds.reject import Reject
from engine.spec.defaults import PRINTED
from engine.spec.lowering import Lowering, Path
from engine.spec.model import about
from engine.spec.names import Word
from engine.spec.nodes.node import NodeSpec
from engine.spec.plain import ErrorStatus, Text


class RejectNode(NodeSpec):
    """Says no."""

    kind: ClassVar[str] = "reject"
    noun: ClassVar[str] = "node.reject"
    example: ClassVar[str] = "{reject: not_allowed, status: 403, message: Not for CI keys.}"

    reject: Word = about("The error's stable `code`.", required=True, examples=["not_allowed"])
    status: ErrorStatus = about("The HTTP status.", default=403, shown=PRINTED["reject.status"])
    message: Text | None = about(
        "What the client reads.", shown="The request was rejected (CODE).", examples=["Not for CI keys."]
    )

    def lower(self, low: Lowering, path: Path) -> Reject:
        message = self.message or f"The request was rejected ({self.reject})."
        return Reject(low.id(path), low.call(self, path), self.reject, self.status, message)
