"""Those who wait for room in a limit: a line for each partition, the first come is the first to try again.

A limit is counted in a store that may be shared, so nobody can hand room over: whoever stands first tries
again, when something was given back here, and when the store said that there may be room. The others stand
still. A request whose client leaves is out of the line in the same moment.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Final

from engine.runtime.clock import Clock

#: How often the first in line tries again where nobody knows when there may be room: another process may have
#: given back a place.
POLL_MS: Final = 100


class Ticket:
    """Somebody in a line. `leave` must be called, whatever becomes of it."""

    __slots__ = ("_clock", "_future", "_line", "_lines", "_woken", "name")

    def __init__(self, lines: WaitingLines, name: str, clock: Clock) -> None:
        self.name = name
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

    def waiting(self, name: str) -> int:
        """How many wait."""
        line = self._lines.get(name)
        return 0 if line is None else len(line)

    def join(self, name: str, most: int) -> Ticket | None:
        """A place at the end of the line; None: as many wait as may (0: nobody ever does)."""
        return None if self.waiting(name) >= most else Ticket(self, name, self._clock)

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
