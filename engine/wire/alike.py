"""Whether an event is JSON, without parsing it: it differs from two that were parsed in one text only.

A vendor's events of content are the same but for that text. So two that were parsed give what stands before
it and what stands after it, and whatever has both around a text without quotes, backslashes and control
characters is JSON too. All others are parsed: a text with a line break, an event with two things that change.
"""

from __future__ import annotations

import re
from typing import Final

#: What a text may not hold to be good as it is.
_SPECIAL: Final = bytes((*range(0x20), ord('"'), ord("\\")))
_ESCAPE: Final = re.compile(rb"\\.", re.DOTALL)

#: The longest escape, `\uXXXX`: nothing may be torn apart.
_ESCAPE_LENGTH: Final = 6

#: Pairs that are compared for one stream: one whose events have no such form is parsed without looking.
_PAIRS: Final = 8


class Alike:
    """What the events of a stream have in common."""

    __slots__ = ("_after", "_before", "_last", "_left", "_shortest")

    def __init__(self) -> None:
        self._before: bytes | None = None
        self._after = b""
        self._shortest = 0
        self._last = b""
        self._left = _PAIRS

    def __call__(self, data: bytes) -> bool:
        """Whether `data` is sure to be JSON, by what was learned."""
        before, after = self._before, self._after
        if before is None:
            return data == self._last
        if len(data) < self._shortest or not (data.startswith(before) and data.endswith(after)):
            return False
        text = data[len(before) : len(data) - len(after)]
        return len(text.translate(None, _SPECIAL)) == len(text)

    def learn(self, data: bytes) -> None:
        """An event that was parsed, and is good."""
        last, self._last = self._last, data
        if not self._left or not last:
            return
        before = _common(last, data)
        after = _common(last[before:][::-1], data[before:][::-1])
        middles = last[before : len(last) - after], data[before : len(data) - after]
        if any(len(middle.translate(None, _SPECIAL)) != len(middle) for middle in middles):
            return
        self._left -= 1
        head = data[:before]
        if b"\\" not in head[-_ESCAPE_LENGTH:] and _ESCAPE.sub(b"", head).count(b'"') % 2 == 1:
            self._before, self._after = head, data[len(data) - after :]
            self._shortest = before + after


def _common(a: bytes, b: bytes) -> int:
    """Length of the longest common beginning."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[:middle] == b[:middle]:
            low = middle
        else:
            high = middle - 1
    return low
