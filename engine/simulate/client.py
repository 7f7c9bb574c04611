"""Clients: each asks once over ASGI, as a server would hand it on, and writes down what it was sent.

A client may stream, be slow to read, set a deadline, or leave: before the answer, in the middle, at its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

Message = MutableMapping[str, Any]

PATHS: Final = {"openai_chat": "/v1/chat/completions", "anthropic_messages": "/v1/messages"}


@dataclass(slots=True)
class Habits:
    """What a client is like. Times in seconds after its request; None = never.

    pause: how long each write to it takes.
    """

    dialect: str = "openai_chat"
    stream: bool = True
    leaves: float | None = None
    pause: float = 0.0
    deadline_ms: int | None = None


@dataclass(slots=True)
class Heard:
    """What an answer said, read as its client reads it."""

    text: str = ""
    finished: bool = False  # the format's own end of a good answer was there
    error: str | None = None
    after_error: bool = False  # content came after an error
    broken: str | None = None  # what was sent is no answer in this format


@dataclass(slots=True)
class Client:
    """One request and its answer."""

    number: int
    model: str
    question: str
    habits: Habits
    began: float = 0.0
    ended: float | None = None
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    data: bytearray = field(default_factory=bytearray)
    whole: bool = False  # the answer's last byte was sent
    left: bool = False
    faults: list[str] = field(default_factory=list)  # the protocol of ASGI, broken

    async def ask(self, app: Any) -> None:
        """Ask, and read to the end or until it is time to leave."""
        loop = asyncio.get_running_loop()
        self.began = loop.time()
        gone = asyncio.Event()
        leaving = None if self.habits.leaves is None else loop.call_later(self.habits.leaves, gone.set)
        given = False

        async def receive() -> Message:
            nonlocal given
            if not given:
                given = True
                return {"type": "http.request", "body": self._body(), "more_body": False}
            if not self.whole:
                await gone.wait()
            self.left = not self.whole
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            if gone.is_set() and not self.whole:
                self.left = True
            if self.left:
                return  # as servers do: what is written to nobody is dropped
            if self.habits.pause:
                await asyncio.sleep(self.habits.pause)
            self._take(message)

        try:
            await app(self._scope(), receive, send)
        finally:
            self.ended = loop.time()
            if leaving is not None:
                leaving.cancel()

    def heard(self) -> Heard:
        """The answer, read."""
        if self.status != 200:
            return Heard(error=self._error_code())
        if not self.habits.stream:
            return self._read_whole()
        return (_openai_stream if self.habits.dialect == "openai_chat" else _anthropic_stream)(
            bytes(self.data)
        )

    def _take(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            if self.status is not None:
                self.faults.append("a second head")
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            return
        if self.status is None:
            self.faults.append("a body before the head")
        if self.whole:
            self.faults.append("bytes after the end")
        self.data += message.get("body", b"")
        self.whole = not message.get("more_body", False)

    def _body(self) -> bytes:
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": "user", "content": self.question}],
            "stream": self.habits.stream,
        }
        if self.habits.dialect == "anthropic_messages":
            body["max_tokens"] = 500
        return orjson.dumps(body)

    def _scope(self) -> dict[str, Any]:
        headers = [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")]
        if self.habits.deadline_ms is not None:
            headers.append((b"x-engine-timeout-ms", str(self.habits.deadline_ms).encode()))
        return {
            "type": "http",
            "method": "POST",
            "path": PATHS[self.habits.dialect],
            "query_string": b"",
            "http_version": "1.1",
            "headers": headers,
            "client": ("127.0.0.1", 1),
        }

    def _error_code(self) -> str:
        try:
            error = orjson.loads(self.data)["error"]
            return str(error.get("code") or error["type"])
        except (ValueError, KeyError, TypeError):
            return "unreadable"

    def _read_whole(self) -> Heard:
        try:
            body = orjson.loads(self.data)
            if self.habits.dialect == "openai_chat":
                choice = body["choices"][0]
                return Heard(choice["message"]["content"], choice["finish_reason"] == "stop")
            text = "".join(block["text"] for block in body["content"])
            return Heard(text, body["stop_reason"] == "end_turn")
        except (ValueError, KeyError, TypeError, IndexError) as error:
            return Heard(broken=f"no answer of its format: {error!r}")


def _events(data: bytes) -> tuple[list[Any], str | None]:
    """The JSON of each event (`[DONE]` as it is), and why the rest could not be read."""
    found: list[Any] = []
    *events, rest = data.split(b"\n\n")
    if rest:
        return found, "the stream ends inside an event"
    for event in events:
        lines = [line[6:] for line in event.split(b"\n") if line.startswith(b"data: ")]
        if not lines:
            continue  # a comment: somebody lets us know that the wait goes on
        if lines == [b"[DONE]"]:
            found.append("[DONE]")
            continue
        try:
            found.append(orjson.loads(b"\n".join(lines)))
        except ValueError as error:
            return found, f"an event is no JSON: {error}"
    return found, None


def _openai_stream(data: bytes) -> Heard:
    events, broken = _events(data)
    heard = Heard(broken=broken)
    finish = None
    for event in events:
        if event == "[DONE]":
            heard.finished = finish == "stop"
        elif "error" in event:
            heard.error = str(event["error"].get("code"))
        else:
            for choice in event["choices"]:
                piece = choice["delta"].get("content") or ""
                heard.after_error |= bool(piece) and heard.error is not None
                heard.text += piece
                finish = choice["finish_reason"] or finish
    return heard


def _anthropic_stream(data: bytes) -> Heard:
    events, broken = _events(data)
    heard = Heard(broken=broken)
    reason = None
    for event in events:
        match event["type"]:
            case "content_block_delta":
                piece = event["delta"].get("text", "")
                heard.after_error |= bool(piece) and heard.error is not None
                heard.text += piece
            case "message_delta":
                reason = event["delta"].get("stop_reason")
            case "message_stop":
                heard.finished = reason == "end_turn"
            case "error":
                heard.error = str(event["error"]["type"])
    return heard
