"""An event loop whose time is virtual: it jumps to the next timer as soon as nothing else can happen.

The selector never waits. With nothing ready and a timer ahead, the loop's clock is put forward; with nothing
ready and no timer, nobody can ever wake up again, and that is an error with the names of those who wait.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from engine.runtime.clock import Timer

T = TypeVar("T")


class Stuck(Exception):
    """Everybody waits, and nothing will ever happen."""


class _Selector(selectors.SelectSelector):
    """Passes time instead of waiting for it."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise Stuck("every task waits, and no timer is set")
        if timeout > 0:
            self.now += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop that begins at second 0 of its own time."""

    def __init__(self) -> None:
        self._passing = _Selector()
        super().__init__(self._passing)

    def time(self) -> float:
        return self._passing.now


class LoopClock:
    """Implements `engine.runtime.clock.Clock` on the running loop's time; the wall can be set apart from it.

    Args:
        loop: whose time it is.
        wall: epoch seconds at the loop's second 0.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, wall: float = 1_790_000_000.0) -> None:
        self._loop = loop
        self.offset = wall

    def now_ms(self) -> float:
        return self._loop.time() * 1000

    def wall(self) -> float:
        return self.offset + self._loop.time()

    async def sleep(self, ms: float) -> None:
        await asyncio.sleep(ms / 1000)

    def timer(self, ms: float, then: Callable[[], None]) -> Timer:
        return self._loop.call_later(ms / 1000, then)


def run(main: Callable[[VirtualLoop], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine to its end in virtual time; what it leaves behind is cancelled. Raises Stuck."""
    loop = VirtualLoop()
    try:
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(main(loop))
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        asyncio.set_event_loop(None)
        loop.close()
