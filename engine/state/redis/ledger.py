"""The counts of many processes, in Redis or Valkey, on slices: mostly, what is reserved needs no question.

Each process holds a slice of each account that it works on, and hands it out synchronously; only when a
slice is empty does a call wait for the next one. A slice counts as gone for everybody else, so nothing is
ever overspent however many processes there are. It goes back when nobody has needed it for a second, when
another process asks for it, and at the end.

Every half second each process says, per account, what it used since it began and what it holds; the store
adds the difference. So saying something twice is harmless, and what the store has lost is said again. An
owner that says nothing for ten seconds counts as dead: its slice as used (`Standing.lost`), its places as
free. If it was only slow, what it says then replaces that.

While the store is away, slices are used up; then an account refuses, or lends from this process's own share.
Accounts that each process counts by itself (`scope: host`) are none of this ledger's: see `ScopedLedger`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple

from engine.state.ledger import Account, Ask, Refused, Rows, Standing
from engine.state.memory_ledger import MemoryLedger, later
from engine.state.redis.beats import Beats
from engine.state.redis.connection import Away
from engine.state.redis.draws import Draws, Waiter
from engine.state.redis.generation import BACK
from engine.state.redis.journal import Journal
from engine.state.redis.scripts import ONCE, Work
from engine.state.redis.slice import (
    ACCOUNTS,
    NOTHING,
    Slice,
    account_of,
    key_of,
    look_work,
    shape_of,
    standing,
    view_of,
)
from engine.state.redis.store import RedisStore

#: How old what the store said last may be for `look`, in seconds.
_FRESH: Final = 1.0
#: Accounts that one answer tells of at most.
_MOST_ROWS: Final = 10_000
_AT_ONCE: Final = 128


class _Hold(NamedTuple):
    slices: list[Slice]
    amounts: list[int]
    at_ms: int


class RedisLedger:
    """Implements `engine.state.ledger.Ledger`. Made by `open`; what it has open is gone with `close`."""

    def __init__(
        self, store: RedisStore, journal: Journal | None, clock: Callable[[], int | None], owns: bool
    ) -> None:
        self.store = store
        self._servers = store.link.clock
        self._journal = journal
        self._owns = owns
        self.owner = f"{os.getpid():x}-{secrets.token_hex(6)}"
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._slices: dict[str, Slice] = {}
        self._holds: dict[str, _Hold] = {}
        self._draws = Draws(store.link, clock)
        self._active: set[Slice] = set()
        self._beats = Beats(store, self._draws, self._slices, self._active, journal, self.owner, clock)
        self._asked = MemoryLedger()  # what was asked `once` here

    @classmethod
    async def open(
        cls,
        store: RedisStore,
        journal: Journal | None = None,
        clock: Callable[[], int | None] = lambda: None,
        owns: bool = False,
    ) -> RedisLedger:
        """Over a store that is open.

        Args:
            store: it and the journal stay the caller's, unless `owns`: then they are closed with the ledger.
            journal: where what was told is kept, for a store that loses it.
            clock: epoch ms for the scripts; None: the server's own.
        """
        made = cls(store, journal, clock, owns)
        store.feed.on(BACK, made._asked_back)
        made._beats.start()
        return made

    # --- the hot path -------------------------------------------------------------------------------------

    def reserve(
        self, hold: str, asks: Sequence[Ask], now_ms: int
    ) -> Refused | Awaitable[Refused | None] | None:
        """Hold these amounts, all or none: at once where the slices have room."""
        now_ms += self._servers.offset_ms  # all hosts count by the server's clock
        if hold in self._holds:
            return None
        slices: list[Slice] = []
        amounts: list[int] = []
        for ask in asks:
            account, amount = ask.account, ask.amount
            part = self._slices.get(account.key)
            if part is None or part.account is not account:
                part = self._follow(account)
            if amount > part.free - part.waiting and amount:
                break
            if part.idle:
                self._active.add(part)
            part.take(amount, now_ms)
            slices.append(part)
            amounts.append(amount)
        else:
            self._holds[hold] = _Hold(slices, amounts, now_ms)
            for part in slices:
                if part.free < part.ahead >> 2:
                    self._draws.top_up(part)
            return None
        self._give_back(slices, amounts, now_ms)
        return self._without_room(hold, asks, now_ms)

    def sent(self, hold: str, now_ms: int) -> None:
        """All that a process which dies had drawn counts as used, whatever of it had been sent."""

    def settle(self, hold: str, amounts: Sequence[int], now_ms: int) -> None:
        held = self._holds.pop(hold, None)
        if held is None:
            return
        now_ms += self._servers.offset_ms
        for part, taken, used in zip(held.slices, held.amounts, amounts, strict=True):
            if part.idle:
                self._active.add(part)
            part.close(taken, used, held.at_ms, now_ms)
            if part.free < 0:
                self._draws.owe(part)
            elif part.tight > 0:
                self._draws.loosen(part)

    def release(self, hold: str, now_ms: int) -> None:
        held = self._holds.pop(hold, None)
        if held is not None:
            self._give_back(held.slices, held.amounts, held.at_ms)

    # --- without room -------------------------------------------------------------------------------------

    def _without_room(
        self, hold: str, asks: Sequence[Ask], now_ms: int
    ) -> Refused | Awaitable[Refused | None] | None:
        """Refused at once where nothing could come of waiting; else something to await."""
        refused: Refused | None = None
        waits = False
        for ask in asks:
            if not ask.amount:
                continue
            part = (
                self._slices[ask.account.key]
                if ask.account.key in self._slices
                else self._follow(ask.account)
            )
            if ask.amount <= part.free - part.waiting:
                continue
            away = self._draws.away_ms(part)
            if away is not None:
                alone = self._draws.alone(part, ask.amount, now_ms, away)
                if alone is not None:
                    return alone
                continue
            waits = True
            if (found := self._draws.refuses(part, ask.amount, now_ms)) is not None:
                refused = later(refused, found)
        if refused is not None:
            return refused
        if waits:
            return self._wait(hold, asks, now_ms)
        self._lent(hold, asks, now_ms)  # all of them have lent what was missing
        return None

    def _lent(self, hold: str, asks: Sequence[Ask], now_ms: int) -> None:
        slices = [self._follow(ask.account) for ask in asks]
        for part, ask in zip(slices, asks, strict=True):
            self._active.add(part)
            part.take(ask.amount, now_ms)
        self._holds[hold] = _Hold(slices, [ask.amount for ask in asks], now_ms)

    async def _wait(self, hold: str, asks: Sequence[Ask], now_ms: int) -> Refused | None:
        """Wait until all have room or one has none; what others have given by then goes back."""
        waiters: list[Waiter] = []
        refused: Refused | None = None
        granted = False
        try:
            for ask in asks:
                part = self._follow(ask.account)
                self._active.add(part)
                waiters.append(self._draws.wait(part, ask.amount, now_ms))
            for waiter in waiters:
                answer = await waiter.done
                if answer is not None:
                    refused = later(refused, answer)
            if refused is None:
                granted = True
                slices = [waiter.part for waiter in waiters]
                self._holds[hold] = _Hold(slices, [waiter.amount for waiter in waiters], now_ms)
            return refused
        finally:
            if not granted:
                for waiter in waiters:
                    self._draws.leave(waiter)

    def _give_back(self, slices: Sequence[Slice], amounts: Sequence[int], at_ms: int) -> None:
        for part, amount in zip(slices, amounts, strict=True):
            if part.idle:
                self._active.add(part)
            part.close(amount, 0, at_ms, at_ms)
            if part.tight > 0:
                self._draws.loosen(part)

    def _follow(self, account: Account) -> Slice:
        """The slice of an account by the terms it has now."""
        part = self._slices.get(account.key)
        if part is None or shape_of(part.account) != shape_of(account):
            part = self._slices[account.key] = self._beats.new_slice(account)
        part.account = account
        return part

    def _asked_back(self, key: bytes) -> None:
        part = self._slices.get(key.decode(errors="replace"))
        if part is not None:
            self._draws.asked_back(part)

    # --- what is told -------------------------------------------------------------------------------------

    def look(
        self, accounts: Sequence[Account], now_ms: int
    ) -> Sequence[Standing] | Awaitable[Sequence[Standing]]:
        """As the store said within the last second, with what was done here since; else it is asked."""
        oldest = self._loop.time() - _FRESH
        told: list[Standing] = []
        for account in accounts:
            part = self._slices.get(account.key)
            if part is None or part.view_at < oldest:
                up = self.store.link.up
                return self._told(accounts, now_ms) if up else self._known(accounts, now_ms)
            part.account = account
            told.append(part.standing(now_ms))
        return told

    def _known(self, accounts: Sequence[Account], now_ms: int) -> list[Standing]:
        """As well as this process knows by itself."""
        told: list[Standing] = []
        for account in accounts:
            part = self._slices.get(account.key)
            told.append(part.standing(now_ms) if part else standing(account, NOTHING, now_ms))
        return told

    async def _told(self, accounts: Sequence[Account], now_ms: int) -> list[Standing]:
        works = [look_work(account, self._clock()) for account in accounts]
        answers = await self.store.link.run_each(works)
        for account, answer in zip(accounts, answers, strict=True):
            part = self._follow(account)
            if not part.busy and not isinstance(answer, Away):
                part.view, part.view_at = view_of(answer), self._loop.time()
        return self._known(accounts, now_ms)

    async def rows(self, now_ms: int) -> Rows:
        """All accounts of all processes, the first `_MOST_ROWS` of them; this process's while it is away."""
        link = self.store.link
        found: dict[str, Account] = {}
        with contextlib.suppress(Away):
            now = self._clock() or now_ms + link.clock.offset_ms
            (names,) = await link.call(("ZRANGEBYSCORE", ACCOUNTS, f"({now}", "+inf", "LIMIT", 0, _MOST_ROWS))
            for text in names:
                account = account_of(text)
                if account is not None:
                    found[account.key] = account
        mine = {key: part.account for key, part in self._slices.items()}
        accounts = [a for a in {**found, **mine}.values() if a.ends_ms is None or a.ends_ms > now_ms]
        rows: list[tuple[Account, Standing]] = []
        for at in range(0, len(accounts), _AT_ONCE):
            some = accounts[at : at + _AT_ONCE]
            told = await self._told(some, now_ms)
            rows += [row for row in zip(some, told, strict=True) if row[1].used or row[0].key in mine]
        return rows

    async def once(self, key: str, ttl_ms: int, now_ms: int) -> bool:
        """Of all processes; while the store is away, of this one."""
        if not self._asked.once(key, ttl_ms, now_ms):
            return False
        token = f"{self.owner}:{secrets.token_hex(4)}"
        try:
            answers = await self.store.link.do([Work(ONCE, (once_key(key),), (token, ttl_ms))])
        except Away:
            return True
        return bool(answers[0])

    def open_holds(self) -> int:
        return len(self._holds)

    def away(self) -> bool:
        return not self.store.link.up

    def figures(self) -> dict[str, int]:
        """How it works, for metrics: accounts that are worked on, draws, what was lent without the store."""
        return {
            "slices": len(self._slices),
            "draws": self._draws.draws,
            "lent": self._draws.lent,
            "dropped": self._beats.dropped,
        }

    async def close(self) -> None:
        """Say all that is left to say and give back what nobody holds."""
        await self._draws.close()
        await self._beats.close()
        if self._owns:
            await self.store.close()
            if self._journal is not None:
                await asyncio.to_thread(self._journal.close)


def once_key(key: str) -> str:
    return key_of(f"once/{key}", "once")
