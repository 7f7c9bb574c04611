"""The formats that the fault provider speaks, and the one text it answers.

A voice gives the bytes of an answer in one format, whole and event by event; the faults put them together
and break them. Who asks with a last message of the assistant's (a prefill) gets the rest of the text from
there, as vendors that can continue do it.
"""

from __future__ import annotations

import json
from typing import Any, Final, Protocol

#: What every healthy call answers: sixty words, each a token with the space before it.
TEXT: Final = (
    "On a clear morning the keeper climbed the stairs of the lighthouse and counted every step aloud, "
    "for the sea below had been quiet since midnight and he wanted to hear a voice. At the top he lit "
    "the lamp, wrote one line in the book, and waited until the first boat came home with its nets "
    "full of silver."
)
TOKENS: Final = tuple(word if at == 0 else " " + word for at, word in enumerate(TEXT.split(" ")))
PROMPT_TOKENS: Final = 12
CREATED: Final = 1_764_000_000


def sse(data: bytes, event: str | None = None) -> bytes:
    """One event as server-sent events have it."""
    named = b"" if event is None else b"event: " + event.encode() + b"\n"
    return named + b"data: " + data + b"\n\n"


def dumps(value: Any) -> bytes:
    """Compact JSON."""
    return json.dumps(value, separators=(",", ":")).encode()


def prefill(body: dict[str, Any]) -> str | None:
    """The text that the answer has to go on from; None where the last message is not the assistant's."""
    messages = body.get("messages") or [{}]
    last = messages[-1]
    if not isinstance(last, dict) or last.get("role") != "assistant":
        return None
    content = last.get("content") or ""
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content if isinstance(part, dict))


def tokens_after(said: str | None) -> list[str]:
    """What is left of the text after `said`; all of it where `said` is none of its beginnings."""
    if not said or not TEXT.startswith(said):
        return list(TOKENS)
    left = TEXT[len(said) :]
    words = left.split(" ")
    return [piece for piece in (words[0], *(" " + word for word in words[1:])) if piece]


class Voice(Protocol):
    """One format."""

    def whole(self, text: str, model: str, count: int) -> dict[str, Any]:
        """The body of an answer in one piece; count: its output tokens."""

    def begin(self, model: str) -> bytes:
        """The events before the first token."""

    def token(self, text: str, model: str) -> bytes:
        """One token's event."""

    def finish(self, model: str) -> bytes:
        """What says that the answer is complete."""

    def usage(self, model: str, count: int) -> bytes:
        """What counts the tokens, where it is an event of its own."""

    def done(self) -> bytes:
        """What ends the stream."""

    def error(self, status: int, code: str, message: str) -> dict[str, Any]:
        """An error's body."""

    def error_event(self, status: int, code: str, message: str) -> bytes:
        """An error inside a stream."""


class OpenAIChat:
    """OpenAI's chat completions."""

    def whole(self, text: str, model: str, count: int) -> dict[str, Any]:
        message = {"role": "assistant", "content": text, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
        head = {"id": "chatcmpl-fault", "object": "chat.completion", "created": CREATED, "model": model}
        return {**head, "choices": [choice], "usage": self.counts(count)}

    def counts(self, count: int) -> dict[str, int]:
        """Usage of `count` output tokens."""
        total = PROMPT_TOKENS + count
        return {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": count, "total_tokens": total}

    def event(self, model: str, body: dict[str, Any]) -> bytes:
        """An event of a stream with `body` over its usual fields."""
        head = {"id": "chatcmpl-fault", "object": "chat.completion.chunk", "created": CREATED, "model": model}
        return sse(dumps({**head, **body}))

    def delta(self, model: str, delta: dict[str, Any], finish: str | None = None, choice: int = 0) -> bytes:
        """An event with one choice."""
        row = {"index": choice, "delta": delta, "logprobs": None, "finish_reason": finish}
        return self.event(model, {"choices": [row]})

    def begin(self, model: str) -> bytes:
        return self.delta(model, {"role": "assistant", "content": ""})

    def token(self, text: str, model: str) -> bytes:
        return self.delta(model, {"content": text})

    def finish(self, model: str) -> bytes:
        return self.delta(model, {}, "stop")

    def usage(self, model: str, count: int) -> bytes:
        return self.event(model, {"choices": [], "usage": self.counts(count)})

    def done(self) -> bytes:
        return sse(b"[DONE]")

    def error(self, status: int, code: str, message: str) -> dict[str, Any]:
        kind = "invalid_request_error" if 400 <= status < 500 and status != 429 else code
        return {"error": {"message": message, "type": kind, "param": None, "code": code}}

    def error_event(self, status: int, code: str, message: str) -> bytes:
        return sse(dumps(self.error(status, code, message)))


class AnthropicMessages:
    """Anthropic's messages. Its counts come with the first and the last but one event."""

    def whole(self, text: str, model: str, count: int) -> dict[str, Any]:
        content = [{"type": "text", "text": text}]
        usage = {"input_tokens": PROMPT_TOKENS, "output_tokens": count}
        head = {"id": "msg_fault", "type": "message", "role": "assistant", "model": model}
        return {**head, "content": content, "stop_reason": "end_turn", "stop_sequence": None, "usage": usage}

    def _event(self, body: dict[str, Any]) -> bytes:
        return sse(dumps(body), body["type"])

    def begin(self, model: str) -> bytes:
        message = {**self.whole("", model, 1), "content": [], "stop_reason": None}
        block = {"type": "text", "text": ""}
        start = self._event({"type": "message_start", "message": message})
        return start + self._event({"type": "content_block_start", "index": 0, "content_block": block})

    def token(self, text: str, model: str) -> bytes:
        delta = {"type": "text_delta", "text": text}
        return self._event({"type": "content_block_delta", "index": 0, "delta": delta})

    def finish(self, model: str) -> bytes:
        return self._event({"type": "content_block_stop", "index": 0})

    def usage(self, model: str, count: int) -> bytes:
        delta = {"stop_reason": "end_turn", "stop_sequence": None}
        return self._event({"type": "message_delta", "delta": delta, "usage": {"output_tokens": count}})

    def done(self) -> bytes:
        return self._event({"type": "message_stop"})

    def error(self, status: int, code: str, message: str) -> dict[str, Any]:
        kinds = {400: "invalid_request_error", 401: "authentication_error", 429: "rate_limit_error"}
        kind = kinds.get(status, "overloaded_error" if status in (503, 529) else "api_error")
        return {"type": "error", "error": {"type": kind, "message": f"{message} ({code})"}}

    def error_event(self, status: int, code: str, message: str) -> bytes:
        return self._event(self.error(status, code, message))


OPENAI: Final = OpenAIChat()
ANTHROPIC: Final = AnthropicMessages()


def voice_of(path: str) -> Voice:
    """The format that a path is of."""
    return ANTHROPIC if path.endswith("/messages") else OPENAI
