"""Whether the store is the one that it was, and what its clock says.

The store has a generation: a key that names the server's run and the moment. Where it is gone or another
(FLUSHALL, a restart, a replica promoted), writes may have been lost; who listens tells everything again, and
for a while nobody draws anything new, so that all have told before somebody does. Each shard of a cluster has
one of its own, under a key that lies there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from random import Random
from typing import Final

from engine.state.redis.connection import Command, Connection, refusing
from engine.state.redis.patience import Patience
from engine.state.redis.scripts import GENERATION, Work

log = logging.getLogger("engine.state")

KEY: Final = "engine:generation"
#: The same of a shard; the braces hold what puts it there.
SHARD_KEY: Final = "engine:{{{}}}:generation"
#: The channel of what accounts are asked back; who listens to it is a replica that lives.
BACK: Final = "engine:back"
#: The channel on which a new generation is told.
RENEWED: Final = "engine:renewed"

#: A server that has been up for less may have lost its data a moment ago, in s.
_YOUNG_S: Final = 10
#: Clocks that differ by less are the same, in ms.
_NEAR_MS: Final = 250


class ServerClock:
    """The servers' clock less ours, in ms, where `wall` says what ours is. Of several, the one furthest
    ahead: what is used then counts too long, and never too short.
    """

    def __init__(self) -> None:
        self.offset_ms = 0
        self.wall: Callable[[], int] | None = None
        self._offsets: dict[object, int] = {}

    def told(self, server: object, now_ms: int) -> None:
        """What one says. Small differences are the way there and back."""
        if self.wall is None:
            return
        offset_ms = now_ms - self.wall()
        if abs(offset_ms - self._offsets.setdefault(server, 0)) > _NEAR_MS:
            self._offsets[server] = offset_ms
        self.offset_ms = max(self._offsets.values())

    def forget(self, server: object) -> None:
        if self._offsets.pop(server, None) is not None:
            self.offset_ms = max(self._offsets.values(), default=0)


class Generation:
    """What one link knows of its server's generation.

    value: None: nothing yet. run_id: of the server that was asked last. renewed: called when it is another.
    key: where it stands; None: the server has no slots, so none. whole: the server is all of the store.
    calm: what is there came from servers that are well, so that the first generation is no loss.
    """

    def __init__(
        self, store: str, settle_ms: int, random: Random, clock: ServerClock, *, whole: bool = True
    ) -> None:
        self._store = store
        self._settle_ms = settle_ms
        self._random = random
        self._settled = 0.0  # when, on the loop's clock
        self._whole = whole
        self.clock = clock
        self.key: str | None = KEY if whole else None
        self.calm = False
        self.value: str | None = None
        self.run_id = ""
        self.renewed: list[Callable[[], None]] = []

    def settling_ms(self) -> int:
        """How long nothing new may be drawn yet; 0: it may."""
        if self._settled == 0.0:
            return 0
        left = self._settled - asyncio.get_running_loop().time()
        if left <= 0:
            self._settled = 0.0
            return 0
        return max(1, int(left * 1000))

    def is_of(self, lane: Connection) -> bool:
        """Whether the server at the other end is the one that is known."""
        return self.key is None or (self.value is not None and lane.run_id == self.run_id)

    async def take(self, lane: Connection, up_s: int | None, patience: Patience) -> None:
        """Take in the generation, or begin one where there is none or the server is another. Raises Away.

        up_s: how long the server has been up; None: for long.
        """
        value, age_ms, made, listeners = await self._ask(lane, self.key or KEY, patience)
        first, changed = self.value is None, value != self.value
        self.value, self.run_id = value, lane.run_id
        if not changed or (first and self.calm):
            return
        young = up_s is not None and up_s < _YOUNG_S
        # The first on an empty store that has been up for long, with nobody else there, waits for nobody.
        # Who listens to another server of a cluster is not known here.
        alone = first and made and not young and not listeners and self._whole
        left = 0 if alone else self._settle_ms - age_ms
        if left > 0:
            self._settled = asyncio.get_running_loop().time() + left / 1000
        if not first:
            log.warning("state store %s: its data is new or was lost; everything is told again", self._store)
        for then in self.renewed:
            then()

    async def move(self, lane: Connection, key: str, patience: Patience) -> None:
        """Its slot is another server's now, so it stands under another key: nothing was lost by that, where
        the server is the same. Raises Away.
        """
        if self.value is not None and lane.run_id != self.run_id:
            self.key = key
            await self.take(lane, None, patience)
            return
        value, *_ = await self._ask(lane, key, patience)
        self.key, self.value, self.run_id = key, value, lane.run_id

    async def _ask(self, lane: Connection, key: str, patience: Patience) -> tuple[str, int, bool, int]:
        """The value that stands there now, its age in ms, whether it was made now, who listens."""
        token = f"{self._random.getrandbits(48):012x}"
        work = Work(GENERATION, (key,), (lane.run_id or "-", token, RENEWED))
        commands: list[Command] = [work.whole(), ("PUBSUB", "NUMSUB", BACK)]
        answer, listeners = await lane.exchange(commands, patience)
        away = refusing(answer)
        if away is not None:
            raise away
        value, age_ms, now_ms, made = answer
        self.clock.told(self, now_ms)
        return value.decode(), age_ms, bool(made), listeners[1] if isinstance(listeners, list) else 1
