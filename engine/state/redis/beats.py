"""What a process says twice a second: what it used, what it holds; and everything again after a loss.

An account that was not used for a second gives its slice back, and one that was not used for ten minutes is
forgotten here: should it be used again, this process is another owner for it, so that nothing is said twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sqlite3
from collections.abc import Callable, Sequence
from typing import Final

from engine.state.ledger import Account
from engine.state.redis.connection import Away
from engine.state.redis.draws import Draws, carry
from engine.state.redis.generation import RENEWED
from engine.state.redis.journal import Journal, Told
from engine.state.redis.link import Link
from engine.state.redis.scripts import Work
from engine.state.redis.slice import (
    ACCOUNTS,
    Slice,
    about,
    account_of,
    restore_work,
)
from engine.state.redis.store import RedisStore

log = logging.getLogger("engine.state")

#: Between two beats, in seconds.
BEAT: Final = 0.5
#: Beats without use after which a slice goes back.
_IDLE: Final = 2
#: Beats without use after which an account is forgotten, and between two looks for such.
_GONE: Final = 1_200
_LOOK: Final = 120
#: Scripts that are sent together.
_AT_ONCE: Final = 64
#: Beats in which an account looks at what stands under its old name.
_CARRYING: Final = 120


class Beats:
    """The heartbeat of one ledger. slices: all of it, active: those that were used of late."""

    def __init__(
        self, store: RedisStore, draws: Draws, slices: dict[str, Slice], active: set[Slice],
        journal: Journal | None, owner: str, clock: Callable[[], int | None],
    ) -> None:  # fmt: skip
        self._store = store
        self._draws = draws
        self._slices = slices
        self._active = active
        self._journal = journal
        self._owner = owner
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._turn = asyncio.Lock()
        self._renewed = True  # what earlier processes of this host told is told again
        self._untold: list[Work] = []  # of that, what could not be told yet
        self._epoch = 0
        self._count = 0
        self._carrying: dict[Slice, int] = {}
        self._task: asyncio.Task[None] | None = None
        self.dropped = 0
        store.link.renewed.append(self._renew)
        store.link.returned.append(self._wake.set)
        store.feed.on(RENEWED, lambda _: self._wake.set())

    def start(self) -> None:
        self._task = self._loop.create_task(self._run(), name="state-beats")

    def new_slice(self, account: Account) -> Slice:
        """A new slice, of which nothing is drawn yet."""
        owner = self._owner if self._epoch == 0 else f"{self._owner}.{self._epoch}"
        made = Slice(account, owner, 0)
        if account.was is not None:
            self._carrying[made] = _CARRYING
        return made

    async def close(self) -> None:
        """Say what is left to say, give back what nobody holds."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        with contextlib.suppress(Away):
            await self._say(list(self._slices.values()), give=True)

    # --- beats ------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            try:
                if self._store.link.up:
                    await self.beat()
            except Away as error:
                log.debug("state beat: %s", error)
            except Exception:  # one bad answer must not stop what keeps slices alive
                log.exception("state beat failed")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BEAT):
                    await self._wake.wait()
            self._wake.clear()

    async def beat(self) -> None:
        """Once, when another one that is under way is over. Raises Away."""
        async with self._turn:
            await self._beat()

    async def _beat(self) -> None:
        self._count += 1
        await self._store.link.check()  # is it the store that it was?
        await self._store.feed.poll()
        await self._restore()
        await self._carry()
        due = list(self._active)
        for part in due:
            part.idle += 1
        await self._say(due)
        for part in due:
            if part.idle > _IDLE and not part.busy and not part.told_g and not part.dirty(0.0):
                self._active.discard(part)
                part.left = self._count
        if self._count % _LOOK == 0:
            self.forget(_GONE)

    async def _say(self, slices: Sequence[Slice], give: bool = False) -> None:
        now = self._loop.time()
        due: list[tuple[Slice, Work]] = []
        for part in slices:
            gives = give or part.idle > _IDLE
            if part.busy or not (part.dirty(now) or (gives and part.free > 0)):
                continue
            part.prune(self._now())
            due.append((part, part.work(0, 0, gives and not part.wanted, self._clock())))
        for at in range(0, len(due), _AT_ONCE):
            try:
                await self._send(due[at : at + _AT_ONCE])
            except BaseException:
                for part, _ in due[at:]:
                    part.failed()
                raise

    async def _send(self, due: Sequence[tuple[Slice, Work]]) -> None:
        """Some slices' news. What cannot be said, since its shard is away, is said again."""
        answers = await self._store.link.run_each([work for _, work in due])
        rows: list[Told] = []
        new: list[Slice] = []
        for (part, _), answer in zip(due, answers, strict=True):
            if isinstance(answer, Away) or not self._took(part, answer):
                part.failed()
                continue
            self._draws.after(part)
            if not part.indexed:
                new.append(part)
            row = self._told(part)
            if row is not None:
                rows.append(row)
        if self._journal is not None and rows:
            self._journal.record(rows)
        if new:
            with contextlib.suppress(Away):  # the next ones to be said bring them along
                await self._index(new)

    def _took(self, part: Slice, answer: Sequence[int]) -> bool:
        try:
            part.took(answer, self._loop.time())
        except ValueError:
            return False
        self._store.link.heard(part.key, answer[8])
        return True

    async def _index(self, parts: Sequence[Slice]) -> None:
        """Have these accounts found by who asks for all of them."""
        args: list[str | int] = []
        for part in parts:
            account = part.account
            until = account.ends_ms or self._now() + 2 * account.period_ms + 3_600_000
            args += [until, about(account)]
        await self._store.link.call(("ZADD", ACCOUNTS, *args))
        for part in parts:
            part.indexed = True

    def _told(self, part: Slice) -> Told | None:
        """The journal's row of what was just said; None of what needs none: it is soon free again anyway."""
        account = part.account
        if account.shape not in ("window", "rolling") or self._journal is None:
            return None
        until = account.ends_ms or self._now() + account.period_ms
        spent = json.dumps({str(slot): str(used) for slot, used in part.told.items()})
        return Told(part.owner, account.key, spent, part.told_g, about(account), until)

    def _now(self) -> int:
        return self._clock() or self._store.now_ms()

    def forget(self, beats: int) -> None:
        """Let go of accounts that were not used for so long."""
        gone = [(key, part) for key, part in self._slices.items() if self._over(part, beats)]
        if gone:
            self._epoch += 1
        for key, part in gone:
            del self._slices[key]
            self._carrying.pop(part, None)

    def _over(self, part: Slice, beats: int) -> bool:
        used = part in self._active or self._count - part.left < beats
        return not (used or part.held or part.busy or part.dirty(0.0))

    # --- after a loss -----------------------------------------------------------------------------------

    def _renew(self, link: Link) -> None:
        """A shard has another generation: all that it counts is said again, as soon as can be."""
        due = [part for part in self._slices.values() if self._store.link.of(part.key) is link]
        for part in due:
            part.forget()
        self._active.update(due)
        self._renewed = True
        self._wake.set()

    async def _restore(self) -> None:
        """Tell what processes of this host that are gone told; a shard that is away, later."""
        if self._renewed:
            self._renewed = False
            self._untold = await self._past()
        works, self._untold = self._untold, []
        for at in range(0, len(works), _AT_ONCE):
            some = works[at : at + _AT_ONCE]
            answers = await self._store.link.run_each(some)
            self._untold += [
                work for work, answer in zip(some, answers, strict=True) if isinstance(answer, Away)
            ]

    async def _past(self) -> list[Work]:
        """What the journal holds of others than this process."""
        if self._journal is None:
            return []
        try:
            rows = await asyncio.to_thread(self._journal.rows, self._now())
        except (OSError, sqlite3.Error) as error:
            log.warning("the journal of what this host told the state store cannot be read: %s", error)
            return []
        mine = {(part.owner, key) for key, part in self._slices.items()}
        return [
            restore_work(account, row.owner, row.spent, max(0, row.holds), self._clock())
            for row in rows
            if (row.owner, row.account) not in mine and (account := account_of(row.about)) is not None
        ]

    async def _carry(self) -> None:
        """Take in what stands under the old names of accounts."""
        due = [part for part, left in self._carrying.items() if left > 0 and not part.busy]
        self._carrying = {part: left - 1 for part, left in self._carrying.items() if left > 1}
        with contextlib.suppress(Away):
            await carry(self._store.link, due, self._clock())
        self._active.update(part for part in due if part.dirty(0.0))  # also where nobody asks for it now
