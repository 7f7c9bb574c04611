"""What one host has learnt of a deployment's health, told to the others: a hint, never an order.

Two things are told: a breaker that opened, and a vendor's own word for how long to stay away. A pause is
kept as if this process had been told it. Of a breaker, the others close none and open none: they ask that
deployment with one call at a time until one goes well.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Final

from engine.state.aside import Aside
from engine.state.redis.connection import Away
from engine.state.redis.store import RedisStore

log = logging.getLogger("engine.state")

CHANNEL: Final = "engine:hints"
#: A pause that a hint may ask for, in ms.
_LONGEST: Final = 120_000
#: Hints that are under way at a time; more are not told.
_MOST: Final = 50


class Hints:
    """Of one process. take: what is done with a hint of another host."""

    def __init__(self, store: RedisStore, owner: str, take: Callable[[Aside], None]) -> None:
        self._store = store
        self._owner = owner
        self._take = take
        self._tasks: set[asyncio.Task[None]] = set()
        self.told = self.heard = self.ignored = 0
        store.feed.on(CHANNEL, self._hear)

    def tell(self, aside: Aside) -> None:
        """Tell the others, without waiting."""
        if not self._store.link.up or len(self._tasks) >= _MOST:
            return
        self.told += 1
        task = asyncio.get_running_loop().create_task(self._publish(aside), name="state-hint")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        await asyncio.gather(*self._tasks)

    async def _publish(self, aside: Aside) -> None:
        said = {
            "from": self._owner, "deployment": aside.deployment, "place": aside.place, "kind": aside.kind,
            "credential": aside.credential, "ms": aside.ms,
        }  # fmt: skip
        try:
            await self._store.link.call(("PUBLISH", CHANNEL, json.dumps(said)))
        except Away as error:
            log.debug("a hint was not told: %s", error)

    def _hear(self, data: bytes) -> None:
        try:
            said = json.loads(data)
            if said["from"] == self._owner:
                return
            aside = Aside(
                str(said["deployment"]), str(said["place"]), said["kind"], str(said["credential"]),
                min(_LONGEST, max(0, int(said["ms"]))),
            )  # fmt: skip
            if aside.kind not in ("open", "pause"):
                raise ValueError(aside.kind)
        except (ValueError, KeyError, TypeError):
            self.ignored += 1
            return
        self.heard += 1
        self._take(aside)
