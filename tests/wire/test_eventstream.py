"""The event stream of AWS against botocore, both ways: every cut, damage, and lengths that lie."""

from __future__ import annotations

import base64
import struct
from binascii import crc32
from collections.abc import Iterator
from functools import cache
from typing import Any

import botocore.parsers
import botocore.session
import orjson
import pytest
from botocore.eventstream import EventStream, EventStreamBuffer
from botocore.exceptions import EventStreamError
from hypothesis import given
from hypothesis import strategies as st

from engine.wire import eventstream
from engine.wire.eventstream import EventStreamDecoder
from engine.wire.sse import Frame, StreamFormatError

CONVERSE: list[tuple[str, dict[str, Any]]] = [
    ("messageStart", {"role": "assistant"}),
    ("contentBlockDelta", {"delta": {"text": "żółć 🙂"}, "contentBlockIndex": 0}),
    ("messageStop", {"stopReason": "end_turn"}),
    (
        "metadata",
        {"usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3}, "metrics": {"latencyMs": 1}},
    ),
]
SLOW = ("throttlingException", {"message": "Too many requests"})


def written(*events: tuple[str, dict[str, Any]]) -> bytes:
    return b"".join(eventstream.encode(orjson.dumps(body), name) for name, body in events)


def read(*pieces: bytes, inner: bool = False) -> list[Frame]:
    decoder = EventStreamDecoder(inner=inner)
    return [frame for piece in pieces for frame in decoder.feed(piece)] + decoder.eof()


def told(frames: list[Frame]) -> list[tuple[str, Any]]:
    return [(frame.name, orjson.loads(frame.data or b"null")) for frame in frames]


@cache
def operation(name: str) -> Any:
    return botocore.session.get_session().get_service_model("bedrock-runtime").operation_model(name)


class Body:
    """The raw stream that botocore's `EventStream` reads."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def stream(self) -> Iterator[bytes]:
        yield self.data[:33]
        yield self.data[33:]

    def close(self) -> None:
        pass


def parsed(name: str, member: str, data: bytes) -> Iterator[dict[str, Any]]:
    """What botocore gives to a caller of this operation."""
    shape = operation(name).output_shape.members[member]
    return iter(EventStream(Body(data), shape, botocore.parsers.EventStreamJSONParser(), name))


def test_botocore_reads_what_we_write() -> None:
    events = parsed("ConverseStream", "stream", written(*CONVERSE, SLOW))
    assert [next(events) for _ in CONVERSE] == [{name: body} for name, body in CONVERSE]
    with pytest.raises(EventStreamError, match=r"throttlingException.*Too many requests"):
        next(events)


def test_we_read_what_botocore_reads() -> None:
    data = written(*CONVERSE, SLOW)
    buffer = EventStreamBuffer()
    buffer.add_data(data)
    theirs = list(buffer)
    ours = read(data)
    assert [frame.name for frame in ours[:-1]] == [each.headers[":event-type"] for each in theirs[:-1]]
    assert [frame.data for frame in ours[:-1]] == [each.payload for each in theirs[:-1]]
    assert told(ours) == [*CONVERSE, (SLOW[0], {"exception": SLOW[0], **SLOW[1]})]
    assert b"".join(frame.raw for frame in ours) == data


def test_every_cut() -> None:
    data = written(*CONVERSE, SLOW)
    want = read(data)
    assert read(*(data[i : i + 1] for i in range(len(data)))) == want
    for cut in range(len(data) + 1):
        assert read(data[:cut], data[cut:]) == want, cut
        # What is whole comes at once, and the rest never.
        assert read(data[:cut]) == want[: len(read(data[:cut]))]


def test_a_flipped_byte_is_damage_wherever_it_is() -> None:
    data = written(CONVERSE[1])
    for at in range(len(data)):
        bad = bytearray(data)
        bad[at] ^= 0x40
        with pytest.raises(StreamFormatError):
            read(bytes(bad), b"\0" * (1 << 20) if at < 8 else b"")


def lying(total: int, headers: int) -> bytes:
    lengths = struct.pack(">II", total, headers)
    return lengths + struct.pack(">I", crc32(lengths))


@pytest.mark.parametrize(
    "prelude",
    [(0xFFFFFFFF, 0), ((8 << 20) + 1, 0), (15, 0), (0, 0), (100, 200), (1 << 20, 1 << 18)],
    ids=["4 GiB", "over the cap", "too small", "nothing", "headers beyond the end", "headers over their cap"],
)
def test_lengths_that_lie_are_refused_before_a_byte_is_kept(prelude: tuple[int, int]) -> None:
    decoder = EventStreamDecoder()
    with pytest.raises(StreamFormatError, match=r"length|longer"):
        decoder.feed(lying(*prelude))


def message(headers: bytes, payload: bytes = b"{}") -> bytes:
    lengths = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    before = lengths + struct.pack(">I", crc32(lengths)) + headers + payload
    return before + struct.pack(">I", crc32(before))


NAMED = b"\x0b:event-type\x07\x00\x01x"
#: Every type of header value but a text, each named `a`.
OTHERS = [
    b"\x01a\x00", b"\x01a\x01", b"\x01a\x02\x09", b"\x01a\x03\x00\x09", b"\x01a\x04" + b"\0" * 4,
    b"\x01a\x05" + b"\0" * 8, b"\x01a\x06\x00\x03abc", b"\x01a\x08" + b"\0" * 8, b"\x01a\x09" + b"\0" * 16,
]  # fmt: skip


@pytest.mark.parametrize("other", OTHERS, ids=range(len(OTHERS)))
def test_headers_of_other_types_are_stepped_over(other: bytes) -> None:
    assert told(read(message(other + NAMED))) == [("x", {})]
    assert told(read(message(NAMED + other))) == [("x", {})]


@pytest.mark.parametrize(
    "headers",
    [b"\x05ab", b"\x01a", b"\x01a\x07\x00", b"\x01a\x07\x00\x09x", b"\x01a\x09abc", b"\x01a\x2a", b"\x01"],
)
def test_headers_that_are_cut_are_damage(headers: bytes) -> None:
    with pytest.raises(StreamFormatError, match="header"):
        read(message(headers))


@given(st.binary(max_size=300), st.booleans())
def test_no_bytes_do_anything_else(data: bytes, framed: bool) -> None:
    try:
        read(message(data[:100], data[100:]) if framed else data)
    except StreamFormatError:
        pass


def test_an_error_message_has_its_code_as_its_name() -> None:
    headers = {":message-type": "error", ":error-code": "InternalError", ":error-message": "broken"}
    frames = read(eventstream.message(headers, b""))
    assert told(frames) == [("InternalError", {"exception": "InternalError", "message": "broken"})]


@pytest.mark.parametrize(
    ("payload", "want"),
    [
        (b"", {}),
        (b"<html>", {"message": "<html>"}),
        (b"[1]", {}),
        (b'{"exception": "mine", "n": 1}', {"n": 1}),
    ],
)
def test_an_exception_with_any_payload_is_an_object(payload: bytes, want: dict[str, Any]) -> None:
    assert told(read(eventstream.encode(payload, "modelStreamErrorException"))) == [
        ("modelStreamErrorException", {**want, "exception": "modelStreamErrorException"})
    ]


def test_the_inner_json_of_invoke_model() -> None:
    inner = {"type": "content_block_delta", "delta": {"text": "ż"}}
    chunk = {"bytes": base64.b64encode(orjson.dumps(inner)).decode()}
    data = written(("chunk", chunk), SLOW)
    assert told(read(data, inner=True)) == [("chunk", inner), (SLOW[0], {"exception": SLOW[0], **SLOW[1]})]
    ((name, value),) = next(parsed("InvokeModelWithResponseStream", "body", data)).items()
    assert (name, orjson.loads(value["bytes"])) == ("chunk", inner)


@pytest.mark.parametrize("payload", [b"{}", b"[]", b"nope", b'{"bytes": 1}', b'{"bytes": "a"}'])
def test_an_inner_json_that_is_none(payload: bytes) -> None:
    with pytest.raises(StreamFormatError, match="base64"):
        read(eventstream.encode(payload, "chunk"), inner=True)
