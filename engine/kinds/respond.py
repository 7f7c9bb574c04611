"""`respond: TEXT`: answers with a fixed text as a model would, calling nobody."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from engine.plan.types import Node


@dataclass(frozen=True, slots=True)
class Respond(Node):
    """The answer's text."""

    kind: ClassVar[str] = "respond"
    text: str
