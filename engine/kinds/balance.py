"""`balance: [...]`: spreads requests over members that can all serve them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from engine.plan.types import Node


@dataclass(frozen=True, slots=True)
class Balance(Node):
    """Members with their weights; `tries` members are asked in all, None = all of them."""

    kind: ClassVar[str] = "balance"
    children: tuple[Node, ...]
    weights: tuple[float, ...]
    rank: str  # weight round_robin in_flight latency cost
    tries: int | None = None
