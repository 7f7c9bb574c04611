"""A character that a vendor cut in half costs that character, and not the answer."""

from __future__ import annotations

import json
from typing import Any

import dialects
import pytest

from engine.wire.mended import LONGEST, mended


@pytest.mark.parametrize(
    ("data", "read"),
    [
        (rb'{"a": "b\ud83d"}', {"a": "b�"}),
        (rb'{"a": "\ude00b\\ud83d \u00e9"}', {"a": "�b\\ud83d é"}),
        (rb'{"a": ["\ud83d", "\ud83d\ude00"]}', {"a": ["�", "😀"]}),
        (b'{"a": "\xf0\x9f"}', {"a": "�"}),
        (b'{"a": "\xf0\x9f \\ud83d"}', {"a": "� �"}),
    ],
)
def test_halves(data: bytes, read: Any) -> None:
    assert mended(data) == read


@pytest.mark.parametrize(
    "data",
    [
        rb'{"a": "\ud83d',
        rb'{"a": "\ud83d", "b": NaN}',
        b"",
        b"[" * 100_000 + rb'"\ud83d"' + b"]" * 100_000,
        b'"\\ud83d' + b" " * LONGEST + b'"',
    ],
    ids=["cut", "a number that is none", "nothing", "deep", "long"],
)
def test_what_is_no_json_stays_none(data: bytes) -> None:
    with pytest.raises(ValueError):
        mended(data)


def test_a_pair_over_two_events_of_a_stream() -> None:
    reader = dialects.bound().stream_reader("chat")
    texts = [
        json.dumps({"id": "c", "choices": [{"delta": {"content": text}}]}) for text in ("a\ud83d", "\ude00b")
    ]
    end = json.dumps({"choices": [{"delta": {}, "finish_reason": "stop"}]})
    events = reader.feed("".join(f"data: {each}\n\n" for each in (*texts, end, "[DONE]")).encode())
    assert "".join(event.get("text", "") for event in events) == "a��b"
    assert events[-1]["type"] == "usage"
