"""What nodes keep between requests: small values by space and key, for a time, in bounded memory.

Each space is bounded by itself, so that a busy cache never pushes out who is sticky where. What was used
least recently goes first.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

#: Entries of one space.
MOST = 10_000


class Kept:
    """The spaces of one process."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._spaces: dict[str, OrderedDict[str, tuple[int, Any]]] = {}

    def recall(self, space: str, key: str, now_ms: int) -> Any:
        """The value, or None where there is none or its time is over."""
        entries = self._spaces.get(space)
        found = None if entries is None else entries.get(key)
        if entries is None or found is None:
            return None
        if now_ms >= found[0]:
            del entries[key]
            return None
        entries.move_to_end(key)
        return found[1]

    def keep(self, space: str, key: str, value: Any, ttl_ms: int, now_ms: int) -> None:
        """Keep a value for `ttl_ms`."""
        entries = self._spaces.setdefault(space, OrderedDict())
        entries[key] = (now_ms + ttl_ms, value)
        entries.move_to_end(key)
        if len(entries) > self._most:
            entries.popitem(last=False)

    def count(self, space: str) -> int:
        """Entries of a space, those included whose time is over and which nobody has asked for since."""
        return len(self._spaces.get(space, ()))
