"""`switch: [...]`: the first arm whose `when` holds, else `else`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from engine.plan.types import Expr, Node


@dataclass(frozen=True, slots=True)
class Arm:
    """One branch of a switch."""

    when: Expr
    node: Node


@dataclass(frozen=True, slots=True)
class Switch(Node):
    """Branches by condition, asked in order."""

    kind: ClassVar[str] = "switch"
    arms: tuple[Arm, ...]
    otherwise: Node
