"""A caller of the gateway that trusts nothing: it keeps what came, and when, and what was malformed."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import httpx

from engine.bench.faults.voices import TEXT

Shape = Literal["openai", "anthropic"]

_PATH: Final[dict[Shape, str]] = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}

#: Longest that a caller waits; every scenario has to be over before.
PATIENCE_S: Final = 110.0


@dataclass(slots=True)
class Call:
    """One streamed call as its caller saw it.

    finish: what the stream gave as the reason of its end. ended: the format's last event came. error: the
    body of an error answer, or of an error event. broken: what was malformed. seconds: until its last byte.
    """

    began: float
    status: int = 0
    text: str = ""
    model: str | None = None
    finish: str | None = None
    usage: dict[str, Any] | None = None
    ended: bool = False
    error: dict[str, Any] | None = None
    broken: str | None = None
    seconds: float = 0.0
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def request_id(self) -> str:
        return self.headers.get("x-engine-request-id", "")

    def not_whole(self) -> str | None:
        """Why this is not the whole answer, cleanly ended; None where it is."""
        if self.broken is not None:
            return self.broken
        if self.error is not None:
            return f"an error ({self.status}): {_brief(self.error)}"
        if self.status != 200:
            return f"status {self.status}"
        if self.text != TEXT:
            return f"the text is not the vendor's: {_difference(self.text)}"
        if self.finish not in ("stop", "end_turn"):
            return f"finish is {self.finish!r}"
        return None if self.ended else "the stream ended without its last event"


async def call(
    client: httpx.AsyncClient, model: str, *, shape: Shape = "openai", patience: float = PATIENCE_S
) -> Call:
    """One streamed call of a route. Never raises for what the gateway does."""
    body: dict[str, Any] = {
        "model": model,
        "stream": True,
        "max_tokens": 200,
        "messages": [{"role": "user", "content": "Tell me about the lighthouse."}],
    }
    if shape == "openai":
        body["stream_options"] = {"include_usage": True}
    seen = Call(began=time.monotonic())
    try:
        async with client.stream("POST", _PATH[shape], json=body, timeout=patience) as answer:
            seen.status = answer.status_code
            seen.headers = dict(answer.headers)
            if answer.status_code != 200:
                seen.error = _error(await answer.aread(), seen)
            else:
                await _read(answer.aiter_lines(), seen, shape)
    except httpx.HTTPError as error:
        seen.broken = f"the connection broke: {type(error).__name__}"
    seen.seconds = time.monotonic() - seen.began
    return seen


async def _read(lines: AsyncIterator[str], seen: Call, shape: Shape) -> None:
    take = _openai if shape == "openai" else _anthropic
    async for line in lines:
        if not line.startswith("data:"):
            continue
        data = line[5:].strip()
        if seen.ended:
            seen.broken = "something came after the last event"
        if data == "[DONE]":
            seen.ended = True
            continue
        try:
            event = json.loads(data)
        except ValueError:
            seen.broken = "an event is not JSON"
            continue
        if isinstance(event, dict) and event.get("error"):
            seen.error = event
            seen.ended = shape == "anthropic"
        elif seen.error is not None:
            seen.broken = "something came after an error event"
        else:
            take(event, seen)


def _openai(event: dict[str, Any], seen: Call) -> None:
    seen.model = event.get("model") or seen.model
    seen.usage = event.get("usage") or seen.usage
    for choice in event.get("choices") or ():
        delta = choice.get("delta") or {}
        if delta.get("content"):
            if seen.finish is not None:
                seen.broken = "text came after the finish"
            seen.text += delta["content"]
        seen.finish = choice.get("finish_reason") or seen.finish


def _anthropic(event: dict[str, Any], seen: Call) -> None:
    kind = event.get("type")
    if kind == "message_start":
        seen.model = event["message"].get("model")
        seen.usage = event["message"].get("usage")
    elif kind == "content_block_delta":
        seen.text += event["delta"].get("text", "")
    elif kind == "message_delta":
        seen.finish = event["delta"].get("stop_reason")
        seen.usage = {**(seen.usage or {}), **event.get("usage", {})}
    elif kind == "message_stop":
        seen.ended = True


def _error(data: bytes, seen: Call) -> dict[str, Any]:
    try:
        body = json.loads(data)
    except ValueError:
        body = None
    if not isinstance(body, dict) or "error" not in body:
        seen.broken = "the error is not in the client's format"
        return {}
    return body


def _brief(error: dict[str, Any]) -> str:
    told = error.get("error")
    return str(told.get("message", told) if isinstance(told, dict) else told)[:120]


def _difference(text: str) -> str:
    at = next(
        (n for n, (a, b) in enumerate(zip(text, TEXT, strict=False)) if a != b), min(len(text), len(TEXT))
    )
    return f"{len(text)} characters of {len(TEXT)}, the same up to {at}"
