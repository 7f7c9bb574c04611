"""The two stream decoders: the standard's cases, every cut, the caps."""

from __future__ import annotations

import random
import time

import pytest

from engine.wire.ndjson import NdjsonDecoder
from engine.wire.ndjson import encode as line
from engine.wire.sse import Frame, SseDecoder, StreamFormatError, encode

CASES: list[tuple[str, bytes, list[tuple[str, bytes]]]] = [
    ("plain", b"data: a\n\ndata: b\n\n", [("", b"a"), ("", b"b")]),
    ("crlf", b"data: a\r\n\r\ndata: b\r\n\r\n", [("", b"a"), ("", b"b")]),
    ("cr", b"data: a\r\rdata: b\r\r", [("", b"a"), ("", b"b")]),
    ("mixed", b"data: a\r\n\ndata: b\r\r\ndata: c\n\r\n", [("", b"a"), ("", b"b"), ("", b"c")]),
    ("bom", b"\xef\xbb\xbfdata: a\n\n", [("", b"a")]),
    ("only the first bom", b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\ndata: b\n\n", [("", b"b")]),
    ("comment", b": keep-alive\n\ndata: a\n\n:\n\n", [("", b"a")]),
    ("comment inside", b": x\ndata: a\n: y\n\n", [("", b"a")]),
    ("several lines", b"data: a\ndata: b\ndata\n\n", [("", b"a\nb\n")]),
    ("named", b"event: ping\ndata: a\n\n", [("ping", b"a")]),
    ("name without data", b"event: ping\n\ndata: a\n\n", [("", b"a")]),
    ("empty data", b"data:\n\ndata: \n\n", [("", b""), ("", b"")]),
    ("one space only", b"data:  a\n\ndata:b\n\n", [("", b" a"), ("", b"b")]),
    ("retry and id", b"retry: 10\n\nid: 7\ndata: a\n\n", [("", b"a")]),
    ("blank lines", b"\n\n\ndata: a\n\n\n\n\ndata: b\n\n", [("", b"a"), ("", b"b")]),
    ("colons", b'data: {"a": "b: c"}\n\n', [("", b'{"a": "b: c"}')]),
    ("split code points", "data: żółć 🙂\n\n".encode(), [("", "żółć 🙂".encode())]),
    ("no blank line at the end", b"data: a\n\ndata: b\n", [("", b"a")]),
]


def events(pieces: list[bytes]) -> list[tuple[str, bytes]]:
    decoder = SseDecoder()
    frames: list[Frame] = []
    for piece in pieces:
        frames += decoder.feed(piece)
    frames += decoder.eof()
    return [(frame.name, frame.data) for frame in frames if frame.data is not None]


@pytest.mark.parametrize(("text", "want"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_events(text: bytes, want: list[tuple[str, bytes]]) -> None:
    assert events([text]) == want
    assert events([text[i : i + 1] for i in range(len(text))]) == want
    for cut in range(len(text) + 1):
        assert events([text[:cut], text[cut:]]) == want, cut


def test_random_cuts() -> None:
    rng = random.Random(7)
    text = b"".join(rng.choice([c[1] for c in CASES[:-1]]).removeprefix(b"\xef\xbb\xbf") for _ in range(60))
    want = events([text])
    assert len(want) > 60
    for _ in range(50):
        cuts = sorted(rng.sample(range(len(text)), 20))
        pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        assert events(pieces) == want


def test_raw_is_what_came() -> None:
    text = b": hello\n\ndata: a\n\nevent: x\ndata: b\n\n"
    for size in (1, 3, 1000):
        decoder = SseDecoder()
        raw = b"".join(f.raw for i in range(0, len(text), size) for f in decoder.feed(text[i : i + size]))
        assert raw == text


def feed(decoder: SseDecoder, pieces: list[bytes]) -> None:
    for piece in pieces:
        decoder.feed(piece)


@pytest.mark.parametrize("size", [100, 4096, 1 << 20])
def test_caps(size: int) -> None:
    decoder = SseDecoder(line_cap=5000, event_cap=20_000)
    with pytest.raises(StreamFormatError, match="line"):
        feed(decoder, [b"x" * size] * ((1 << 21) // size))
    decoder = SseDecoder(line_cap=5000, event_cap=20_000)
    with pytest.raises(StreamFormatError, match="event"):
        feed(decoder, [b"data: " + b"x" * 900 + b"\n"] * 30)
    whole = SseDecoder(line_cap=5000)
    with pytest.raises(StreamFormatError, match="line"):
        whole.feed(b"data: " + b"x" * 6000 + b"\n\n")
    many_short_lines = SseDecoder(line_cap=50)
    assert many_short_lines.feed(b"data: abc\n" * 20 + b"\n")[0].data == b"\n".join([b"abc"] * 20)


def test_a_drip_of_single_bytes_is_linear() -> None:
    decoder = SseDecoder()
    began = time.process_time()
    for _ in range(100_000):
        decoder.feed(b"x")
    assert time.process_time() - began < 2


def test_encode_reads_back() -> None:
    assert events([encode(b'{"a":1}'), encode(b"b", "name")]) == [("", b'{"a":1}'), ("name", b"b")]


def test_ndjson() -> None:
    text = b'{"a":1}\n\r\n{"b":2}\r\n{"c":3}'
    want = [b'{"a":1}', b'{"b":2}', b'{"c":3}']
    for cut in range(len(text) + 1):
        decoder = NdjsonDecoder()
        frames = decoder.feed(text[:cut]) + decoder.feed(text[cut:]) + decoder.eof()
        assert [f.data for f in frames] == want
    assert line(b"{}") == b"{}\n"
    with pytest.raises(StreamFormatError):
        NdjsonDecoder(line_cap=10).feed(b"x" * 11)
