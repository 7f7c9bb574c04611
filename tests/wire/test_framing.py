"""A dialect that names a framing reads and writes it, and its samples are framed the same way."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from engine.compiler.samples import check_dialect
from engine.spec.dialect import DialectSpec
from engine.wire import eventstream, sse
from engine.wire.dialect import BoundDialect

_spec = importlib.util.spec_from_file_location("dialects", Path(__file__).with_name("dialects.py"))
assert _spec is not None
assert _spec.loader is not None
if "dialects" not in sys.modules:
    sys.modules["dialects"] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules["dialects"])
dialects: Any = sys.modules["dialects"]

FRAME = """
can: [stream]
finish: {end_turn: stop}
operations:
  chat:
    path: /x
    request: {}
    response: {}
    stream:
      read:
        %s
      write:
        encoder: %s
        rules: [{when: event.type == "text", emit: {contentBlockDelta: {delta: {text: "${{ event.text }}"}}}}]
        error: {internalServerException: {message: "${{ event.error.message }}"}}
errors:
  read: {message: "${{ body.message }}"}
  default: by_status
  rules: [{path: exception, equals: throttlingException, class: rate_limited}]
samples:
  - name: one
    stream: %s
    gives: %s
"""
AWS_RULES = """decoder: aws_eventstream
        rules:
          - {when: event.exception, error: "${{ event }}"}
          - {when: name == "contentBlockDelta", emit: {type: text, text: "${{ event.delta.text }}"}}
          - when: name == "messageStop"
            emit: {type: finish, native_finish_reason: "${{ event.stopReason }}"}"""
INNER = """decoder: aws_eventstream
        options: {inner: base64-json}
        rules:
          - {when: event.exception, error: "${{ event }}"}
          - {when: name == "chunk", emit: {type: text, text: "${{ event.text }}"}}
          - {when: event.stop, emit: {type: finish, native_finish_reason: "${{ event.stop }}"}}"""
TEXT = """decoder: sse
        options: {data: text}
        rules:
          - {when: name == "output", emit: {type: text, text: "${{ event.data }}"}}
          - {when: name == "done", emit: {type: finish, native_finish_reason: end_turn}}"""
ARRAY = """decoder: json_array
        rules:
          - {when: event.error, error: "${{ event.error }}"}
          - {emit: {type: text, text: "${{ event.text }}"}, continue: true}
          - {when: event.stop, emit: {type: finish, native_finish_reason: "${{ event.stop }}"}}"""

STREAMS: dict[str, tuple[str, str, str]] = {
    "aws": (
        AWS_RULES,
        "[{$event: contentBlockDelta, delta: {text: a}}, {$event: messageStop, stopReason: end_turn}]",
        "[{type: text, text: a}, {type: finish, finish_reason: stop}, {type: usage}]",
    ),
    "an exception by its rule": (
        AWS_RULES,
        "[{$exception: throttlingException, message: slow}]",
        "[{type: error, error: {failure: rate_limited, message: slow}}]",
    ),
    "inner": (
        INNER,
        "[{$event: chunk, text: a}, {$event: last, stop: end_turn}]",
        "[{type: text, text: a}, {type: finish, finish_reason: stop}, {type: usage}]",
    ),
    "inner, failed": (
        INNER,
        "[{$event: chunk, text: a}, {$exception: throttlingException, message: slow}]",
        "[{type: text, text: a}, {type: error, error: {failure: rate_limited, message: slow}}]",
    ),
    "data that is text": (
        TEXT,
        '[{$event: output, $data: "{1}"}, {$event: logs, $data: x}, {$event: done, $data: {}}]',
        '[{type: text, text: "{1}"}, {type: finish, finish_reason: stop}, {type: usage}]',
    ),
    "an array": (
        ARRAY,
        "[{text: a}, {text: b, stop: end_turn}]",
        "[{type: text, text: a}, {type: text, text: b}, {type: finish, finish_reason: stop}, {type: usage}]",
    ),
}


def made(read: str, stream: str = "[]", gives: str = "[]", encoder: str = "sse") -> tuple[Any, BoundDialect]:
    text = FRAME % (read, encoder, stream, gives)
    dialect, out = dialects.make_dialect(text)
    assert dialect is not None, list(map(str, out))
    document, _ = dialects._parsed(text, "own", "dialect")
    return DialectSpec.model_validate(document.data), BoundDialect(dialect)


@pytest.mark.parametrize(("read", "stream", "gives"), STREAMS.values(), ids=STREAMS)
def test_samples_hold(read: str, stream: str, gives: str) -> None:
    spec, dialect = made(read, stream, gives)
    assert list(check_dialect(spec, dialect.plan)) == []


def test_a_client_of_a_binary_stream_gets_one() -> None:
    _, dialect = made(AWS_RULES, encoder="aws_eventstream")
    writer = dialect.stream_writer("chat", {})
    data = writer.events([{"type": "text", "text": "a"}])
    data += writer.failure({"type": "error", "error": {"message": "broken"}})
    frames = eventstream.EventStreamDecoder().feed(data)
    assert writer.media_type == "application/vnd.amazon.eventstream"
    assert [(frame.name, orjson.loads(frame.data or b"")) for frame in frames] == [
        ("contentBlockDelta", {"delta": {"text": "a"}}),
        ("internalServerException", {"message": "broken", "exception": "internalServerException"}),
    ]


def test_a_damaged_stream_is_a_failure_of_the_server() -> None:
    _, dialect = made(AWS_RULES)
    (event,) = dialect.stream_reader("chat").feed(sse.encode(b"{}") * 3)
    assert event["error"]["failure"] == "server"
    assert "damaged" in event["error"]["message"]
