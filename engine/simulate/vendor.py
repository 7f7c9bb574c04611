"""Vendors in memory: a transport that answers every call as the schedule says, in two wire formats.

What a vendor says is decided by the question alone (`answer_to`), so whoever answers, and however often it
was cut and continued, the client must end up with that very text or be told that it did not get it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final, cast
from urllib.parse import urlsplit

import orjson

from engine.upstream.protocol import HttpCall, HttpReply, TransportError

#: What may go wrong with a call, and how often beside the others in a bad time.
FAULTS: Final[Mapping[str, int]] = {
    "connect": 4,
    "reset": 3,
    "silent": 3,
    "slow": 3,
    "500": 6,
    "503": 6,
    "529": 2,
    "429": 4,
    "429_after": 4,
    "429_ms": 3,
    "401": 2,
    "402": 2,
    "403": 1,
    "404": 1,
    "context": 2,
    "policy": 1,
    "ok_error": 3,
    "html": 2,
    "truncated": 3,
    "cut": 6,
    "rst": 5,
    "stall": 4,
    "event_error": 4,
    "bad_event": 3,
    "no_sentinel": 3,
    "lingers": 3,
    "drip": 3,
}

_STATUS: Final = {
    "500": (500, "server_error", "it broke"),
    "503": (503, "overloaded", "too many"),
    "529": (529, "overloaded_error", "too many"),
    "429": (429, "rate_limit_exceeded", "slower"),
    "429_after": (429, "rate_limit_exceeded", "slower"),
    "429_ms": (429, "rate_limit_exceeded", "slower"),
    "401": (401, "invalid_api_key", "who are you"),
    "402": (402, "insufficient_quota", "pay first"),
    "403": (403, "permission_denied", "not you"),
    "404": (404, "model_not_found", "no such model"),
    "context": (400, "context_length_exceeded", "too long"),
    "policy": (400, "content_policy_violation", "not that"),
}


def answer_to(question: str) -> str:
    """The words that every vendor has for a question: 3 to 40 of them; of a judge, its judgement."""
    rng = Random(question)
    if question.startswith("{"):
        return orjson.dumps({"score": rng.random(), "best": rng.randint(1, 2)}).decode()
    return " ".join(f"{rng.choice('abcdefgh')}{n}" for n in range(rng.randint(3, 40)))


@dataclass(slots=True)
class Spell:
    """A stretch of a vendor's life, in seconds: how likely a call fails, and with what (None: anything)."""

    until: float
    chance: float
    fault: str | None = None


@dataclass(slots=True)
class Life:
    """One model at a vendor: what it does when. `prefill`: it goes on from an assistant's message."""

    spells: tuple[Spell, ...]
    prefill: bool = True

    def fault(self, now: float, rng: Random) -> str | None:
        """What goes wrong with a call at this moment."""
        spell = next((each for each in self.spells if now < each.until), None)
        if spell is None or rng.random() >= spell.chance:
            return None
        return spell.fault or rng.choices(list(FAULTS), list(FAULTS.values()))[0]


@dataclass(slots=True)
class Called:
    """A call that a vendor saw. Seconds on the loop."""

    model: str
    at: float
    fault: str | None
    question: str


class Vendors:
    """Implements `engine.upstream.protocol.Transport`."""

    def __init__(self, lives: Mapping[str, Life], rng: Random) -> None:
        self._lives = lives
        self._rng = rng
        self.calls: list[Called] = []
        self.open: set[_Reply] = set()
        self.sending = 0
        self.faults: Counter[str] = Counter()

    async def send(self, call: HttpCall) -> HttpReply:
        body = orjson.loads(call.body)
        anthropic = urlsplit(call.url).path.endswith("/messages")
        model = body["model"]
        # A call's own chances: others that come between must not change them.
        rng = Random(self._rng.getrandbits(64))
        loop = asyncio.get_running_loop()
        life = self._lives[model]
        fault = life.fault(loop.time(), rng)
        question, said = _asked(body)
        self.calls.append(Called(model, loop.time(), fault, question))
        self.faults[fault or "none"] += 1
        self.sending += 1
        try:
            await asyncio.sleep(rng.uniform(0.001, 0.4))
            await self._before(fault)
        finally:
            self.sending -= 1
        if said is not None and not life.prefill:
            return self._opened(400, _error("invalid_request_error", "no trailing assistant message"), {})
        if fault in _STATUS:
            status, kind, words = _STATUS[fault]
            return self._opened(status, _error(kind, words), _delays(fault, rng))
        if fault == "html":
            return self._opened(200, b"<html>hello</html>", {"content-type": "text/html"})
        if fault == "ok_error":
            return self._opened(200, _error("server_error", "it broke"), {})
        text = answer_to(question)
        text = text if said is None else text[len(said) :]
        if body.get("stream"):
            events = _anthropic_events(text, model) if anthropic else _openai_events(text, model)
            reply: _Reply = _Stream(self, rng, list(events), fault)
        else:
            whole = orjson.dumps((_anthropic_whole if anthropic else _openai_whole)(text, model))
            reply = _Reply(self, rng, 200, {"content-type": "application/json"}, whole, fault)
        self.open.add(reply)
        return cast(HttpReply, reply)

    async def close(self) -> None:
        """Nothing is kept."""

    async def _before(self, fault: str | None) -> None:
        if fault == "connect":
            raise TransportError("connect", "refused")
        if fault == "reset":
            raise TransportError("cut", "reset before an answer")
        if fault == "silent":
            await asyncio.sleep(100_000)
        if fault == "slow":
            await asyncio.sleep(20)

    def _opened(self, status: int, body: bytes, headers: Mapping[str, str]) -> HttpReply:
        reply = _Reply(
            self, self._rng, status, {"content-type": "application/json", **headers}, body, fault=None
        )
        self.open.add(reply)
        return cast(HttpReply, reply)


