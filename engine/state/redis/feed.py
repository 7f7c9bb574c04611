"""What is told to every process at once: a connection that listens to channels, and the versions of things.

A message is a hint: one that is lost (a cut, a failover) is made up for by what is looked at every half
second anyway. A watched version is a counter in the store: `engine:{keys}:version` counts changes of keys,
and whoever changes one counts it up and publishes that. Who watches is told when it is another than before,
and once after each cut, since nobody knows what was missed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from functools import partial
from typing import Final

from engine.state.redis.connection import Away, Connection
from engine.state.redis.shards import Shards

log = logging.getLogger("engine.state")

Hear = Callable[[bytes], None]

#: How long the listener waits before it connects again, in seconds.
_AGAIN: Final = 0.1


class Feed:
    """Channels and versions of one link. `start` once, `close` at the end."""

    def __init__(self, link: Shards) -> None:
        self._link = link
        self._channels: dict[str, list[Hear]] = {}
        self._versions: dict[str, tuple[bytes | None, list[Callable[[], None]]]] = {}
        self._task: asyncio.Task[None] | None = None
        self._lane: Connection | None = None
        self._started = False
        self._left = 0  # channels that the server has not confirmed yet
        self._tasks: set[asyncio.Task[None]] = set()
        self.listening = asyncio.Event()
        self.told = 0
        link.returned.append(self._cut)
        link.lost.append(self._cut)

    def on(self, channel: str, hear: Hear) -> None:
        """Call `hear` with each message of a channel."""
        if channel not in self._channels:
            self._channels[channel] = []
            self._subscribe(channel)
        self._channels[channel].append(hear)

    def watch(self, key: str, then: Callable[[], None]) -> None:
        """Call `then` when a version has changed, or may have: within half a second, mostly at once."""
        self._versions.setdefault(key, (None, []))[1].append(then)
        if key not in self._channels:
            self._channels[key] = []
            self._subscribe(key)

    async def bump(self, key: str) -> None:
        """Count a version up and tell everybody. Raises Away."""
        await self._link.call(("INCR", key))
        await self._link.call(("PUBLISH", key, "1"))  # anywhere, so it must not be sooner

    def start(self) -> None:
        """Listen, as soon as there is something to listen to."""
        self._started = True
        if self._channels and self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._listen(), name="state-feed")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._lane is not None:
            await self._lane.close()

    async def poll(self) -> None:
        """Look at the versions, where they can be asked for."""
        if not self._versions:
            return
        keys = list(self._versions)
        values = await self._link.each([("GET", key) for key in keys])
        for key, value in zip(keys, values, strict=True):
            was, then = self._versions[key]
            if value != was and not isinstance(value, Away):
                self._versions[key] = (value, then)
                for call in then:
                    _told(call)

    # --- listening --------------------------------------------------------------------------------------

    def _cut(self) -> None:
        """A server went or is back: the listener's connection may lead to one that is none any more."""
        lane, self._lane = self._lane, None
        if lane is not None:
            task = asyncio.get_running_loop().create_task(lane.close(), name="state-feed-cut")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _subscribe(self, channel: str) -> None:
        """Also to this one, where the listener listens already."""
        if self._lane is None:
            if self._started:
                self.start()
            return
        self.listening.clear()
        self._left += 1
        task = asyncio.get_running_loop().create_task(
            self._lane.send(("SUBSCRIBE", channel)), name="state-feed"
        )
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._cut()

    async def _listen(self) -> None:
        while True:
            try:
                if self._link.up and self._channels:
                    await self._hear()
            except Away as error:
                log.debug("state feed: %s", error)
            self.listening.clear()
            await asyncio.sleep(_AGAIN)

    async def _hear(self) -> None:
        lane = await self._link.lane()
        self._lane = lane
        try:
            self._left = len(self._channels)
            await lane.send(("SUBSCRIBE", *self._channels))
            for call in [call for _, then in self._versions.values() for call in then]:
                _told(call)  # something may have happened while nobody listened
            while True:
                answer = await lane.listen()
                if answer[0] == b"subscribe":
                    self._left -= 1
                    if self._left <= 0:
                        self.listening.set()
                elif answer[0] == b"message":
                    self._message(answer[1].decode(errors="replace"), answer[2])
        finally:
            self._lane = None
            await lane.close()

    def _message(self, channel: str, data: bytes) -> None:
        self.told += 1
        for hear in self._channels.get(channel, ()):
            _told(partial(hear, data))
        for call in self._versions.get(channel, (None, ()))[1]:
            _told(call)


def _told(call: Callable[[], None]) -> None:
    try:
        call()
    except Exception:  # one listener's fault must not silence the others
        log.exception("state feed: a listener failed")
