"""Where time comes from: the system's, or one that a test or a simulation moves.

Everything that waits or measures in the data plane asks a `Clock`: durations from a monotonic count, the
time of day from the wall, sleeps and timers from the same place, so that a virtual clock moves all of them.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    """A timer that has not fired yet."""

    def cancel(self) -> None: ...


class Clock(Protocol):
    """Monotonic milliseconds, wall time in epoch seconds, sleeping, and timers."""

    def now_ms(self) -> float:
        """Milliseconds since some fixed moment; never goes back."""
        ...

    def wall(self) -> float:
        """Seconds since the epoch, UTC."""
        ...

    async def sleep(self, ms: float) -> None: ...

    def timer(self, ms: float, then: Callable[[], None]) -> Timer:
        """Call `then` on the running loop after `ms`, unless cancelled."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now_ms(self) -> float:
        return time.monotonic_ns() / 1e6

    def wall(self) -> float:
        return time.time()

    async def sleep(self, ms: float) -> None:
        await asyncio.sleep(ms / 1000)

    def timer(self, ms: float, then: Callable[[], None]) -> Timer:
        return asyncio.get_running_loop().call_later(ms / 1000, then)


class _VirtualTimer:
    __slots__ = ("live", "then")

    def __init__(self, then: Callable[[], None]) -> None:
        self.then = then
        self.live = True

    def cancel(self) -> None:
        self.live = False


class VirtualClock:
    """A clock that stands still until it is moved: by `advance`, or by itself once everybody waits for it.

    On an event loop it jumps to the next timer as soon as the loop has turned `IDLE_TURNS` times without
    a timer being set or firing. That suits code whose only waits are for this clock; with
    real sockets the turns would pass before an answer can.

    Args:
        wall: epoch seconds at the beginning.
    """

    IDLE_TURNS = 30

    def __init__(self, wall: float = 1_764_583_200.0) -> None:
        self._now = 0.0
        self._wall = wall
        self._timers: list[tuple[float, int, _VirtualTimer]] = []
        self._order = itertools.count()
        self._turns = 0
        self._pumping = False

    def now_ms(self) -> float:
        return self._now

    def wall(self) -> float:
        return self._wall + self._now / 1000

    async def sleep(self, ms: float) -> None:
        done = asyncio.get_running_loop().create_future()
        timer = self.timer(ms, lambda: None if done.done() else done.set_result(None))
        try:
            await done
        finally:
            timer.cancel()

    def timer(self, ms: float, then: Callable[[], None]) -> Timer:
        timer = _VirtualTimer(then)
        heapq.heappush(self._timers, (self._now + max(0.0, ms), next(self._order), timer))
        self._turns = 0
        if not self._pumping:
            self._pumping = True
            asyncio.get_running_loop().call_soon(self._pump)
        return timer

    def advance(self, ms: float) -> None:
        """Move on by `ms`, firing what falls due on the way."""
        until = self._now + ms
        while self._timers and self._timers[0][0] <= until:
            self._fire()
        self._now = until

    def _pump(self) -> None:
        """One turn of the loop: nothing but the clock is being waited for once enough of them pass."""
        while self._timers and not self._timers[0][2].live:
            heapq.heappop(self._timers)
        if not self._timers:
            self._pumping = False
            return
        self._turns += 1
        if self._turns > self.IDLE_TURNS:
            self._turns = 0
            self._fire()
        asyncio.get_running_loop().call_soon(self._pump)

    def _fire(self) -> None:
        at, _, timer = heapq.heappop(self._timers)
        if timer.live:
            self._now = max(self._now, at)
            timer.cancel()
            timer.then()