@dataclass(eq=False)
class _Reply:
    """An answer in one piece. Implements `HttpReply`."""

    vendors: Vendors
    rng: Random
    status: int
    headers: Mapping[str, str]
    body: bytes
    fault: str | None
    closed: bool = field(default=False, init=False)

    async def read(self, limit: int) -> bytes:
        if self.fault == "drip":
            await asyncio.sleep(3)
        if self.fault == "stall":
            await asyncio.sleep(100_000)
        if self.closed or self.fault in {"cut", "rst"}:
            raise TransportError("cut", "the answer ended early")
        if self.fault in {"truncated", "bad_event", "event_error"}:
            return self.body[: len(self.body) // 2]
        return self.body[:limit]

    async def chunks(self) -> AsyncIterator[bytes]:
        yield await self.read(1 << 30)

    async def close(self) -> None:
        self.closed = True
        self.vendors.open.discard(self)


class _Stream(_Reply):
    """A stream of server-sent events, cut into pieces that know nothing of events."""

    def __init__(self, vendors: Vendors, rng: Random, events: list[bytes], fault: str | None) -> None:
        super().__init__(vendors, rng, 200, {"content-type": "text/event-stream"}, b"", fault)
        self._events = events

    async def chunks(self) -> AsyncIterator[bytes]:
        at = self.rng.randrange(1, len(self._events) - 1)
        for number, event in enumerate(self._events):
            if number == at:
                stop = await self._broken()
                if stop is not None:
                    if stop:
                        yield stop
                    return
                if self.fault == "bad_event":
                    yield b'data: {"choices": [}\n\n'
            if self.fault == "no_sentinel" and number == len(self._events) - 1:
                return
            await asyncio.sleep(self.rng.uniform(1, 2) if self.fault == "drip" else self.rng.uniform(0, 0.05))
            if self.closed:
                raise TransportError("cut", "closed here")
            half = self.rng.randrange(len(event))
            yield event[:half] or event
            if half:
                yield event[half:]
        if self.fault == "lingers":
            await asyncio.sleep(100_000)

    async def _broken(self) -> bytes | None:
        """What ends the stream here: nothing (None: it goes on), silence, or a vendor's own words."""
        if self.fault in {"cut", "truncated"}:
            return b""
        if self.fault == "rst":
            raise TransportError("cut", "reset")
        if self.fault == "stall":
            await asyncio.sleep(100_000)
        if self.fault == "event_error":
            error = orjson.loads(_error("overloaded_error", "too many"))
            return b"event: error\ndata: " + orjson.dumps({"type": "error", **error}) + b"\n\n"
        return None


def _asked(body: Mapping[str, Any]) -> tuple[str, str | None]:
    """The question, and what an assistant has said of the answer already."""
    messages = body["messages"]
    said = None
    if messages[-1]["role"] == "assistant":
        said = _text(messages[-1]["content"])
    question = next(_text(each["content"]) for each in reversed(messages) if each["role"] == "user")
    return question, said


def _text(content: Any) -> str:
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def _error(kind: str, words: str) -> bytes:
    return orjson.dumps({"error": {"message": words, "type": kind, "code": kind}})


def _delays(fault: str, rng: Random) -> dict[str, str]:
    if fault == "429_after":
        return {"retry-after": str(rng.randint(1, 30))}
    if fault == "429_ms":
        return {"retry-after-ms": str(rng.randint(1, 3000))}
    return {}


def _pieces(text: str) -> Iterator[str]:
    """A text as tokens: words with the space before them."""
    for number, word in enumerate(text.split(" ")):
        yield word if number == 0 else " " + word


def _openai_whole(text: str, model: str) -> dict[str, Any]:
    return {
        "id": "chatcmpl-sim",
        "object": "chat.completion",
        "created": 1,
        "model": model,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": len(text.split()), "total_tokens": 10},
    }


def _openai_events(text: str, model: str) -> Iterator[bytes]:
    def event(choices: list[Any], **more: Any) -> bytes:
        head = {"id": "chatcmpl-sim", "object": "chat.completion.chunk", "created": 1, "model": model}
        return b"data: " + orjson.dumps({**head, "choices": choices, **more}) + b"\n\n"

    yield event([{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}])
    for piece in _pieces(text):
        yield event([{"index": 0, "delta": {"content": piece}, "finish_reason": None}])
    yield event([{"index": 0, "delta": {}, "finish_reason": "stop"}])
    yield event([], usage={"prompt_tokens": 10, "completion_tokens": len(text.split()), "total_tokens": 10})
    yield b"data: [DONE]\n\n"


def _anthropic_whole(text: str, model: str) -> dict[str, Any]:
    return {
        "id": "msg_sim",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 10, "output_tokens": len(text.split())},
    }


def _anthropic_events(text: str, model: str) -> Iterator[bytes]:
    def event(kind: str, **body: Any) -> bytes:
        data = orjson.dumps({"type": kind, **body})
        return b"event: " + kind.encode() + b"\ndata: " + data + b"\n\n"

    begun = {**_anthropic_whole("", model), "content": [], "stop_reason": None}
    yield event("message_start", message=begun)
    yield event("content_block_start", index=0, content_block={"type": "text", "text": ""})
    for piece in _pieces(text):
        yield event("content_block_delta", index=0, delta={"type": "text_delta", "text": piece})
    yield event("content_block_stop", index=0)
    yield event(
        "message_delta",
        delta={"stop_reason": "end_turn", "stop_sequence": None},
        usage={"output_tokens": len(text.split())},
    )
    yield event("message_stop")
