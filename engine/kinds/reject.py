"""`reject: CODE`: answers with an error of the client's dialect, calling nobody."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from engine.kinds.effects import Context, Note, Outcome, Steps
from engine.kinds.walk import Rest
from engine.plan.types import Node


@dataclass(frozen=True, slots=True)
class Reject(Node):
    """`code` is the stable error code, `status` the HTTP status."""

    kind: ClassVar[str] = "reject"
    code: str
    status: int
    message: str


def steps(node: Reject, _ctx: Context, _rest: Rest | None) -> Steps:
    yield Note(node.id, "rejected", node.code)
    return Outcome(
        ok=False,
        failure="bad_request",
        message=node.message,
        status=node.status,
        code=node.code,
        tried=False,
        final=True,
    )
