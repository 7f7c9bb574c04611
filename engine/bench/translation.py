"""What an event of a stream costs: read from one format and written in another, or passed through.

The events are the text deltas that make up nearly all of a stream. For a stream that passes through, the
number of events whose JSON was parsed at all is counted too.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from typing import Any, Final

from engine.bench.report import Report
from engine.wire.dialect import BoundDialect
from engine.wire.stream_reader import StreamReader

#: Microseconds for decoding, mapping and encoding one event.
BAR_US: Final = 12.0
#: Vendor's format -> client's format.
PAIRS: Final = (
    ("anthropic_messages", "openai_chat"),
    ("gemini", "anthropic_messages"),
    ("openai_chat", "openai_responses"),
    ("openai_responses", "anthropic_messages"),
)
#: Events of a stream that may be parsed where it passes through: its beginning and its end.
_PARSED: Final = 8


def _event(body: dict[str, Any], name: str = "") -> bytes:
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(body, separators=(',', ':'))}\n\n".encode()


def _chunk(delta: dict[str, Any]) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1764000000,
        "model": "m",
        "choices": [choice],
    }


_RESPONSE: Final = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1764000000,
    "model": "m",
    "output": [],
}
_ITEM: Final = {"type": "message", "id": "msg_1", "role": "assistant", "status": "in_progress", "content": []}
#: Format -> how a stream begins, and one delta of it.
STREAMS: Final[dict[str, tuple[bytes, bytes]]] = {
    "anthropic_messages": (
        _event(
            {
                "type": "message_start",
                "message": {
                    "id": "msg_1",
                    "type": "message",
                    "role": "assistant",
                    "model": "m",
                    "content": [],
                    "stop_reason": None,
                    "usage": {"input_tokens": 9, "output_tokens": 1},
                },
            },
            "message_start",
        )
        + _event(
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            "content_block_start",
        ),
        _event(
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": " word"}},
            "content_block_delta",
        ),
    ),
    "gemini": (
        b"",
        _event(
            {
                "candidates": [{"content": {"parts": [{"text": " word"}], "role": "model"}, "index": 0}],
                "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 3, "totalTokenCount": 12},
                "modelVersion": "m",
                "responseId": "r1",
            }
        ),
    ),
    "openai_chat": (
        _event(_chunk({"role": "assistant", "content": ""})),
        _event(_chunk({"content": " word"})),
    ),
    "openai_responses": (
        _event({"type": "response.created", "sequence_number": 0, "response": _RESPONSE}, "response.created")
        + _event(
            {"type": "response.output_item.added", "sequence_number": 1, "output_index": 0, "item": _ITEM},
            "response.output_item.added",
        ),
        _event(
            {
                "type": "response.output_text.delta",
                "sequence_number": 2,
                "item_id": "msg_1",
                "output_index": 0,
                "content_index": 0,
                "delta": " word",
            },
            "response.output_text.delta",
        ),
    ),
}


def measure(report: Report, dialects: Callable[[str], BoundDialect], smoke: bool) -> None:
    """Add the rows to `report`."""
    rounds, times = (2, 50) if smoke else (15, 1_000)
    for vendor, client in PAIRS:
        took = [_translated(dialects(vendor), dialects(client), times) for _ in range(rounds)]
        name = f"a stream's event, {vendor} to {client}"
        report.add(name, statistics.median(took) * 1e6, "us", at_most=BAR_US)
        if not all(took):
            report.void = f"no event of {vendor} came out as {client}"
    for name in STREAMS:
        found = [_passed(dialects(name), times) for _ in range(rounds)]
        median = statistics.median(seconds for seconds, _ in found)
        report.add(f"a stream's event passed through, {name}", median * 1e6, "us")
        parsed = max(count for _, count in found)
        report.add(f"... of {times:,} events parsed as JSON", parsed, "events", at_most=_PARSED)


def _translated(vendor: BoundDialect, client: BoundDialect, times: int) -> float:
    """Seconds for each event; 0 where nothing was written."""
    first, delta = STREAMS[vendor.name]
    reader = vendor.stream_reader("chat")
    writer = client.stream_writer("chat", {"model": "m", "messages": [], "stream": True})
    writer.events(reader.feed(first + delta))
    size = 0
    begun = time.perf_counter()
    for _ in range(times):
        size += len(writer.events(reader.feed(delta)))
    took = (time.perf_counter() - begun) / times
    return took if size > 20 * times else 0.0


def _passed(vendor: BoundDialect, times: int) -> tuple[float, int]:
    """Seconds for each event, and how many of them were parsed."""
    first, delta = STREAMS[vendor.name]
    bound = vendor.operation("chat").stream_read
    assert bound is not None
    parse, count = bound.parse, 0

    def counted(data: bytes) -> Any:
        nonlocal count
        count += 1
        return parse(data)

    bound.parse = counted
    try:
        reader = vendor.stream_reader("chat", keep_raw=True, skim=True)
        reader.feed(first + delta)
        took = _fed(reader, delta, times)
    finally:
        bound.parse = parse
    return took, count


def _fed(reader: StreamReader, delta: bytes, times: int) -> float:
    begun = time.perf_counter()
    for _ in range(times):
        reader.feed(delta)
    took = (time.perf_counter() - begun) / times
    assert reader.raw == delta
    return took
