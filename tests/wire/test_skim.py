"""A stream whose bytes pass through tells the same outcome, whether its events are read or skimmed."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.wire import stream_reader
from engine.wire.alike import Alike
from engine.wire.canonical import CONTENT_EVENTS
from engine.wire.stream_reader import StreamReader

_spec = importlib.util.spec_from_file_location("dialects", Path(__file__).with_name("dialects.py"))
assert _spec is not None
assert _spec.loader is not None
if "dialects" not in sys.modules:
    sys.modules["dialects"] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules["dialects"])
dialects: Any = sys.modules["dialects"]

OUTCOME = ("start", "finish", "usage", "error")


def chunk(delta: dict[str, Any], finish: str | None = None, choice: int = 0, **more: Any) -> dict[str, Any]:
    choices = [{"index": choice, "delta": delta, "logprobs": None, "finish_reason": finish}]
    return {
        "id": "c1",
        "object": "chat.completion.chunk",
        "model": "m",
        "choices": choices,
        "usage": None,
        **more,
    }


def datum(body: dict[str, Any] | bytes, spaced: bool = False) -> bytes:
    if isinstance(body, bytes):
        return body
    data = orjson.dumps(body, option=orjson.OPT_INDENT_2) if spaced else orjson.dumps(body)
    return b"".join(b"data: " + line + b"\n" for line in data.split(b"\n")) + b"\n"


#: Texts that look like what is looked for.
text = st.sampled_from(
    ["Paris", "", "żółć 🙂", '"finish_reason": "stop"', '{"usage": {}}', "[DONE]", "\n\ndata: x"]
)
call = st.fixed_dictionaries(
    {
        "index": st.integers(0, 2),
        "function": st.fixed_dictionaries({"arguments": text}, optional={"name": text}),
    },
    optional={"id": st.sampled_from(["a", "b"])},
)
delta = st.fixed_dictionaries(
    {},
    optional={
        "content": text,
        "reasoning_content": text,
        "refusal": text,
        "tool_calls": st.lists(call, max_size=2),
    },
)
usage = {"prompt_tokens": 3, "completion_tokens": 2}
event = st.one_of(
    st.builds(chunk, delta, st.just(None), st.sampled_from([0, 0, 0, 1])),
    st.builds(chunk, delta, st.just(None), st.just(0), usage=st.sampled_from([None, usage])),
    st.sampled_from([b": ping\n\n", b"event: x\n\n"]),
)
end = st.sampled_from(
    [
        [],
        [chunk({}, "stop")],
        [chunk({}, "stop"), chunk({}, "length", 1)],
        [chunk({}, "tool_calls", usage=usage)],
        [chunk({}, "stop"), {"id": "c1", "choices": [], "usage": usage}, b"data: [DONE]\n\n"],
        [chunk({}, "stop"), b"data: [DONE]\n\n", chunk({"content": "late"})],
        [{"error": {"message": "overloaded", "code": "server_is_overloaded"}}],
    ]
)


def told(data: bytes, cuts: list[int], *, skim: bool, **how: bool) -> Any:
    """Outcome, bytes and what was held back."""
    reader: StreamReader = dialects.bound().stream_reader("chat", keep_raw=True, skim=skim, **how)
    events: list[Any] = []
    raw: list[bytes] = []
    whole: list[bool] = []
    for start, stop in zip([0, *cuts], [*cuts, len(data)], strict=True):
        events += reader.feed(data[start:stop])
        raw.append(reader.raw)
        whole.append(reader.complete)
    events += reader.eof()
    raw.append(reader.raw)
    first = next((number for number, each in enumerate(events) if each["type"] in CONTENT_EVENTS), None)
    begun = None if first is None else events[first]
    held = reader.usage_data, reader.usage_raw, reader.after
    return [e for e in events if e["type"] in OUTCOME], begun, raw, whole, held, reader.failed


@settings(max_examples=60, deadline=None)
@given(st.data(), st.lists(event, max_size=8), end, st.booleans())
@pytest.mark.parametrize(
    "how", [{}, {"hide_usage": True}, {"hold_usage": True}], ids=["plain", "hide", "hold"]
)
def test_the_outcome_is_the_same(
    how: dict[str, bool], data: Any, events: Any, last: Any, spaced: bool
) -> None:
    stream = b"".join(datum(each, spaced) for each in [*events, *last])
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=4)))
    assert told(stream, cuts, skim=True, **how) == told(stream, cuts, skim=False, **how)


def parses(monkeypatch: pytest.MonkeyPatch, reader: StreamReader, data: bytes) -> int:
    """How many events were parsed."""
    count = 0
    real = orjson.loads

    def counted(text: Any) -> Any:
        nonlocal count
        count += 1
        return real(text)

    monkeypatch.setattr(stream_reader.orjson, "loads", counted)
    monkeypatch.setattr(reader._bound, "parse", counted)
    reader.feed(data)
    reader.eof()
    return count


PIECES = [f"{n % 100:02} " for n in range(1000)]
LONG = [
    chunk({"role": "assistant", "content": ""}),
    *[chunk({"content": piece}) for piece in PIECES],
    chunk({}, "stop"),
]
CALLS = [
    chunk({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}}]}),
    *[chunk({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}) for piece in PIECES],
    chunk({}, "tool_calls"),
]


@pytest.mark.parametrize(("events", "most"), [(LONG, 6), (CALLS, 5)], ids=["text", "a tool call alone"])
def test_a_long_answer_is_parsed_at_its_ends_and_where_its_form_is_learned(
    monkeypatch: pytest.MonkeyPatch, events: list[dict[str, Any]], most: int
) -> None:
    reader = dialects.bound().stream_reader("chat", keep_raw=True, skim=True)
    stream = b"".join(map(datum, events))
    assert parses(monkeypatch, reader, stream) == most
    assert reader.done
    assert not reader.failed
    # Nobody said usage: the size that it is guessed from is the content's.
    assert abs(reader.unread() - 3000) < 60


def test_only_a_passthrough_skims() -> None:
    reader = dialects.bound().stream_reader("chat", skim=True)
    events = reader.feed(b"".join(map(datum, LONG)))
    assert sum(each["type"] == "text" for each in events) == 1000
    assert reader.unread() == 0


def _counted(text: str, tokens: int, finish: str | None = None) -> bytes:
    candidate = {"content": {"role": "model", "parts": [{"text": text}]}, "index": 0}
    if finish is not None:
        candidate["finishReason"] = finish
    usage = {"promptTokenCount": 9, "candidatesTokenCount": tokens, "totalTokenCount": 9 + tokens}
    return datum({"responseId": "r", "modelVersion": "m", "candidates": [candidate], "usageMetadata": usage})


@pytest.mark.parametrize(
    "events",
    [
        [_counted("a", 1), _counted("b", 20), _counted("c", 300)],
        [_counted("a", 1), _counted("b", 20), datum({"error": {"code": 500, "message": "no"}})],
        [_counted("a", 1), _counted("b", 20), _counted("c", 300, "STOP")],
    ],
    ids=["cut", "failed", "whole"],
)
def test_counts_that_stand_in_every_event_are_those_of_the_last(events: list[bytes]) -> None:
    """A stream that breaks off is billed by what it had come to, though its events passed unread."""
    bound = dialects.bound("gemini")
    last = []
    for skim in (False, True):
        reader = bound.stream_reader("chat", keep_raw=True, skim=skim)
        told = [each for data in events for each in reader.feed(data)]
        last.append((told + reader.eof())[-1])
    assert last[0] == last[1]
    assert last[0]["usage"]["output_tokens"] > 1


@pytest.mark.parametrize("at", [2, 3, 10])
def test_what_is_no_json_never_passes(at: int) -> None:
    reader = dialects.bound().stream_reader("chat", keep_raw=True, skim=True)
    events = [datum(event) for event in LONG]
    bad = events[at][:-6] + b"}\n\n"
    reader.feed(b"".join(events[:at]))
    told = reader.feed(bad)
    assert reader.failed
    assert told[-1]["error"]["failure"] == "server"
    assert bad not in reader.raw


json_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@settings(deadline=None)
@given(
    learned=st.lists(json_text, min_size=1, max_size=5),
    keys=st.booleans(),
    tail=st.sampled_from([b'"}', b'"]}', b'","b":2}', b"}", b'\\"}']),
    raw=st.binary(max_size=8),
)
def test_what_is_alike_is_json(learned: list[str], keys: bool, tail: bytes, raw: bytes) -> None:
    alike = Alike()
    for text in learned:
        event = orjson.dumps({text: 1, "b": 2} if keys else {"a": text, "b": 2})
        assert not alike(event) or orjson.loads(event) is not None
        alike.learn(event)
    for data in (b'{"a":"' + raw + tail, b'{"' + raw + b'":1,"b":2}', b'{"a":"' + raw + b'","b":2}'):
        if alike(data):
            orjson.loads(data.decode("utf-8", "replace"))
