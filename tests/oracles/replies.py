"""Canonical answers of every kind, whole; as streams they are `events_of` them."""

from __future__ import annotations

from typing import Any, Final

TEXT: Final = {"type": "text", "text": "Hello, wörld 👋"}
CALL: Final = {"type": "tool_call", "id": "call_1", "name": "weather", "arguments": '{"city":"Rome"}'}
OTHER: Final = {"type": "tool_call", "id": "call_2", "name": "get_time", "arguments": "{}"}
THOUGHT: Final = {"type": "reasoning", "text": "Let me see."}
SIGNED: Final = {"type": "reasoning", "text": "Hm.", "signature": "c2ln", "origin": "anthropic_messages"}
REDACTED: Final = {"type": "reasoning", "redacted": "cmVk", "origin": "anthropic_messages"}
CITED: Final = {
    "type": "text",
    "text": "Paris it is.",
    "citations": [
        {"url": "https://example.org", "title": "A page", "start": 0, "end": 5},
        {"url": "https://example.com", "title": "Another", "start": 6, "end": 8},
    ],
}
REFUSAL: Final = {"type": "refusal", "text": "I cannot."}
SIGNED_CALL: Final = {**CALL, "signature": "dGhv", "origin": "gemini"}
EMPTY_CALL: Final = {**CALL, "arguments": ""}

REPLIES: Final[dict[str, tuple[list[dict[str, Any]], str]]] = {
    "text": ([TEXT], "stop"),
    "nothing": ([], "stop"),
    "cut short": ([TEXT], "length"),
    "filtered": ([TEXT], "content_filter"),
    "refused": ([REFUSAL], "content_filter"),
    "a call": ([CALL], "tool_calls"),
    "two calls": ([TEXT, CALL, OTHER], "tool_calls"),
    "a call without arguments": ([EMPTY_CALL], "tool_calls"),
    "a signed call": ([SIGNED_CALL], "tool_calls"),
    "thought": ([THOUGHT, TEXT], "stop"),
    "signed thought": ([SIGNED, TEXT, CALL], "tool_calls"),
    "redacted thought": ([REDACTED, SIGNED, TEXT], "stop"),
    "citations": ([CITED], "stop"),
    "text around a call": ([TEXT, CALL, {"type": "text", "text": "So."}], "tool_calls"),
    "everything": ([SIGNED, CITED, CALL, OTHER, REFUSAL], "tool_calls"),
}


def reply(name: str) -> dict[str, Any]:
    """The answer of that name, of its own."""
    content, finish = REPLIES[name]
    return {
        "id": "x-1",
        "created": 1700000000,
        "model": "m-1",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": [dict(part) for part in content]},
                "finish_reason": finish,
            }
        ],
        "usage": {"input_tokens": 9, "cached_tokens": 4, "output_tokens": 5, "reasoning_tokens": 2},
    }
