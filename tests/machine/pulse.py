"""Time as an event loop had it, so that a promise about it can be judged on a machine that is busy elsewhere.

    async with Pulse() as pulse:
        writer.close()
        await upstream.closed.wait()
        assert pulse.seconds < 0.1

A pulse beats every 5 ms of the loop that it is in. While this process does not get the processor nothing
beats, so what the machine gave to others is not counted; a timer that somebody waits for (and that is what
such a promise is about) is counted in full. It tells at most the time that went by, so judge no least times
with it, and nothing that other processes do.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Final

BEAT_S: Final = 0.005


class Pulse:
    """`seconds`: the loop's time since the block began."""

    def __init__(self) -> None:
        self._beats = 0

    async def __aenter__(self) -> Pulse:
        self._loop = asyncio.get_running_loop()
        self._next = self._loop.call_later(BEAT_S, self._beat)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._next.cancel()

    def _beat(self) -> None:
        self._beats += 1
        self._next = self._loop.call_later(BEAT_S, self._beat)

    @property
    def seconds(self) -> float:
        return self._beats * BEAT_S


async def passed(seconds: float) -> None:
    """Sleep for so much of the loop's time: whatever else is due in it meanwhile has had its turns."""
    async with Pulse() as pulse:
        while pulse.seconds < seconds:
            await asyncio.sleep(BEAT_S)
