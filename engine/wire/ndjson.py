"""One JSON text a line, both ways: bytes as they arrive into frames, events into lines.

The same interface as `sse`: the name is always empty, empty lines are skipped. A last line without its
line end counts, because writers of this format leave it out.
"""

from __future__ import annotations

from engine.wire.sse import LINE_CAP, Frame, StreamFormatError


class NdjsonDecoder:
    """Feed it bytes, get whole lines as frames. Raises StreamFormatError beyond `line_cap`."""

    def __init__(self, line_cap: int = LINE_CAP) -> None:
        self._tail = bytearray()
        self._line_cap = line_cap

    def feed(self, data: bytes) -> list[Frame]:
        """The lines that `data` completes."""
        if b"\n" not in data:
            self._tail += data
            self._check(len(self._tail))
            return []
        lines = (bytes(self._tail) + data).split(b"\n")
        self._tail.clear()
        self._tail += lines.pop()
        self._check(max(len(self._tail), *map(len, lines)))
        return [Frame(line.strip(), line + b"\n") for line in lines if line.strip()]

    def eof(self) -> list[Frame]:
        """The last line, where it has no line end."""
        line = bytes(self._tail).strip()
        self._tail.clear()
        return [Frame(line, line + b"\n")] if line else []

    def _check(self, length: int) -> None:
        if length > self._line_cap:
            raise StreamFormatError(f"a line of the stream is longer than {self._line_cap} bytes")


def encode(data: bytes, name: str = "") -> bytes:
    """One line. `name` has no place in this format."""
    del name
    return data + b"\n"
