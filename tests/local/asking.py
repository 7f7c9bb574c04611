"""Canonical requests and what came back, short enough to be read in a test."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from engine.local.model import LocalModel


def ask(text: str = "hi", system: str | None = None, **fields: Any) -> Any:
    messages = [{"role": "user", "content": [{"type": "text", "text": text}]}]
    if system is not None:
        messages.insert(0, {"role": "system", "content": [{"type": "text", "text": system}]})
    return {"operation": "chat", "messages": messages, **fields}


@dataclass
class Got:
    """A whole answer."""

    events: list[Any] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(event["text"] for event in self.events if event["type"] == "text")

    @property
    def reason(self) -> str | None:
        return next((event["finish_reason"] for event in self.events if event["type"] == "finish"), None)

    @property
    def usage(self) -> Any:
        return next((event["usage"] for event in self.events if event["type"] == "usage"), None)

    @property
    def error(self) -> Any:
        return next((event["error"] for event in self.events if event["type"] == "error"), None)


async def answer(model: LocalModel, request: Any, max_tokens: int = 64) -> Got:
    got = Got()
    async for batch in model.generate(request, max_tokens=max_tokens):
        got.events += batch
    return got
