"""The way to all of a store: to one server, or to each shard of a cluster, found out by asking.

A server that says it is one of a cluster is asked for the slots of all shards, and each shard gets a link
of its own: its own connections, its own generation, its own being away. So what befalls one shard is seen by
what is counted there and by nothing else. Each command and script names keys of one slot; those of several
shards are sent to all of them at the same time.

Where a server says that a slot has MOVED, the table follows and the command is sent again; where it is on the
move (ASK), once to where it goes. All of it has the one deadline of the call.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import replace
from random import Random
from typing import Any, Final

from engine.state.redis import link as one
from engine.state.redis.address import Address, Place
from engine.state.redis.connection import Away, Command, Connection
from engine.state.redis.generation import ServerClock
from engine.state.redis.link import Item, Link
from engine.state.redis.patience import Patience
from engine.state.redis.scripts import Work
from engine.state.redis.slots import Redirect
from engine.state.redis.topology import Topology

#: How often one command is sent on.
_HOPS: Final = 16
#: Before a command is sent again of which half the keys are here and half there, in seconds.
_PAUSE: Final = 0.002
#: When a store that is away may be asked again, in ms, as clients are told.
RETRY_MS: Final = 1_000

#: Commands that any server takes.
_ANYWHERE: Final = frozenset(("PING", "ECHO", "PUBLISH"))

Ask = Callable[[Link, Sequence[Item], Patience], Coroutine[Any, Any, list[Any]]]


class Shards:
    """Made for one address; `open` before the first call, `close` at the end. One loop's.

    returned, lost: called when a shard is there again, and when one is away. renewed: called with the link
    whose data is new or was lost.
    """

    def __init__(
        self,
        address: Address,
        *,
        deadline_ms: int | None = None,
        settle_ms: int | None = None,
        random: Random | None = None,
    ) -> None:
        self.address = address
        self.clock = ServerClock()
        self.returned: list[Callable[[], None]] = []
        self.lost: list[Callable[[], None]] = []
        self.renewed: list[Callable[[Link], None]] = []
        deadline_ms = one.DEADLINE_MS if deadline_ms is None else deadline_ms
        self._seconds = deadline_ms / 1000
        self._settle_ms = one.SETTLE_MS if settle_ms is None else settle_ms
        self._deadline_ms = deadline_ms
        self._random = random or Random()
        self._one = self._link(address, shard=False)
        self._map: Topology | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._gone = [0, 0, 0]  # calls, failures, outages of links that are no more

    def _link(self, address: Address, shard: bool) -> Link:
        made = Link(
            address,
            deadline_ms=self._deadline_ms,
            settle_ms=self._settle_ms,
            random=self._random,
            clock=self.clock,
            shard=shard,
        )
        made.era.renewed.append(lambda: _tell(then(made) for then in self.renewed))
        made.returned.append(lambda: _tell(then() for then in self.returned))
        made.lost.append(lambda: _tell(then() for then in self.lost))
        if not shard:
            made.clustered.append(lambda: self._spawn(self._spread()))
        return made

    # --- life ---------------------------------------------------------------------------------------------

    async def open(self) -> bool:
        """Look for the store. Whether it is there; where not, it is looked for in the background."""
        await self._one.open()
        while self._tasks and self._map is None:  # it is a cluster
            await asyncio.gather(*self._tasks)
        return self.up

    async def close(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._one.close()
        if self._map is not None:
            await self._map.close()

    # --- how it is ----------------------------------------------------------------------------------------

    @property
    def links(self) -> list[Link]:
        """One for each shard."""
        return [self._one] if self._map is None else self._map.links

    @property
    def sharded(self) -> bool:
        """Whether it is a cluster, as far as is known."""
        return self._map is not None

    @property
    def up(self) -> bool:
        """Whether any of it can be asked."""
        return self._one.up if self._map is None else any(link.up for link in self._map.links)

    @property
    def well(self) -> float:
        """The share of the shards that can be asked."""
        links = self.links
        return sum(link.up for link in links) / len(links)

    @property
    def why(self) -> str:
        """What those that are away said last."""
        return "; ".join(link.why for link in self.links if not link.up)

    @property
    def generation(self) -> str:
        return " ".join(link.generation or "-" for link in self.links)

    @property
    def calls(self) -> int:
        return self._gone[0] + sum(link.calls for link in self.links)

    @property
    def failures(self) -> int:
        return self._gone[1] + sum(link.failures for link in self.links)

    @property
    def outages(self) -> int:
        return self._gone[2] + sum(link.outages for link in self.links)

    def settling_ms(self) -> int:
        """How long nothing new may be drawn yet somewhere; 0: it may everywhere."""
        return max(link.settling_ms() for link in self.links)

    def of(self, key: str) -> Link:
        """Whose a key is."""
        return self._one if self._map is None else self._map.of(key)

    def away_ms(self, key: str) -> int | None:
        """When something new may be drawn where a key is; None: now."""
        link = self.of(key)
        return (link.settling_ms() or None) if link.up else RETRY_MS

    def heard(self, key: str, now_ms: int) -> None:
        """What the clock of the server says that has a key."""
        self.clock.told(self.of(key).era, now_ms)

    # --- calls --------------------------------------------------------------------------------------------

    async def call(self, *commands: Command) -> list[Any]:
        """Send commands and give their answers, within the deadline. Raises Away where one shard does."""
        return _whole(await self.each(commands))

    async def run(self, works: Sequence[Work]) -> list[Any]:
        """Run scripts, each by itself whole. Raises Away; Renewed where what they said is void."""
        return _whole(await self.run_each(works))

    async def do(self, works: Sequence[Work]) -> list[Any]:
        """Run scripts whose answers count whatever the store has lost. Raises Away."""
        return _whole(await self.each(works))

    async def each(self, items: Sequence[Item]) -> list[Any]:
        """The answer to each; Away instead of those of a shard that is."""
        return await self._each(items, Link.ask)

    async def run_each(self, works: Sequence[Work]) -> list[Any]:
        """As `run`; Away instead of the answers of a shard that is."""
        return await self._each(works, Link.run)

    async def check(self) -> None:
        """Whether each shard is the one that it was. Raises Away where none can be asked."""
        links = [link for link in self.links if link.up]
        told = await asyncio.gather(*(link.run(()) for link in links), return_exceptions=True)
        away = [error for error in told if isinstance(error, BaseException)]
        for error in away:
            if not isinstance(error, Away):
                raise error
        if len(away) == len(links):
            raise away[0] if away else Away(self.why, at_once=True)

    async def lane(self) -> Connection:
        """A connection to any shard, to close oneself: what one publishes, all tell. Raises Away."""
        links = [link for link in self.links if link.up]
        if not links:
            raise Away(self.why, at_once=True)
        return await self._random.choice(links).lane()

    async def _each(self, items: Sequence[Item], ask: Ask) -> list[Any]:
        patience = Patience(self._seconds)
        if self._map is None:
            try:
                return await ask(self._one, items, patience)
            except Away as error:
                return [error] * len(items)
        answers: list[Any] = [None] * len(items)
        places: Iterable[int] = range(len(items))
        for _ in range(_HOPS):
            await self._send(items, places, answers, ask, patience)
            places = await self._sent_on(items, answers, patience)
            if not places:
                return answers
            if patience.over:
                break
        for at in places:
            answers[at] = Away(f"its slot is on the move: {answers[at]}", at_once=True)
        return answers

    async def _send(
        self, items: Sequence[Item], places: Iterable[int], answers: list[Any], ask: Ask, patience: Patience
    ) -> None:
        """To each shard what is its own, at the same time."""
        groups: dict[Link, list[int]] = {}
        for at in places:
            groups.setdefault(self._for(items[at]), []).append(at)

        async def send(link: Link, some: list[int], patience: Patience) -> None:
            told: list[Any]
            try:
                told = await ask(link, [items[at] for at in some], patience)
            except Away as error:
                told = [error] * len(some)
            for at, answer in zip(some, told, strict=True):
                answers[at] = answer

        if len(groups) == 1:
            for link, some in groups.items():
                await send(link, some, patience)
            return
        sends = (send(link, some, Patience(max(patience.left, 0.0))) for link, some in groups.items())
        await asyncio.gather(*sends)

    def _for(self, item: Item) -> Link:
        """Who is asked for it: whose its first key is."""
        assert self._map is not None
        if isinstance(item, Work):
            return self._map.of(item.keys[0])
        name = item[0]
        if name in _ANYWHERE:
            links = [link for link in self._map.links if link.up]
            return self._random.choice(links or self._map.links)
        return self._map.of(str(item[3] if name == "EVAL" else item[1]))

    # --- sent on ------------------------------------------------------------------------------------------

    async def _sent_on(self, items: Sequence[Item], answers: list[Any], patience: Patience) -> list[int]:
        """Follow what is on the move; which of them are to be sent again."""
        again: list[int] = []
        pause = False
        for at, sent in enumerate(answers):
            if not isinstance(sent, Redirect):
                continue
            if sent.kind == "ask":
                answers[at] = sent = await self._ask(items[at], sent, patience)
            elif sent.kind == "moved":
                await self._moved(sent, patience)
            if isinstance(sent, Redirect):
                again.append(at)
                pause = pause or sent.kind == "later"
        if pause:
            await asyncio.sleep(_PAUSE)
            patience.left -= _PAUSE
        return again

    async def _ask(self, item: Item, sent: Redirect, patience: Patience) -> Any:
        """Once, at the place to which the slot is moving. Gives the answer, or Away."""
        assert self._map is not None
        assert sent.place is not None
        try:
            link = self._map.at(sent.place) or self._map.guest(sent.place)
            if not link.up:
                await patience.within(link.open())
            command = item.whole() if isinstance(item, Work) else item
            return (await link.ask([("ASKING",), command], patience))[1]
        except TimeoutError:
            return Away(f"{sent.place}: no answer in time")
        except Away as error:
            return error

    async def _moved(self, sent: Redirect, patience: Patience) -> None:
        """A slot is another shard's: one that is known, or all are asked for anew."""
        assert self._map is not None
        assert sent.place is not None
        if not self._map.moved(sent.slot, sent.place):
            with contextlib.suppress(Away, TimeoutError):
                await patience.within(self._map.refresh())

    # --- the slots ----------------------------------------------------------------------------------------

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work, name="state-shards")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _spread(self) -> None:
        """It is a cluster: from here on each shard has its link."""
        made = Topology(self._one, self._shard, self._let_go)
        try:
            await made.learn()
        except Away as error:
            self._one.lose(Away(str(error)))  # looked for again
            return
        self._map = made
        self._spawn(made.watch())
        _tell(then() for then in self.returned)

    def _shard(self, places: tuple[Place, ...]) -> Link:
        return self._link(replace(self.address, places=places), shard=True)

    async def _let_go(self, link: Link) -> None:
        """A link that serves no slots any more; its figures stay."""
        figures = (link.calls, link.failures, link.outages)
        self._gone = [was + now for was, now in zip(self._gone, figures, strict=True)]
        self.clock.forget(link.era)
        await link.close()


def _whole(answers: list[Any]) -> list[Any]:
    """Raises Away where one of them is."""
    for answer in answers:
        if isinstance(answer, Away):
            raise answer
    return answers


def _tell(calls: Iterable[None]) -> None:
    for _ in calls:
        pass
