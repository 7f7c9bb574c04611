"""`fallback: [...]`: the first that answers, in order; `failures` says which failures move on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from engine.plan.types import Node


@dataclass(frozen=True, slots=True)
class Fallback(Node):
    """An ordered chain."""

    kind: ClassVar[str] = "fallback"
    children: tuple[Node, ...]
