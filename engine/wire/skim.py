"""The events of a stream that pass through unread, because a client of the same format gets their bytes.

Nobody counts their content either, unless the vendor turns out to say no usage: then its size is estimated
from the first of them, which are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from engine.wire.alike import Alike

#: Bytes of unread events that are kept for each stream.
_KEPT_CAP: Final = 8 << 10

Count = Callable[[Iterable[tuple[bytes, str]], dict[str, Any]], int]


class Skimmed:
    """What a stream held beside the events that were read.

    marked: whether an event, by its bytes, must be read after all.
    alike: whether an event has the form of those that were read: else it may be no JSON, and is read too.
    state: the state of the stream's rules where the skimming began.
    """

    __slots__ = ("_bytes", "_kept", "_kept_bytes", "_state", "alike", "last", "marked")

    def __init__(self, marked: Callable[[bytes], object], state: dict[str, Any]) -> None:
        self.marked = marked
        self.alike = Alike()
        self._state = dict(state)
        self._kept: list[tuple[bytes, str]] = []
        self._kept_bytes = 0
        self._bytes = 0
        #: The last event that was not read: where a vendor counts in every event, it holds the counts so far.
        self.last: tuple[bytes, str] | None = None

    def take(self, data: bytes, name: str) -> None:
        """One event, by its data and its name."""
        self._bytes += len(data)
        self.last = (data, name)
        if self._kept_bytes < _KEPT_CAP:
            self._kept_bytes += len(data)
            self._kept.append((data, name))

    def size(self, count: Count) -> int:
        """About how many characters of content: what `count` finds in those kept, in proportion."""
        if not self._kept:
            return 0
        return round(count(self._kept, dict(self._state)) * self._bytes / self._kept_bytes)
