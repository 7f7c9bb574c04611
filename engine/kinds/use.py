"""`use: NAME`: one target, called once and retried in place where that can help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from engine.plan.types import Node


@dataclass(frozen=True, slots=True)
class Use(Node):
    """A target: a deployment with its call options."""

    kind: ClassVar[str] = "use"
    deployment: str
