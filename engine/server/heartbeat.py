"""Signs of life on a stream that has nothing to say: comments, which readers of server-sent events skip.

A load balancer or a client that hears nothing for a minute takes a slow model for a dead one. So a streamed
request that is waited for gets its head (status 200) and a comment after each `interval` without a write;
what fails from then on is told by an event. Formats whose framing has no comments get none.

Heartbeats come from a task of their own, but never between two writes of the request's: a beat begins only
while nothing is being written, and who writes waits for one that has begun (`quiet`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from engine.server.replies import Message, Send


class Writes(Protocol):
    """Counts the writes of a stream: up before and after each, so that it is odd during one."""

    writes: int


class Heartbeat:
    """The heartbeats of one stream.

    interval: seconds. head: makes the message that begins the answer. comment: what is sent.
    begun: the head is sent, by whomever, or about to be.
    """

    __slots__ = ("_beating", "_comment", "_head", "_interval", "_seen", "_send", "_timer", "_writes", "begun")

    def __init__(
        self, interval: float, writes: Writes, send: Send, head: Callable[[], Message], comment: bytes
    ) -> None:
        self._interval = interval
        self._writes = writes
        self._send = send
        self._head = head
        self._comment = comment
        self._seen = 0
        self._timer: asyncio.TimerHandle | None = None
        self._beating: asyncio.Task[None] | None = None
        self.begun = False

    def start(self) -> None:
        """Beat from now on."""
        self._timer = asyncio.get_running_loop().call_later(self._interval, self._tick)

    def stop(self) -> None:
        """Never again."""
        if self._timer is not None:
            self._timer.cancel()
        if self._beating is not None:
            self._beating.cancel()

    @property
    def beating(self) -> bool:
        """A beat has begun and not ended: nobody else may write now."""
        return self._beating is not None

    async def quiet(self) -> None:
        """Wait for the beat that has begun."""
        if self._beating is not None:
            await asyncio.wait((self._beating,))

    def _tick(self) -> None:
        writes = self._writes.writes
        if writes == self._seen and writes % 2 == 0 and self._beating is None:
            first, self.begun = not self.begun, True
            self._beating = asyncio.get_running_loop().create_task(self._beat(first))
            self._beating.add_done_callback(self._over)
        self._seen = writes
        self.start()

    def _over(self, task: asyncio.Task[None]) -> None:
        self._beating = None
        if not task.cancelled():
            task.exception()  # a client that has left: whoever serves it is told in his own way

    async def _beat(self, first: bool) -> None:
        if first:
            await self._send(self._head())
        await self._send({"type": "http.response.body", "body": self._comment, "more_body": True})
