"""This process's connections to the store: a few, calls with a deadline, and no calls while it is away.

Three calls in a row that fail, or one that the store itself refuses (LOADING, READONLY, OOM, MOVED, ...), and
it counts as away: from there on `call` raises at once, and a task in the background asks every address in
turn until one answers as a primary. So an outage costs a few deadlines once, and then nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final

from engine.state.redis.address import Address, Place
from engine.state.redis.connection import Away, Command, Connection, refusing
from engine.state.redis.generation import KEY, Generation
from engine.state.redis.scripts import Script, Work

log = logging.getLogger("engine.state")

#: How long a call may take, all of it, in ms.
DEADLINE_MS: Final = 50
#: Failures in a row after which the store counts as away.
FAILURES: Final = 3
#: Connections that are open at a time.
LANES: Final = 8
#: After a generation has begun: how long nothing new is drawn, so that all can tell what they hold.
SETTLE_MS: Final = 2_000

_EVICTS: Final = (
    "state store %s: with `maxmemory-policy %s` it throws counts of budgets and limits away when it is full; "
    "set `maxmemory-policy noeviction`"
)
_FIRST_PROBE: Final = 0.05
_LAST_PROBE: Final = 0.5
_PROBE_MS: Final = 250


class Renewed(Away):
    """The store has another generation than the one this process knew: what it answered is not counted on."""


class Link:
    """Made for one address; `open` before the first call, `close` at the end. One loop's."""

    def __init__(
        self,
        address: Address,
        *,
        deadline_ms: int = DEADLINE_MS,
        settle_ms: int = SETTLE_MS,
        random: Random | None = None,
    ) -> None:
        self.address = address
        self._seconds = deadline_ms / 1000
        self._random = random or Random()
        self._idle: list[Connection] = []
        self._free = asyncio.Semaphore(LANES)
        self._failed = 0
        self._first = 0  # of the places: the one that answered last
        self._probing: asyncio.Task[None] | None = None
        self.era = Generation(str(address), settle_ms, self._random)
        self._closed = False
        self._evicts = ""
        self.up = False
        self.why = "it was not asked yet"
        self.calls = 0
        self.failures = 0
        self.outages = 0
        self.returned: list[Callable[[], None]] = []

    # --- life ---------------------------------------------------------------------------------------------

    async def open(self) -> bool:
        """Look for the store; where it is not there, go on looking in the background. Whether it is there."""
        try:
            await self._find()
        except Away as error:
            self._lost(error)
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

    # --- calls --------------------------------------------------------------------------------------------

    async def call(self, *commands: Command) -> list[Any]:
        """Send commands together and give their answers. Raises Away; never waits beyond the deadline."""
        return await self._call(commands, ())

    async def run(self, works: Sequence[Work]) -> list[Any]:
        """Run scripts, each by itself whole. Raises Away; Renewed where what they said is void."""
        commands: list[Command] = [work.command() for work in works]
        answers = await self._call([*commands, ("GET", KEY)], works)
        generation = answers.pop()
        if generation is None or generation.decode() != self.era.value:
            await self._establish()
            raise Renewed("the store has lost or renewed its data")
        return answers

    async def do(self, works: Sequence[Work]) -> list[Any]:
        """Run scripts whose answers count whatever the store has lost. Raises Away."""
        return await self._call([work.command() for work in works], works)

    async def _call(self, commands: Sequence[Command], works: Sequence[Work]) -> list[Any]:
        if not self.up:
            raise Away(self.why, at_once=True)
        loop = asyncio.get_running_loop()
        ends = loop.time() + self._seconds
        self.calls += 1
        for again in (True, False):
            lane = None
            try:
                lane = await self._lane(ends)
                answers = await lane.exchange(commands, max(0.001, ends - loop.time()))
                answers = await self._load(lane, commands, works, answers, ends)
                self._check(answers)
            except Away as error:
                self.failures += 1
                # A connection that was cut while it lay idle says nothing about the server: once more.
                if again and not error.at_once and loop.time() < ends and self.up:
                    continue
                self._failed += 1
                if error.at_once or self._failed >= FAILURES:
                    self._lost(error)
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
        commands: Sequence[Command],
        works: Sequence[Work],
        answers: list[Any],
        ends: float,
    ) -> list[Any]:
        """Where the server has lost its scripts: give them, and run what failed."""
        lost = [at for at, answer in enumerate(answers) if _no_script(answer)]
        if not lost:
            return answers
        scripts: dict[str, Script] = {works[at].script.sha: works[at].script for at in lost}
        loads: list[Command] = [("SCRIPT", "LOAD", script.text) for script in scripts.values()]
        seconds = max(0.001, ends - asyncio.get_running_loop().time())
        again = await lane.exchange([*loads, *(commands[at] for at in lost)], seconds)
        for at, answer in zip(lost, again[len(loads) :], strict=True):
            answers[at] = answer
        return answers

    def _check(self, answers: Sequence[Any]) -> None:
        for answer in answers:
            if isinstance(answer, Exception):
                raise refusing(answer) or Away(f"it answers: {answer}", at_once=True)

    async def _lane(self, ends: float) -> Connection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout_at(ends):
                await self._free.acquire()
        except TimeoutError:
            raise Away("all connections are waiting for it") from None
        try:
            while self._idle:
                lane = self._idle.pop()
                if lane.alive:
                    return lane
            return await self._dial(self.address.places[self._first], max(0.001, ends - loop.time()))
        except BaseException:
            self._free.release()
            raise

    async def _put(self, lane: Connection) -> None:
        self._free.release()
        if not lane.alive:
            return
        if self.up and self.era.is_of(lane):
            self._idle.append(lane)
        else:
            await lane.close()

    # --- one server ---------------------------------------------------------------------------------------

    async def _dial(self, place: Place, seconds: float) -> Connection:
        """A connection to a primary; where it is another run of a server than before: a generation begins."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + seconds
        try:
            login = self.address.login()
        except ValueError as error:
            raise Away(str(error), at_once=True) from None
        lane = await Connection.dial(self.address, place, login, seconds)
        try:
            info, role = await lane.exchange([("INFO", "server"), ("ROLE",)], max(0.001, ends - loop.time()))
            for answer in (info, role):  # what a managed service forbids is not known, and no fault
                away = refusing(answer)
                if away is not None and "NOPERM" not in str(away):
                    raise away
            if isinstance(role, list) and role and role[0] != b"master":
                raise Away(f"{place} is a replica", at_once=True)
            fields = _fields(info)
            lane.run_id = fields.get("run_id", "")
            if not self.era.is_of(lane):
                up_s = int(fields.get("uptime_in_seconds", "0") or 0)
                await self.era.take(lane, up_s, max(0.001, ends - loop.time()))
        except BaseException:
            await lane.close()
            raise
        return lane

    async def _establish(self) -> None:
        """The generation is another one: take it in, or begin one where there is none."""
        lane = await self._lane(asyncio.get_running_loop().time() + self._seconds)
        try:
            await self.era.take(lane, None, self._seconds)
        finally:
            await self._put(lane)

    async def lane(self) -> Connection:
        """A connection of one's own, to close oneself. Raises Away."""
        if not self.up:
            raise Away(self.why, at_once=True)
        return await self._dial(self.address.places[self._first], _PROBE_MS / 1000)

    # --- away ---------------------------------------------------------------------------------------------

    def _lost(self, error: Away) -> None:
        self.why = str(error)
        if self.up:
            self.outages += 1
            log.warning("state store %s is away: %s", self.address, error)
        elif self._probing is None:
            log.warning("state store %s cannot be asked: %s", self.address, error)
        self.up = False
        if self._probing is None and not self._closed:
            self._probing = asyncio.get_running_loop().create_task(self._probe(), name="state-probe")

    async def _probe(self) -> None:
        pause = _FIRST_PROBE
        await self._drop()
        while True:
            await asyncio.sleep(pause * (0.75 + self._random.random() / 2))
            pause = min(pause * 2, _LAST_PROBE)
            try:
                await self._find()
            except Away as error:
                self.why = str(error)
                continue
            break
        self._probing = None
        log.warning("state store %s is back", self.address)

    async def _find(self) -> None:
        """Ask every place once. Raises Away with what each said."""
        said: list[str] = []
        count = len(self.address.places)
        for step in range(count):
            at = (self._first + step) % count
            try:
                lane = await self._dial(self.address.places[at], _PROBE_MS / 1000)
            except Away as error:
                said.append(str(error))
                continue
            await self._warn(lane)
            self._first, self._failed, self.up, self.why = at, 0, True, ""
            self._idle.append(lane)
            for then in self.returned:
                then()
            return
        raise Away("; ".join(said))

    async def _warn(self, lane: Connection) -> None:
        """A server that throws keys away when it is full forgets what was spent, and nobody notices."""
        fields = _fields((await lane.exchange([("INFO", "memory")], _PROBE_MS / 1000))[0])
        policy = fields.get("maxmemory_policy", "noeviction")
        if fields.get("maxmemory", "0") != "0" and policy != "noeviction" and policy != self._evicts:
            self._evicts = policy
            log.warning(_EVICTS, self.address, policy)

    async def _drop(self) -> None:
        idle, self._idle = self._idle, []
        for lane in idle:
            await lane.close()


def _no_script(answer: Any) -> bool:
    return isinstance(answer, Exception) and "NOSCRIPT" in (
        getattr(answer, "status_code", None) or str(answer)
    )


def _fields(info: Any) -> dict[str, str]:
    """The lines of INFO."""
    if not isinstance(info, bytes):
        return {}
    pairs = (line.partition(":") for line in info.decode(errors="replace").splitlines())
    return {name: value for name, mark, value in pairs if mark}
