"""Those who wait for room in a limit: a line for each partition, the first come is the first to try again.

A limit is counted in a store that may be shared, so nobody can hand room over: whoever stands first tries
again, when something was given back here, and when the store said that there may be room. The others stand
still. A request whose client leaves is out of the line in the same moment.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from engine.runtime.clock import Clock

#: How often the first in line tries again where nobody knows when there may be room: another process may have
#: given back a place.
POLL_MS: Final = 100


@dataclass(slots=True)
class Seen:
    """What happened in the lines of a limit. Waits that ended, in number and seconds; who waits now."""

    waits: int = 0
    waited_s: float = 0.0
    waiting: int = 0


class Ticket:
    """Somebody in a line. `leave` must be called, whatever becomes of it."""

    __slots__ = ("_began", "_clock", "_future", "_line", "_lines", "_woken", "limit", "name")

    def __init__(self, lines: WaitingLines, limit: str, name: str, clock: Clock) -> None:
        self.limit = limit
        self.name = name
        self._began = clock.now_ms()
        self._lines = lines
        self._clock = clock
        self._line = lines.made(name)
        self._line[self] = None
        self._future: asyncio.Future[None] | None = None
        self._woken = False

    @property
    def first(self) -> bool:
        return next(iter(self._line)) is self

    async def wait(self, room_ms: int | None, until: float) -> bool:
        """Stand until it is worth to try again; False: the time is over.

        Args:
            room_ms: when there may be room, in ms; None: nobody knows.
            until: how long to wait at most, in ms on the clock.
        """
        if not self._woken:
            now = self._clock.now_ms()
            if now >= until:
                return False
            wake = until
            if self.first:
                wake = now + max(1, POLL_MS if room_ms is None else room_ms)
            self._future = asyncio.get_running_loop().create_future()
            timer = self._clock.timer(min(wake, until) - now, self.wake)
            try:
                await self._future
            finally:
                timer.cancel()
                self._future = None
            if wake > until and self._clock.now_ms() >= until:
                return False
        self._woken = False
        return True

    def wake(self) -> None:
        """Something has changed."""
        self._woken = True
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    def leave(self) -> None:
        """Out of the line; the next may try."""
        self._lines.ended(self.limit, self._clock.now_ms() - self._began)
        first = self.first
        del self._line[self]
        if not self._line:
            self._lines.forget(self.name)
        elif first:
            next(iter(self._line)).wake()


class WaitingLines:
    """The lines of a process, by the partition's name."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lines: dict[str, OrderedDict[Ticket, None]] = {}
        self._seen: dict[str, Seen] = {}

    def waiting(self, name: str) -> int:
        """How many wait."""
        line = self._lines.get(name)
        return 0 if line is None else len(line)

    def seen(self) -> dict[str, Seen]:
        """What happened, by limit."""
        now: dict[str, int] = {}
        for line in self._lines.values():
            limit = next(iter(line)).limit
            now[limit] = now.get(limit, 0) + len(line)
        for limit, seen in self._seen.items():
            seen.waiting = now.get(limit, 0)
        return self._seen

    def join(self, limit: str, name: str, most: int) -> Ticket | None:
        """A place at the end of a partition's line; None: as many wait as may (0: nobody ever does)."""
        if self.waiting(name) >= most:
            return None
        self._seen.setdefault(limit, Seen())
        return Ticket(self, limit, name, self._clock)

    def ended(self, limit: str, waited_ms: float) -> None:
        """Somebody waits no longer."""
        seen = self._seen[limit]
        seen.waits += 1
        seen.waited_s += waited_ms / 1000

    def freed(self, name: str) -> None:
        """Something was given back: the first may try."""
        line = self._lines.get(name)
        if line is not None:
            next(iter(line)).wake()

    def made(self, name: str) -> OrderedDict[Ticket, None]:
        return self._lines.setdefault(name, OrderedDict())

    def forget(self, name: str) -> None:
        del self._lines[name]

    def __bool__(self) -> bool:
        return bool(self._lines)
