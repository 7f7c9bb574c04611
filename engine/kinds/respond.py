"""`respond: TEXT`: answers with a fixed text as a model would, calling nobody."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from engine.kinds.effects import Context, Note, Outcome, Steps
from engine.kinds.walk import Rest
from engine.plan.types import Node


@dataclass(frozen=True, slots=True)
class Respond(Node):
    """The answer's text."""

    kind: ClassVar[str] = "respond"
    text: str


def steps(node: Respond, _ctx: Context, _rest: Rest | None) -> Steps:
    yield Note(node.id, "answered", "a fixed text")
    return Outcome(ok=True, tried=False, final=True, reply=node.text)
