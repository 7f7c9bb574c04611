"""A JSON array as a stream: elements as they come, every cut, what is none."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.wire.json_array import JsonArrayDecoder
from engine.wire.sse import Frame, StreamFormatError


def read(*pieces: bytes) -> list[Frame]:
    decoder = JsonArrayDecoder()
    return [frame for piece in pieces for frame in decoder.feed(piece)] + decoder.eof()


def told(frames: list[Frame]) -> list[Any]:
    return [orjson.loads(frame.data) for frame in frames if frame.data]


GEMINI = (
    b'[{\n  "candidates": [{"content": {"parts": [{"text": "Par"}]}}]\n}\n,\r\n'
    b'{"candidates": [{"content": {"parts": [{"text": "is \\"], [{ \\\\"}]}, "finishReason": "STOP"}]}\n]\n'
)

CASES: list[tuple[str, bytes, list[Any]]] = [
    ("Gemini's", GEMINI, orjson.loads(GEMINI)),
    ("empty", b"[]", []),
    ("nothing", b"", []),
    ("blanks", b" \r\n\t[ { } , [ 1 ] ] ", [{}, [1]]),
    ("a byte order mark", b'\xef\xbb\xbf[{"a":1}]', [{"a": 1}]),
    ("one object", b'{"error": {"code": 400}}\n', [{"error": {"code": 400}}]),
    ("brackets and quotes in texts", b'[{"a":"}]\\"{[,"},{"b":"\\\\"}]', [{"a": '}]"{[,'}, {"b": "\\"}]),
    ("cut", b'[{"a":1},{"b":', [{"a": 1}]),
    ("cut before the end", b'[{"a":1}', [{"a": 1}]),
]


@pytest.mark.parametrize(("data", "want"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_elements(data: bytes, want: list[Any]) -> None:
    whole = read(data)
    assert told(whole) == want
    assert data.startswith(b"".join(frame.raw for frame in whole))
    assert [f for f in read(*(data[i : i + 1] for i in range(len(data)))) if f.data] == [
        f for f in whole if f.data
    ]
    for cut in range(len(data) + 1):
        assert told(read(data[:cut], data[cut:])) == want, cut


def test_the_bytes_of_a_whole_stream_pass_as_they_came() -> None:
    for cut in range(len(GEMINI) + 1):
        assert b"".join(frame.raw for frame in read(GEMINI[:cut], GEMINI[cut:])) == GEMINI


values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
)


@given(st.lists(st.dictionaries(st.text(max_size=4), values, max_size=3), max_size=4), st.integers(1, 9))
def test_any_array(elements: list[Any], size: int) -> None:
    data = orjson.dumps(elements, option=orjson.OPT_INDENT_2)
    assert told(read(*(data[i : i + size] for i in range(0, len(data), size)))) == elements


@pytest.mark.parametrize("data", [b"<html>", b"data: {}", b"}", b'"text"'])
def test_what_is_no_array(data: bytes) -> None:
    with pytest.raises(StreamFormatError, match="no JSON array"):
        read(data)


@given(st.binary(max_size=60))
def test_no_bytes_do_anything_else(data: bytes) -> None:
    try:
        read(b"[" + data)
    except StreamFormatError:
        pass


def test_an_element_over_the_cap_is_refused() -> None:
    decoder = JsonArrayDecoder(event_cap=100)
    decoder.feed(b'[{"a": "' + b"x" * 50)
    with pytest.raises(StreamFormatError, match="longer than 100"):
        decoder.feed(b"x" * 50)
