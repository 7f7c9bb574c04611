"""A stream that is one JSON array, element by element as they come (Gemini without `alt=sse`).

The same interface as `sse`: each element is a frame, the name is always empty. Together the frames' `raw` are
the bytes as they came: brackets and commas go with the element after them, the last bracket by itself. One
JSON object instead of an array, as servers answer with an error, is one frame.
"""

from __future__ import annotations

import re
from typing import Final

from engine.wire.sse import EVENT_CAP, Frame, StreamFormatError

MEDIA_TYPE: Final = "application/json"

#: What changes the state of the scan outside a text, and inside one.
_OUTSIDE: Final = re.compile(rb'["{}\[\],]')
_INSIDE: Final = re.compile(rb'["\\]')

_BLANK: Final = b" \t\r\n\xef\xbb\xbf"


class JsonArrayDecoder:
    """Feed it bytes, get whole elements as frames. Raises StreamFormatError, and is useless then.

    What stands inside an element is not looked at but for texts and brackets: whoever parses it will.
    """

    def __init__(self, event_cap: int = EVENT_CAP) -> None:
        self._tail = bytearray()  # what no frame has yet
        self._at = 0  # how much of the tail is scanned
        self._start = 0  # where in the tail the element begins
        self._depth = 0  # open brackets, the array's own too
        self._array: bool | None = None  # None: nothing has come
        self._text = False  # inside a text
        self._event_cap = event_cap

    def feed(self, data: bytes) -> list[Frame]:
        """The elements that `data` completes."""
        self._tail += data
        frames: list[Frame] = []
        if self._array is None and not self._begin():
            return []
        while (end := self._next()) is not None:
            frames.append(self._cut(end))
        if len(self._tail) > self._event_cap:
            raise StreamFormatError(f"an event of the stream is longer than {self._event_cap} bytes")
        return frames

    def eof(self) -> list[Frame]:
        """The end of the bytes: half an element is none."""
        rest = bytes(self._tail)
        self._tail.clear()
        self._at = self._start = 0
        return [Frame(None, rest)] if rest and self._depth == 0 and self._array is not None else []

    def _begin(self) -> bool:
        """Find the first bracket."""
        tail = self._tail
        while self._at < len(tail) and tail[self._at] in _BLANK:
            self._at += 1
        if self._at == len(tail):
            return False
        if tail[self._at] not in b"[{":
            raise StreamFormatError("the stream is no JSON array")
        self._array = tail[self._at] == ord("[")
        if self._array:
            self._at += 1
            self._depth = 1
            self._start = self._at
        return True

    def _next(self) -> int | None:
        """Scan on to where an element, or the array, ends; None where the bytes end first."""
        tail = self._tail
        outer = 1 if self._array else 0
        while True:
            if self._text:
                if not self._skip_text():
                    return None
                continue
            found = _OUTSIDE.search(tail, self._at)
            if found is None:
                self._at = len(tail)
                return None
            self._at = found.end()
            sign = found.group()
            if sign == b'"':
                self._text = True
            elif sign in b"{[":
                self._depth += 1
            elif sign == b",":
                if self._depth == outer:
                    self._start = self._at
            else:
                self._depth -= 1
                if self._depth <= outer:
                    if self._depth < 0:
                        raise StreamFormatError("the stream is no JSON array: a bracket closes nothing")
                    return self._at

    def _skip_text(self) -> bool:
        found = _INSIDE.search(self._tail, self._at)
        if found is None:
            self._at = len(self._tail)
        elif found.group() == b'"':
            self._at = found.end()
            self._text = False
            return True
        elif found.end() < len(self._tail):
            self._at = found.end() + 1
            return True
        else:
            self._at = found.start()  # the escaped byte has not come
        return False

    def _cut(self, end: int) -> Frame:
        tail = self._tail
        raw = bytes(tail[:end])
        closing = self._array and self._depth == 0
        data = None if closing else bytes(tail[self._start : end]).strip(_BLANK)
        del tail[:end]
        self._at = self._start = 0
        return Frame(data, raw)
