"""`reject: CODE`: answers with an error of the client's dialect, calling nobody."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from engine.plan.types import Node


@dataclass(frozen=True, slots=True)
class Reject(Node):
    """`code` is the stable error code, `status` the HTTP status."""

    kind: ClassVar[str] = "reject"
    code: str
    status: int
    message: str
