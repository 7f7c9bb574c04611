"""What nodes keep between requests: values by space and key, for a time, in bounded memory.

Each space is bounded by itself, in entries and in bytes, so that a busy cache never pushes out who is sticky
where. What was used least recently goes first; a value that would fill an eighth of its space is not kept.
"""

from __future__ import annotations

import sys
from array import array
from collections import OrderedDict
from typing import Any

#: Entries of one space.
MOST = 100_000
#: Bytes of one space, about.
ROOM = 64 * 2**20
#: What an entry takes beside its key and value, about.
_ENTRY = 200


class _Space:
    """One space: key -> (when its time is over, its size, its value), the least recently used first."""

    __slots__ = ("entries", "size")

    def __init__(self) -> None:
        self.entries: OrderedDict[str, tuple[int, int, Any]] = OrderedDict()
        self.size = 0

    def drop(self, key: str) -> None:
        self.size -= self.entries.pop(key)[1]

    def drop_oldest(self) -> None:
        self.size -= self.entries.popitem(last=False)[1][1]


class Kept:
    """The spaces of one process."""

    def __init__(self, most: int = MOST, room: int = ROOM) -> None:
        self._most = most
        self._room = room
        self._spaces: dict[str, _Space] = {}

    def recall(self, space: str, key: str, now_ms: int) -> Any:
        """The value, or None where there is none or its time is over."""
        there = self._spaces.get(space)
        found = None if there is None else there.entries.get(key)
        if there is None or found is None:
            return None
        if now_ms >= found[0]:
            there.drop(key)
            return None
        there.entries.move_to_end(key)
        return found[2]

    def keep(self, space: str, key: str, value: Any, ttl_ms: int, now_ms: int) -> None:
        """Keep a value for `ttl_ms`, in the place of what was under its key."""
        there = self._spaces.get(space)
        if there is None:
            there = self._spaces[space] = _Space()
        if key in there.entries:
            there.drop(key)
        size = _ENTRY + len(key) + size_of(value)
        if size * 8 > self._room:
            return
        there.entries[key] = (now_ms + ttl_ms, size, value)
        there.size += size
        while len(there.entries) > self._most or there.size > self._room:
            there.drop_oldest()

    def count(self, space: str) -> int:
        """Entries of a space, those included whose time is over and which nobody has asked for since."""
        there = self._spaces.get(space)
        return 0 if there is None else len(there.entries)

    def size(self, space: str) -> int:
        """Bytes of a space, about."""
        there = self._spaces.get(space)
        return 0 if there is None else there.size


def size_of(value: Any) -> int:
    """Bytes that a value takes, about: of lists and tuples with all that is in them."""
    if isinstance(value, bytes | str):
        return len(value)
    if isinstance(value, array):
        return len(value) * value.itemsize
    if isinstance(value, list | tuple):
        return 56 + sum(8 + size_of(item) for item in value)
    return sys.getsizeof(value)
