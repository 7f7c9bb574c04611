"""A vendor that speaks OpenAI's chat completions, over `scripted`: whole answers, streams, faults."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from scripted import Connection, Scripted, chunk, head, whole

Answer = Callable[[Connection], Awaitable[None]]


def chat(text: str = "Hello!", **more: Any) -> dict[str, Any]:
    """A whole answer's body."""
    message = {"role": "assistant", "content": text, **more}
    finish = "tool_calls" if "tool_calls" in more else "stop"
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_764_000_000,
        "model": "m-1",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish}],
        "usage": {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15},
    }


def answers(body: dict[str, Any], status: int = 200, *headers: str) -> Answer:
    async def script(connection: Connection) -> None:
        connection.send(whole(status, json.dumps(body).encode(), "application/json", *headers))

    return script


def event(delta: dict[str, Any], finish: str | None = None) -> bytes:
    """One event of a stream, as a chunk of a chunked body."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return _sse({"choices": [choice]})


def _sse(body: dict[str, Any]) -> bytes:
    base = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_764_000_000, "model": "m-1"}
    return chunk(b"data: " + json.dumps({**base, **body}).encode() + b"\n\n")


USAGE = _sse({"choices": [], "usage": {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}})
DONE = chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"


def begin(connection: Connection) -> None:
    """The head of a stream and its first token."""
    connection.send(head(200, "text/event-stream") + event({"role": "assistant", "content": ""}))
    connection.send(event({"content": "Hel"}))


def finish(connection: Connection) -> None:
    connection.send(event({"content": "lo!"}) + event({}, "stop") + USAGE + DONE)


def streams(gate: asyncio.Event | None = None) -> Answer:
    """A stream of two tokens; with a gate, the second waits for it."""

    async def script(connection: Connection) -> None:
        begin(connection)
        if gate is not None:
            await gate.wait()
        finish(connection)

    return script


async def silence(connection: Connection) -> None:
    """Takes the request and never says anything."""
    await asyncio.sleep(3600)


async def begins_only(connection: Connection) -> None:
    """The head and a token, and then nothing."""
    begin(connection)
    await asyncio.sleep(3600)


class Vendor(Scripted):
    """`vendor.answer = ...` sets what every request gets; `vendor.bodies` are the requests that came."""

    def __init__(self) -> None:
        super().__init__(self._run)
        self.answer: Answer = answers(chat())
        self.bodies: list[dict[str, Any]] = []

    async def _run(self, connection: Connection) -> None:
        body = json.loads(connection.last.partition(b"\r\n\r\n")[2])
        self.bodies.append(body)
        await self.answer(connection)

    async def asked(self) -> Connection:
        """The latest connection, once it has asked something."""
        while not self.connections:
            await asyncio.sleep(0.005)
        latest = self.connections[-1]
        await asyncio.wait_for(latest.asked.wait(), 30)
        return latest
