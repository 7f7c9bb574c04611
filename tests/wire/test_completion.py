"""What completes an answer, dialect by dialect: a stream that ends before it is cut, never a success.

Every stream among the dialects' own samples is ended after each of its events. Either the answer is whole
there (all of its text and calls, its finish), or the reader says `cut`; what merely may follow (usage, a
sentinel, a last event) is never needed.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.compiler.samples import _framed
from engine.spec.dialect import DialectSample, DialectSpec
from engine.wire.canonical import Event

_spec = importlib.util.spec_from_file_location("dialects", Path(__file__).with_name("dialects.py"))
assert _spec is not None
assert _spec.loader is not None
dialects = sys.modules.setdefault("dialects", importlib.util.module_from_spec(_spec))
_spec.loader.exec_module(dialects)

#: Formats that say nothing at the end of an answer but their sentinel: it completes.
BY_SENTINEL = {"cloudflare"}


def _samples() -> Iterator[Any]:
    for name in dialects.shipped_names():
        spec = DialectSpec.model_validate(dialects.shipped_file("dialect", name).data)
        for number, sample in enumerate(spec.samples or ()):
            if sample.stream is not None:
                yield pytest.param(name, sample, id=f"{name}-{number}")


def _read(name: str, sample: DialectSample, count: int) -> list[Event]:
    """The events of the first `count` of its events, and an end there."""
    bound = dialects.bound(name)
    op = sample.operation or "chat"
    assert sample.stream is not None
    reader = bound.stream_reader(op)
    events: list[Event] = reader.feed(_framed(bound, op, sample.stream[:count]))
    return events + reader.eof()


def _said(events: list[Event]) -> list[Any]:
    """Its content, whatever the pieces it came in."""
    return [event for event in events if event["type"] not in {"usage", "start", "error"}]


@pytest.mark.parametrize(("name", "sample"), list(_samples()))
def test_an_end_before_completion_is_cut(name: str, sample: DialectSample) -> None:
    assert sample.stream is not None
    whole = _read(name, sample, len(sample.stream))
    for count in range(len(sample.stream) + 1):
        events = _read(name, sample, count)
        last = events[-1]
        if last["type"] == "usage":
            assert _said(events) == _said(whole), f"a truncated answer passed as whole after event {count}"
            assert any(event["type"] == "finish" for event in events)
        elif last != whole[-1]:
            assert last["error"]["failure"] == "cut", count


@pytest.mark.parametrize("name", dialects.shipped_names())
def test_the_last_events_are_not_needed(name: str) -> None:
    """Some sample of each format is whole before its very last event, or ends with what completes it."""
    spec = DialectSpec.model_validate(dialects.shipped_file("dialect", name).data)
    streams = [each for each in spec.samples or () if each.stream is not None]
    whole = [each for each in streams if _read(name, each, len(each.stream or ()))[-1]["type"] == "usage"]
    assert bool(whole) == bool(streams)
    needed = [each for each in whole if each.stream and each.stream[-1] == "[DONE]"]
    for sample in needed:
        without = _read(name, sample, len(sample.stream or ()) - 1)
        said = any(event["type"] == "finish" for event in without)
        assert (without[-1]["type"] == "usage") == (said or name not in BY_SENTINEL)


@pytest.mark.parametrize(
    "junk", [b"data: {oops\n\n", b"data: " + b"x" * (2 << 20)], ids=["no-json", "long-line"]
)
@pytest.mark.parametrize("whole", [True, False])
def test_what_cannot_be_read_behind_a_whole_answer_ends_it(junk: bytes, whole: bool) -> None:
    said = b'data: {"id":"x","choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
    finish = b'data: {"id":"x","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    reader = dialects.bound("openai_chat").stream_reader("chat", keep_raw=True)
    good = said + finish if whole else said
    events = reader.feed(good)
    assert reader.raw == good
    events += reader.feed(junk)
    assert reader.raw == b"", "it is never passed on"
    assert reader.done
    assert reader.failed != whole
    assert events[-1]["type"] == ("usage" if whole else "error")
