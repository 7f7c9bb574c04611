"""Which link serves which slots of a cluster, and how that changes: shards come, go and change servers.

A shard keeps its link while any of its servers stays, so a replica that is promoted is found by the link of
the one it replaces, which knows what was told to that one. Slots that go from one shard that is well to
another take along what was counted, so nothing counts as lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final

from engine.state.redis.address import Place
from engine.state.redis.connection import Away
from engine.state.redis.generation import SHARD_KEY
from engine.state.redis.link import PROBE_S, Link
from engine.state.redis.patience import Patience
from engine.state.redis.slots import SLOTS, Shard, own_key, shards_of, slot_of

log = logging.getLogger("engine.state")

#: Between two looks at the slots, while all is well, while it is not, and at least, in seconds.
_SELDOM: Final = 30.0
_OFTEN: Final = 0.5
_PAUSE: Final = 0.005

New = Callable[[tuple[Place, ...]], Link]


class Topology:
    """Empty until `learn` was awaited; `watch` keeps it true.

    seed: its address is where one begins to ask. new: makes links. gone: takes those that are needed no more.
    """

    def __init__(self, seed: Link, new: New, gone: Callable[[Link], Awaitable[None]]) -> None:
        self._seed = seed
        self._make = new
        self._gone = gone
        self._look = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None
        self._nobody = new(seed.address.places)  # never opened: who has the slots that nobody has
        self._nobody.why = "no shard serves the slot of this key"
        self._slots: list[Link] = [self._nobody] * SLOTS
        self._guests: list[Link] = []
        self.links: list[Link] = []

    def of(self, key: str) -> Link:
        return self._slots[slot_of(key)]

    def at(self, place: Place) -> Link | None:
        """The link to a server."""
        return next((link for link in (*self.links, *self._guests) if link.place == place), None)

    def guest(self, place: Place) -> Link:
        """A new link to a server that has no slots yet."""
        made = self._new((place,))
        self._guests.append(made)
        return made

    def moved(self, slot: int, place: Place) -> bool:
        """A slot is that server's now; whether it was known already as one that has slots."""
        self._look.set()
        link = self.at(place)
        if link is None or link in self._guests:
            return False
        self._slots[slot] = link
        return True

    def _new(self, places: tuple[Place, ...]) -> Link:
        made = self._make(places)
        made.lost.append(self._look.set)
        made.misplaced.append(self._look.set)
        return made

    async def close(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        for link in (*self.links, *self._guests, self._nobody):
            await link.close()

    # --- how it changes -----------------------------------------------------------------------------------

    async def watch(self) -> None:
        """Look at the slots now and then, and often while a shard is away. Until it is cancelled."""
        while True:
            calm = all(link.up for link in self.links)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_SELDOM if calm else _OFTEN):
                    await self._look.wait()
            self._look.clear()
            try:
                await self.refresh()
            except Away as error:
                log.debug("state shards: %s", error)
            except Exception:  # one bad answer must not end what follows the slots
                log.exception("state shards: the slots could not be followed")
            await asyncio.sleep(_PAUSE)

    async def refresh(self) -> None:
        """Ask for all slots; who comes meanwhile waits for the same answer. Raises Away."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self.learn(), name="state-slots")
            self._looking.add_done_callback(_seen)
        await asyncio.shield(self._looking)

    async def learn(self) -> None:
        """Ask for all slots, and have a link for each shard. Raises Away where nobody tells."""
        shards = await self._ask()
        pool = [*self.links, *self._guests]
        links = _matched(shards, pool)
        fresh: list[Link] = []
        for at, shard in enumerate(shards):
            link = links.get(at)
            if link is None:
                link = links[at] = self._new(shard.places)
                link.era.calm = self._come_from_well(shard)
                link.era.key = own_key(SHARD_KEY, set(shard.all_slots()).__contains__)
                fresh.append(link)
            else:
                link.served_by(shard.places)
        try:
            await asyncio.gather(*(link.open() for link in fresh))
        except BaseException:
            for link in fresh:
                await link.close()
            raise
        self.links = [links[at] for at in range(len(shards))]
        slots = [self._nobody] * SLOTS
        for link, shard in zip(self.links, shards, strict=True):
            for first, last in shard.slots:
                slots[first : last + 1] = [link] * (last + 1 - first)
        self._slots = slots
        gone = [link for link in pool if link not in self.links and link not in self._guests]
        self._guests = [link for link in self._guests if link not in self.links]
        await self._place_generations()
        for link in gone:
            await self._gone(link)

    async def _place_generations(self) -> None:
        """Have each shard's generation stand in a slot of its own."""
        for link in self.links:
            key = link.era.key
            if key is not None and self.of(key) is link:
                continue
            with contextlib.suppress(Away):
                owned = {slot for slot, owner in enumerate(self._slots) if owner is link}
                if not owned:
                    continue  # it is about to go
                key = own_key(SHARD_KEY, owned.__contains__)
                if link.up:
                    await link.rekey(key)
                else:
                    link.era.key = key

    def _come_from_well(self, shard: Shard) -> bool:
        """Whether all that has these slots until now can be asked: then they were handed over, not lost."""
        return bool(self.links) and all(self._slots[slot].up for slot in shard.all_slots())

    async def _ask(self) -> list[Shard]:
        said: list[str] = []
        for link in self.links:
            if link.up:
                try:
                    return shards_of((await link.call(("CLUSTER", "SLOTS")))[0], link.place)
                except (Away, ValueError) as error:
                    said.append(f"{link.place}: {error}")
        for place in _places((self._seed, *self.links)):
            try:
                return shards_of(await self._knock(place), place)
            except (Away, ValueError) as error:
                said.append(f"{place}: {error}")
        raise Away("its slots are not known: " + "; ".join(said))

    async def _knock(self, place: Place) -> Any:
        patience = Patience(PROBE_S)
        lane = await self._seed.knock(place, patience)
        try:
            answers = await lane.exchange([("CLUSTER", "SLOTS")], patience)
        finally:
            await lane.close()
        if isinstance(answers[0], Exception):
            raise Away(f"it answers {answers[0]}")
        return answers[0]


def _seen(task: asyncio.Task[None]) -> None:
    """Who waited was told; where nobody did, the next look tells."""
    if not task.cancelled():
        task.exception()


def _places(links: Iterable[Link]) -> list[Place]:
    """All servers that are known, the seeds first."""
    return list(dict.fromkeys(place for link in links for place in (link.place, *link.address.places)))


def _matched(shards: Sequence[Shard], pool: Sequence[Link]) -> dict[int, Link]:
    """Shards, by their number, that have a link: to their primary, else to any server of theirs."""
    found: dict[int, Link] = {}
    left = list(pool)
    tests: tuple[Callable[[Link, Shard], bool], ...] = (
        lambda link, shard: link.place == shard.places[0],
        lambda link, shard: not set(link.address.places).isdisjoint(shard.places),
    )
    for fits in tests:
        for at, shard in enumerate(shards):
            link = next((link for link in left if at not in found and fits(link, shard)), None)
            if link is not None:
                found[at] = link
                left.remove(link)
    return found
