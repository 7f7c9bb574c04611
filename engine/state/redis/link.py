"""This process's connections to one server: a few, calls with a deadline, and no calls while it is away.

Three calls in a row that fail, or one that the server itself refuses (LOADING, READONLY, OOM, ...), and it
counts as away: from there on `ask` raises at once, and a task in the background asks every place in turn
until one answers as a primary. So an outage costs a few deadlines once, and then nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from typing import Any, Final

from engine.state.redis.address import Address, Place
from engine.state.redis.connection import Away, Command, Connection, refusing
from engine.state.redis.generation import Generation, ServerClock
from engine.state.redis.greeting import Clustered, evicts, greet
from engine.state.redis.patience import Patience
from engine.state.redis.scripts import Script, Work
from engine.state.redis.slots import Redirect, redirect_of

log = logging.getLogger("engine.state")

#: How long a call may take, all of it, in ms.
DEADLINE_MS: Final = 50
#: Failures in a row after which the store counts as away.
FAILURES: Final = 3
#: Connections that are open at a time.
LANES: Final = 8
#: After a generation has begun: how long nothing new is drawn, so that all can tell what they hold.
SETTLE_MS: Final = 2_000
#: How long looking for a server may take, in seconds.
PROBE_S: Final = 0.25

_EVICTS: Final = (
    "state store %s: with `maxmemory-policy %s` it throws counts of budgets and limits away when it is full; "
    "set `maxmemory-policy noeviction`"
)
_FIRST_PROBE: Final = 0.05
_LAST_PROBE: Final = 0.5

Item = Work | Command


class Renewed(Away):
    """The store has another generation than the one this process knew: what it answered is not counted on."""


class Link:
    """Made for one address; `open` before the first call, `close` at the end. One loop's.

    shard: of a cluster: its servers are all places of the address, and where it says that a key is another
    server's, that is an answer. returned, lost: called when it is there again, and when it is away.
    clustered: called when it turns out to be one of a cluster, instead of looking for it.
    """

    def __init__(
        self,
        address: Address,
        *,
        deadline_ms: int = DEADLINE_MS,
        settle_ms: int = SETTLE_MS,
        random: Random | None = None,
        clock: ServerClock | None = None,
        shard: bool = False,
    ) -> None:
        self.address = address
        self.place = address.places[0]  # the one that answered last
        self.shard = shard
        self._seconds = deadline_ms / 1000
        self._random = random or Random()
        self._idle: list[Connection] = []
        self._busy: set[Connection] = set()
        self._free = asyncio.Semaphore(LANES)
        self._failed = 0
        self._probing: asyncio.Task[None] | None = None
        self.era = Generation(str(address), settle_ms, self._random, clock or ServerClock(), whole=not shard)
        self._closed = False
        self._evicts = ""
        self.up = False
        self.why = "it was not asked yet"
        self.calls = 0
        self.failures = 0
        self.outages = 0
        self.returned: list[Callable[[], None]] = []
        self.lost: list[Callable[[], None]] = []
        self.clustered: list[Callable[[], None]] = []
        self.misplaced: list[Callable[[], None]] = []

    # --- life ---------------------------------------------------------------------------------------------

    async def open(self) -> bool:
        """Look for the server; where it is not there, go on in the background. Whether it is there."""
        try:
            await self._find()
        except Away as error:
            self.lose(error)
            return False
        return True

    async def close(self) -> None:
        self._closed = True
        self.up = False
        if self._probing is not None:
            self._probing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._probing
        await self._drop()

    @property
    def generation(self) -> str | None:
        return self.era.value

    def settling_ms(self) -> int:
        """How long nothing new may be drawn yet; 0: it may."""
        return self.era.settling_ms()

    def served_by(self, places: tuple[Place, ...]) -> None:
        """The shard's servers are these now, its primary first. While the one that is asked is among them,
        it is asked on: it says itself when it is the primary no more.
        """
        self.address = replace(self.address, places=places)
        if self.up and self.place not in places:
            self.lose(Away(f"{places[0]} serves its slots now", at_once=True))
        if not self.up:
            self.place = places[0]

    # --- calls --------------------------------------------------------------------------------------------

    async def call(self, *commands: Command) -> list[Any]:
        """Send commands together and give their answers. Raises Away; never waits beyond the deadline."""
        return await self.ask(commands)

    async def do(self, works: Sequence[Work]) -> list[Any]:
        """Run scripts whose answers count whatever the store has lost. Raises Away."""
        return await self.ask(works)

    async def run(self, works: Sequence[Item], patience: Patience | None = None) -> list[Any]:
        """Run scripts, each by itself whole. Raises Away; Renewed where what they said is void."""
        key = self.era.key
        if key is None:
            return await self.ask(works, patience)
        answers = await self.ask([*works, ("GET", key)], patience)
        generation = answers.pop()
        if isinstance(generation, Redirect) or key != self.era.key:  # it stands elsewhere, which is no loss
            for then in self.misplaced:
                then()
            return answers
        if generation is None or generation.decode() != self.era.value:
            await self._establish()
            raise Renewed("the store has lost or renewed its data")
        return answers

    async def ask(self, items: Sequence[Item], patience: Patience | None = None) -> list[Any]:
        """Send scripts and commands together. Raises Away. A shard's answers may be redirections."""
        if not self.up:
            raise Away(self.why, at_once=True)
        patience = patience or Patience(self._seconds)
        self.calls += 1
        for again in (True, False):
            lane = None
            try:
                lane = await self._lane(patience)
                commands = [item.command() if isinstance(item, Work) else item for item in items]
                answers = await lane.exchange(commands, patience)
                answers = await self._load(lane, items, commands, answers, patience)
                answers = [self._read(answer) for answer in answers]
            except Away as error:
                self.failures += 1
                # A connection that was cut while it lay idle says nothing about the server: once more.
                if again and not error.at_once and not patience.over and self.up:
                    continue
                self._failed += 1
                if error.at_once or self._failed >= FAILURES:
                    self.lose(error)
                raise
            finally:
                if lane is not None:
                    await self._put(lane)
            self._failed = 0
            return answers
        raise AssertionError("the second try raises or returns")

    async def _load(
        self,
        lane: Connection,
        items: Sequence[Item],
        commands: Sequence[Command],
        answers: list[Any],
        patience: Patience,
    ) -> list[Any]:
        """Where the server has lost its scripts: give them, and run what failed."""
        lost = [at for at, answer in enumerate(answers) if _no_script(answer)]
        if not lost:
            return answers
        scripts: dict[str, Script] = {
            item.script.sha: item.script for at in lost if isinstance(item := items[at], Work)
        }
        loads: list[Command] = [("SCRIPT", "LOAD", script.text) for script in scripts.values()]
        again = await lane.exchange([*loads, *(commands[at] for at in lost)], patience)
        for at, answer in zip(lost, again[len(loads) :], strict=True):
            answers[at] = answer
        return answers

    def _read(self, answer: Any) -> Any:
        """Of a shard, a redirection is an answer. Raises Away where it says that it is not to be asked."""
        if not isinstance(answer, Exception):
            return answer
        sent = redirect_of(answer, self.place)
        away = refusing(answer) or Away(f"it answers: {answer}", at_once=True)
        if sent is None:
            raise away
        if not self.shard:
            raise Clustered(str(away), at_once=True)
        if sent.kind == "moved" and sent.place != self.place and sent.place in self.address.places:
            self.place = sent.place
            raise Away(f"{sent.place} is the primary now", at_once=True)
        return sent

    async def _lane(self, patience: Patience) -> Connection:
        try:
            if self._free.locked():
                await patience.within(self._free.acquire())
            else:
                await self._free.acquire()
        except TimeoutError:
            raise Away("all connections are waiting for it") from None
        try:
            if not self.up:  # it went away while this one waited
                raise Away(self.why, at_once=True)
            while self._idle and not self._idle[-1].alive:
                self._idle.pop()
            lane = self._idle.pop() if self._idle else await self._dial(self.place, patience)
        except BaseException:
            self._free.release()
            raise
        self._busy.add(lane)
        return lane

    async def _put(self, lane: Connection) -> None:
        self._free.release()
        self._busy.discard(lane)
        if not lane.alive:
            return
        if self.up and self.era.is_of(lane):
            self._idle.append(lane)
        else:
            await lane.close()

    # --- one server ---------------------------------------------------------------------------------------

    async def _dial(self, place: Place, patience: Patience) -> Connection:
        """A connection to a primary; where it is another run of a server than before: a generation begins."""
        lane = await self.knock(place, patience)
        try:
            up_s = await greet(lane, place, self.shard, patience)
            if not self.era.is_of(lane):
                await self.era.take(lane, up_s, patience)
        except BaseException:
            await lane.close()
            raise
        return lane

    async def knock(self, place: Place, patience: Patience) -> Connection:
        """A connection to whoever is there. Raises Away."""
        try:
            login = self.address.login()
        except ValueError as error:
            raise Away(str(error), at_once=True) from None
        return await Connection.dial(self.address, place, login, patience)

    async def _establish(self) -> None:
        """The generation is another one: take it in, or begin one where there is none."""
        lane = await self._lane(Patience(self._seconds))
        try:
            await self.era.take(lane, None, Patience(self._seconds))
        finally:
            await self._put(lane)

    async def rekey(self, key: str) -> None:
        """The generation stands under another key from here on. Raises Away."""
        if not self.up:
            raise Away(self.why, at_once=True)
        lane = await self._lane(Patience(self._seconds))
        try:
            await self.era.move(lane, key, Patience(self._seconds))
        finally:
            await self._put(lane)

    async def lane(self) -> Connection:
        """A connection of one's own, to close oneself. Raises Away."""
        if not self.up:
            raise Away(self.why, at_once=True)
        return await self._dial(self.place, Patience(PROBE_S))

    # --- away ---------------------------------------------------------------------------------------------

    def lose(self, error: Away) -> None:
        """It is away: look for it in the background."""
        if self._probing is not None and not self.up:
            return  # that is known, and what it said first
        was, self.up, self.why = self.up, False, str(error)
        if isinstance(error, Clustered) and self.clustered:
            for then in self.clustered:
                then()
            return
        if was:
            self.outages += 1
            log.warning("state store %s is away: %s", self.address, error)
        elif self._probing is None:
            log.warning("state store %s cannot be asked: %s", self.address, error)
        if self._probing is None and not self._closed:
            self._probing = asyncio.get_running_loop().create_task(self._probe(), name="state-probe")
        if was:
            for then in self.lost:
                then()

    async def _probe(self) -> None:
        pause = _FIRST_PROBE
        await self._drop()
        while True:
            await asyncio.sleep(pause * (0.75 + self._random.random() / 2))
            pause = min(pause * 2, _LAST_PROBE)
            try:
                await self._find()
            except Clustered as error:
                self._probing = None
                self.lose(error)
                return
            except Away as error:
                self.why = str(error)
                continue
            break
        self._probing = None
        log.warning("state store %s is back", self.address)

    async def _find(self) -> None:
        """Ask every place once. Raises Away with what each said."""
        said: list[str] = []
        places = self.address.places
        first = places.index(self.place) if self.place in places else 0
        for place in (*places[first:], *places[:first]):
            try:
                lane = await self._dial(place, Patience(PROBE_S))
            except Clustered:
                raise
            except Away as error:
                said.append(str(error))
                continue
            await self._warn(lane)
            self.place, self._failed, self.up, self.why = place, 0, True, ""
            self._idle.append(lane)
            for then in self.returned:
                then()
            return
        raise Away("; ".join(said))

    async def _warn(self, lane: Connection) -> None:
        """A server that throws keys away when it is full forgets what was spent, and nobody notices."""
        policy = await evicts(lane, Patience(PROBE_S))
        if policy is not None and policy != self._evicts:
            self._evicts = policy
            log.warning(_EVICTS, self.address, policy)

    async def _drop(self) -> None:
        """Close all connections, so that who waits for an answer waits no longer."""
        idle, self._idle = self._idle, []
        for lane in (*idle, *self._busy):
            await lane.close()


def _no_script(answer: Any) -> bool:
    return isinstance(answer, Exception) and "NOSCRIPT" in (
        getattr(answer, "status_code", None) or str(answer)
    )
