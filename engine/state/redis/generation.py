"""Whether the store is the one that it was, and what its clock says.

The store has a generation: a key that names the server's run and the moment. Where it is gone or another
(FLUSHALL, a restart, a replica promoted), writes may have been lost; who listens tells everything again, and
for a while nobody draws anything new, so that all have told before somebody does.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from random import Random
from typing import Final

from engine.state.redis.connection import Command, Connection, refusing
from engine.state.redis.scripts import GENERATION, Work

log = logging.getLogger("engine.state")

KEY: Final = "engine:generation"
#: The channel of what accounts are asked back; who listens to it is a replica that lives.
BACK: Final = "engine:back"
#: The channel on which a new generation is told.
RENEWED: Final = "engine:renewed"

#: A server that has been up for less may have lost its data a moment ago, in s.
_YOUNG_S: Final = 10
#: Clocks that differ by less are the same, in ms.
_NEAR_MS: Final = 250


class Generation:
    """What one link knows of its store's generation.

    value: None: nothing yet. run_id: of the server that was asked last. renewed: called when it is another.
    offset_ms: the server's clock less ours, where `wall` says what ours is.
    """

    def __init__(self, store: str, settle_ms: int, random: Random) -> None:
        self._store = store
        self._settle_ms = settle_ms
        self._random = random
        self._settled = 0.0  # when, on the loop's clock
        self.value: str | None = None
        self.run_id = ""
        self.renewed: list[Callable[[], None]] = []
        self.offset_ms = 0
        self.wall: Callable[[], int] | None = None

    def settling_ms(self) -> int:
        """How long nothing new may be drawn yet; 0: it may."""
        if self._settled == 0.0:
            return 0
        left = self._settled - asyncio.get_running_loop().time()
        if left <= 0:
            self._settled = 0.0
            return 0
        return max(1, int(left * 1000))

    def told_time(self, now_ms: int) -> None:
        """What the server's clock says. Small differences are the way there and back."""
        if self.wall is not None and abs(now_ms - self.wall() - self.offset_ms) > _NEAR_MS:
            self.offset_ms = now_ms - self.wall()

    def is_of(self, lane: Connection) -> bool:
        """Whether the server at the other end is the one that is known."""
        return self.value is not None and lane.run_id == self.run_id

    async def take(self, lane: Connection, up_s: int | None, seconds: float) -> None:
        """Take in the generation, or begin one where there is none or the server is another. Raises Away.

        up_s: how long the server has been up; None: for long.
        """
        token = f"{self._random.getrandbits(48):012x}"
        work = Work(GENERATION, (KEY,), (lane.run_id or "-", token, RENEWED))
        commands: list[Command] = [("EVAL", GENERATION.text, *work.command()[2:]), ("PUBSUB", "NUMSUB", BACK)]
        answer, listeners = await lane.exchange(commands, seconds)
        away = refusing(answer)
        if away is not None:
            raise away
        value, age_ms, now_ms, made = answer
        self.told_time(now_ms)
        first, changed = self.value is None, value.decode() != self.value
        self.value, self.run_id = value.decode(), lane.run_id
        if not changed:
            return
        young = up_s is not None and up_s < _YOUNG_S
        others = listeners[1] if isinstance(listeners, list) else 1
        # The first on an empty store that has been up for long, with nobody else there, waits for nobody.
        alone = first and made and not young and not others
        left = 0 if alone else self._settle_ms - age_ms
        if left > 0:
            self._settled = asyncio.get_running_loop().time() + left / 1000
        if not first:
            log.warning("state store %s: its data is new or was lost; everything is told again", self._store)
        for then in self.renewed:
            then()
