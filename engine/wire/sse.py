"""Server-sent events, both ways: bytes as they arrive into events, events into bytes.

The decoder follows the standard (WHATWG HTML, "event stream"): lines end in LF, CRLF or CR, a first BOM is
skipped, comments are ignored, several `data:` lines join with LF, an event without `data` is none. Where
the bytes are cut never matters. Nearly every vendor writes `data: ...` LF LF and nothing else; such blocks
are told apart by two `bytes` methods and never looked at line by line.

Each `Frame` keeps the bytes it came from, comments and all, so that a passthrough can forward whole events
untouched.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

#: Longest line and longest event that is taken from an upstream; beyond it the stream is broken off. A format
#: whose events hold whole answers or images raises the first (`options: {line: 16MiB}`).
LINE_CAP: Final = 1 << 20
EVENT_CAP: Final = 8 << 20

_BOM: Final = b"\xef\xbb\xbf"


class StreamFormatError(ValueError):
    """The bytes are not a stream that may be read on: a line or an event beyond its cap."""


@dataclass(slots=True)
class Frame:
    """One block of a stream. Not frozen: that would cost three times as much, and every event is one.

    data: the event's data, undecoded; None for a block that is no event (comments, `retry:`).
    name: the `event:` field, "" where there is none. raw: the block's bytes with its blank line.
    """

    data: bytes | None
    raw: bytes
    name: str = ""


class SseDecoder:
    """Feed it bytes, get whole frames. Raises StreamFormatError beyond a cap, and is useless then."""

    def __init__(self, line_cap: int = LINE_CAP, event_cap: int = EVENT_CAP) -> None:
        self._tail = bytearray()  # a block that has not ended yet; its line ends are LF
        self._line = 0  # where the last line in the tail begins
        self._line_cap = line_cap
        self._event_cap = max(event_cap, line_cap)
        self._begun = False
        self._after_cr = False  # the last byte was a CR: an LF that follows belongs to it

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that `data` completes."""
        if not self._begun:
            if len(self._tail) + len(data) < len(_BOM) and _BOM.startswith(bytes(self._tail) + data):
                self._tail += data
                return []
            data = (bytes(self._tail) + data).removeprefix(_BOM)
            self._tail.clear()
            self._begun = True
        if self._after_cr or b"\r" in data:
            data = self._plain_lines(data)
        tail = self._tail
        if tail:
            known = len(tail) - 1
            tail += data
            if tail.find(b"\n\n", known) < 0:
                self._check_tail()
                return []
            data = bytes(tail)
            tail.clear()
        blocks = data.split(b"\n\n")
        self._line = 0
        rest = blocks.pop()
        if rest:
            tail += rest
            self._check_tail()
        return [self._frame(block) for block in blocks]

    def eof(self) -> list[Frame]:
        """The end of the bytes: an event whose blank line never came is dropped, as the standard says."""
        self._tail.clear()
        return []

    def _plain_lines(self, data: bytes) -> bytes:
        """CRLF and CR as LF, over the cuts between two feeds."""
        if self._after_cr and data.startswith(b"\n"):
            data = data[1:]
            self._after_cr = False
        if data:
            self._after_cr = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _check_tail(self) -> None:
        tail = self._tail
        if len(tail) - self._line > self._line_cap:
            self._line = tail.rfind(b"\n", self._line) + 1 or self._line
            if len(tail) - self._line > self._line_cap:
                raise StreamFormatError(f"a line of the stream is longer than {self._line_cap} bytes")
        if len(tail) > self._event_cap:
            raise StreamFormatError(f"an event of the stream is longer than {self._event_cap} bytes")

    def _frame(self, block: bytes) -> Frame:
        if len(block) > self._line_cap:
            if len(block) > self._event_cap:
                raise StreamFormatError(f"an event of the stream is longer than {self._event_cap} bytes")
            if max(map(len, block.split(b"\n"))) > self._line_cap:
                raise StreamFormatError(f"a line of the stream is longer than {self._line_cap} bytes")
        if b"\n" not in block and block.startswith(b"data: "):
            return Frame(block[6:], block + b"\n\n")
        return _parse(block)


def _parse(block: bytes) -> Frame:
    """One block line by line."""
    data: list[bytes] = []
    name = ""
    for line in block.split(b"\n"):
        field, _, value = line.partition(b":")
        if value.startswith(b" "):
            value = value[1:]
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value.decode("utf-8", "replace")
    return Frame(b"\n".join(data) if data else None, block + b"\n\n", name)


def encode(data: bytes, name: str = "") -> bytes:
    """One event. `data` must hold no CR or LF, which JSON text never does."""
    if name:
        return b"event: " + name.encode() + b"\ndata: " + data + b"\n\n"
    return b"data: " + data + b"\n\n"
