"""How long a call may take: of the time that passes, only what the store had, not what this process lost.

Time is told in ticks. A tick counts once, however late its timer fires, and a quarter where it fired later
than another tick would have: while the loop stood still nobody could have read an answer that lay there, so
that time is not the store's. Nor does such a one end the wait, since what came meanwhile is read after it. So
a process that hangs for a while, or whose loop crawls, never takes the store for away; and while it runs as
it should, a store that is away costs the deadline and no more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Final, TypeVar

T = TypeVar("T")

_TICKS: Final = 5
#: What part of a tick that was late counts.
_QUARTER: Final = 0.25
#: Less than this is nothing left, in seconds; a step that begins then gets as much.
_LEAST: Final = 0.001


class Patience:
    """Of one call, over all of its steps. left: seconds."""

    __slots__ = ("_tick", "left")

    def __init__(self, seconds: float) -> None:
        self.left = seconds
        self._tick = seconds / _TICKS

    @property
    def over(self) -> bool:
        return self.left < _LEAST

    async def within(self, work: Awaitable[T]) -> T:
        """Await it. Raises TimeoutError where nothing is left before it is done."""
        loop = asyncio.get_running_loop()
        limit = asyncio.timeout(None)
        tick = max(_LEAST, min(self._tick, self.left))
        due = loop.time() + tick
        handle: asyncio.TimerHandle

        def passed() -> None:
            nonlocal due, handle, tick
            late = loop.time() - due > tick
            last = self.over
            self.left -= tick * _QUARTER if late else tick
            if self.over and (last or not late):
                limit.reschedule(loop.time())
                return
            tick = self._tick if self.over else min(self._tick, self.left)
            due = loop.time() + tick
            handle = loop.call_at(due, passed)

        async with limit:
            handle = loop.call_at(due, passed)
            try:
                return await work
            finally:
                handle.cancel()
                self.left -= max(0.0, min(tick, loop.time() - (due - tick)))
