"""Notices that a client has left, and ends its request at once.

ASGI tells of a departure through `receive`, which somebody has to await while the request runs elsewhere. A
task for that costs as much as parsing a request, and most whole answers are there within milliseconds; so
the watching task is started only once a request is `GRACE_S` old. Leaving is acted on by cancelling the
request's task: the cancellation reaches the upstream's socket, or the local model's worker.
"""

from __future__ import annotations

import asyncio
from typing import Final, Literal

from engine.server.heartbeat import Heartbeat
from engine.server.replies import Receive, Send

#: How old a request gets before anybody watches whether its client is still there.
GRACE_S: Final = 0.02

#: A client that takes nothing of its stream for `STALL_TICKS` ticks is treated as one that left.
TICK_S: Final = 10.0
STALL_TICKS: Final = 6

Reason = Literal["left", "stalled", "draining"]


class Departure:
    """Watches the client of the current task's request, from `__init__` to `stop`.

    `why` says for what the task was cancelled: the client `left`, it `stalled` (connected, but took nothing
    for a minute), or the process is `draining` and its time is up. `writes` is counted up before and after
    every write of a stream: an odd number that stays is a write that does not end.
    """

    __slots__ = (
        "_loop",
        "_receive",
        "_seen",
        "_task",
        "_ticks",
        "_timer",
        "_watcher",
        "heartbeat",
        "why",
        "writes",
    )

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._loop = loop = asyncio.get_running_loop()
        self._task = asyncio.current_task(loop)
        self._watcher: asyncio.Task[None] | None = None
        self._ticks = 0
        self._seen = 0
        self.why: Reason | None = None
        self.writes = 0
        self.heartbeat: Heartbeat | None = None  # of a stream; begins when the watching does
        self._timer = loop.call_later(GRACE_S, self._start)

    def stop(self) -> None:
        """The request is over; nobody is cancelled any more."""
        self._timer.cancel()
        if self._watcher is not None:
            self._watcher.cancel()
        if self.heartbeat is not None:
            self.heartbeat.stop()
        # Both refer to this object, and through the request to its plan: without them it is freed at once.
        self._watcher = self.heartbeat = None
        self._task = None

    def cancel(self, why: Reason) -> None:
        """End the request's task, once."""
        task, self._task = self._task, None
        if task is not None:
            self.why = why
            task.cancel()

    async def end(self, send: Send, last: bytes) -> None:
        """Write what ends the stream, and no heartbeat after it."""
        self.hush()
        if self.heartbeat is not None:
            await self.heartbeat.quiet()
        await send({"type": "http.response.body", "body": last})

    def hush(self) -> None:
        """No heartbeat begins any more: a whole answer, or the end of a stream, is being written."""
        self.writes |= 1

    def absorb(self) -> None:
        """Call where the cancellation was caught: the task goes on as one that was not cancelled."""
        task = asyncio.current_task()
        if task is not None:
            task.uncancel()

    def _start(self) -> None:
        self._watcher = self._loop.create_task(self._watch())
        self._timer = self._loop.call_later(TICK_S, self._tick)
        if self.heartbeat is not None:
            self.heartbeat.start()

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.cancel("left")

    def _tick(self) -> None:
        stuck = self.writes % 2 == 1 and self.writes == self._seen
        self._ticks = self._ticks + 1 if stuck else 0
        self._seen = self.writes
        if self._ticks >= STALL_TICKS:
            self.cancel("stalled")
        else:
            self._timer = self._loop.call_later(TICK_S, self._tick)
