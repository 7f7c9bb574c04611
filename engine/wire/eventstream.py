"""The binary event stream of AWS (`application/vnd.amazon.eventstream`), both ways.

A message is a prelude (whole length, length of the headers, CRC of both: three big-endian words), headers,
payload, and a CRC of all before it. An event says its kind in `:event-type`; that is the frame's `name`, and
the payload its data. A failure has no event type but an `:exception-type` (or `:error-code`): its frame has
that as its name and as the member `exception` of its data, where the error rules of a dialect find it:

    {"exception": "throttlingException", "message": "Too many requests"}

With `inner: base64-json` (InvokeModelWithResponseStream) the data of an event is what its `bytes` holds.
"""

from __future__ import annotations

import struct
from binascii import Error as Base64Error
from binascii import a2b_base64, crc32
from struct import Struct
from typing import Any, Final

import orjson

from engine.wire.sse import EVENT_CAP, Frame, StreamFormatError

MEDIA_TYPE: Final = "application/vnd.amazon.eventstream"

#: Most bytes of a message's headers, as AWS says it.
HEADERS_CAP: Final = 128 << 10
#: Bytes of a message without headers and payload.
_FIXED: Final = 16

_PRELUDE: Final = Struct(">III")
_WORD: Final = Struct(">I")
_SHORT: Final = Struct(">H")

#: Header value types of a fixed size: true, false, byte, short, int, long, timestamp, uuid. 6, 7 say theirs.
_SIZES: Final = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
_BYTES: Final = 6
_TEXT: Final = 7


class EventStreamDecoder:
    """Feed it bytes, get whole messages as frames. Raises StreamFormatError, and is useless then.

    inner: the data of an event is base64 in its member `bytes`.
    """

    def __init__(self, *, inner: bool = False, event_cap: int = EVENT_CAP) -> None:
        self._tail = bytearray()
        self._length = 0  # of the message that the tail begins with, once its prelude is there and right
        self._inner = inner
        self._event_cap = event_cap

    def feed(self, data: bytes) -> list[Frame]:
        """The messages that `data` completes."""
        tail = self._tail
        tail += data
        frames: list[Frame] = []
        start = 0
        while True:
            if not self._length:
                if len(tail) - start < _PRELUDE.size:
                    break
                self._length = self._prelude(tail, start)
            if len(tail) - start < self._length:
                break
            end = start + self._length
            frames.append(self._message(bytes(tail[start:end])))
            start, self._length = end, 0
        del tail[:start]
        return frames

    def eof(self) -> list[Frame]:
        """The end of the bytes: half a message is none."""
        self._tail.clear()
        self._length = 0
        return []

    def _prelude(self, tail: bytearray, start: int) -> int:
        length, headers, crc = _PRELUDE.unpack_from(tail, start)
        if crc32(tail[start : start + 8]) != crc:
            raise StreamFormatError("the stream is damaged: the checksum of a message's prelude is wrong")
        if headers > HEADERS_CAP or length < _FIXED + headers:
            raise StreamFormatError("a message of the stream has impossible lengths")
        if length > self._event_cap:
            raise StreamFormatError(f"an event of the stream is longer than {self._event_cap} bytes")
        return int(length)

    def _message(self, raw: bytes) -> Frame:
        if crc32(raw[:-4]) != _WORD.unpack_from(raw, len(raw) - 4)[0]:
            raise StreamFormatError("the stream is damaged: the checksum of a message is wrong")
        begin = _PRELUDE.size + _WORD.unpack_from(raw, 4)[0]
        headers = _headers(raw[_PRELUDE.size : begin])
        payload = raw[begin:-4]
        kind = headers.get(":message-type", "event")
        if kind == "event":
            return Frame(self._event(payload), raw, headers.get(":event-type", ""))
        name = headers.get(":exception-type") or headers.get(":error-code") or kind
        return Frame(_exception(name, headers.get(":error-message"), payload), raw, name)

    def _event(self, payload: bytes) -> bytes:
        if not self._inner:
            return payload or b"{}"
        try:
            return a2b_base64(orjson.loads(payload)["bytes"])
        except (ValueError, KeyError, TypeError, Base64Error):
            raise StreamFormatError("an event of the stream holds no base64 in `bytes`") from None


def _headers(data: bytes) -> dict[str, str]:
    """The headers that are texts; the others are stepped over."""
    found: dict[str, str] = {}
    at, end = 0, len(data)
    try:
        while at < end:
            name_end = at + 1 + data[at]
            name = data[at + 1 : name_end].decode("utf-8", "replace")
            kind = data[name_end]
            at = name_end + 1
            if kind in _SIZES:
                at += _SIZES[kind]
                continue
            if kind not in (_BYTES, _TEXT):
                raise StreamFormatError(f"a header of the stream has the unknown type {kind}")
            size: int = _SHORT.unpack_from(data, at)[0]
            at += _SHORT.size + size
            if kind == _TEXT:
                found[name] = data[at - size : at].decode("utf-8", "replace")
    except (IndexError, struct.error):
        at = -1
    if at != end:
        raise StreamFormatError("the headers of a message of the stream are cut")
    return found


def _exception(name: str, message: str | None, payload: bytes) -> bytes:
    """The data of a failure: its payload with its name."""
    told: dict[str, Any] = {"exception": name}
    if message is not None:
        told["message"] = message
    try:
        body = orjson.loads(payload)
    except ValueError:
        body = {"message": payload.decode("utf-8", "replace")} if payload else {}
    if isinstance(body, dict):
        told = {**body, **told}
    return orjson.dumps(told)


def encode(data: bytes, name: str = "") -> bytes:
    """One event; one whose name ends in `Exception` is the failure of that name."""
    kind = "exception" if name.endswith("Exception") else "event"
    return message({f":{kind}-type": name, ":content-type": "application/json", ":message-type": kind}, data)


def message(headers: dict[str, str], payload: bytes) -> bytes:
    """One message with headers that are texts."""
    rows: list[bytes] = []
    for key, value in headers.items():
        name, text = key.encode(), value.encode()
        rows += [bytes([len(name)]), name, bytes([_TEXT]), _SHORT.pack(len(text)), text]
    block = b"".join(rows)
    lengths = _WORD.pack(_FIXED + len(block) + len(payload)) + _WORD.pack(len(block))
    before = b"".join([lengths, _WORD.pack(crc32(lengths)), block, payload])
    return before + _WORD.pack(crc32(before))
