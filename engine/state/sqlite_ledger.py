"""The counts of one host, in an SQLite file that all its processes share: exact, and there after any crash.

Each reserve and each settle is one transaction, made on the spot: some microseconds, without a wait for the
disk. Where another process writes just then it is tried again for `SPIN_S`, then between other work for
`WAIT_S`. A file that cannot be written (a full disk, one that is read-only now, a damaged file) is tried
again every `AWAY_S`; meanwhile accounts do what they say under `on_state_loss`, and what was used is written
later.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar, cast

from engine.policies.accounts import Kept
from engine.state import sqlite_file
from engine.state.ledger import Account, Ask, Refused, Rows, Standing
from engine.state.ledger_accounts import counter_of
from engine.state.lending import Lending
from engine.state.memory_ledger import standing
from engine.state.sqlite_books import Books, Held, account_of
from engine.state.sqlite_keeper import Keeper
from engine.state.store_fault import StoreFault

log = logging.getLogger("engine.state")

SPIN_S: Final = 0.003
WAIT_S: Final = 1.0
AWAY_S: Final = 1.0

#: After a spin that led nowhere, others do not spin for so long: the loop has other work.
CROWDED_S: Final = 0.05

#: So many at a time: whoever reads many may do other work in between.
_ROWS: Final = (
    "SELECT id, key, measure, shape, most, ends_ms, period_ms, burst, spent, held, lost, at_ms, slots "
    "FROM accounts WHERE id > ? AND (ends_ms IS NULL OR ends_ms > ?) ORDER BY id LIMIT 100"
)
_ONCE: Final = (
    "INSERT INTO once VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET until_ms = ?2 "
    "WHERE until_ms <= ?3 OR until_ms > ?2"
)


_T = TypeVar("_T")


class _Away(Exception):
    """The file is not tried just now."""


class SqliteLedger:
    """Implements `engine.state.ledger.Ledger`. Opening and closing wait for the disk; the rest does not.

    Args:
        path: the file; made where it is missing.
        wall: epoch seconds; when what dead processes held is counted as lost.

    Raises:
        StoreFault: it cannot be made or opened.
    """

    def __init__(self, path: Path, wall: Callable[[], float] = time.time) -> None:
        self.path = path
        try:
            sqlite_file.create(path)
            self._keeper = Keeper(path, wall)
            self._books = Books(sqlite_file.hot(path))
        except sqlite3.Error as error:
            raise StoreFault(
                f"the state store {path} cannot be opened: {sqlite_file.explain(error)}"
            ) from error
        self._owner = self._keeper.owner
        self._open: dict[str, Held] = {}
        self._late: deque[tuple[str, Held, tuple[int, ...], int]] = deque()  # settled, and not written yet
        self._lending = Lending()
        self._lent: set[str] = set()  # holds that are in no file
        self._away_until = 0.0
        self._away = False
        self._crowded_until = 0.0
        self._flushing: asyncio.TimerHandle | None = None
        self._keeper.start()

    # --- Ledger -----------------------------------------------------------------------------------------

    def reserve(
        self, hold: str, asks: Sequence[Ask], now_ms: int
    ) -> Refused | Awaitable[Refused | None] | None:
        """Awaitable only where others write for longer than `SPIN_S`."""
        if hold in self._open:
            return None
        if self._away and time.monotonic() < self._away_until:
            return self._without(hold, asks, now_ms)
        try:
            return self._reserve(hold, asks, now_ms, SPIN_S)
        except sqlite3.Error as error:
            if sqlite_file.is_busy(error):
                return self._reserve_later(hold, asks, now_ms)
            self._lost(error)
            return self._without(hold, asks, now_ms)

    def sent(self, hold: str, now_ms: int) -> Awaitable[None] | None:
        held = self._open.get(hold)
        if held is None or hold in self._lent:
            return None
        try:
            self._write(lambda: self._books.sent(hold, self._owner, held), SPIN_S)
        except sqlite3.Error as error:
            if sqlite_file.is_busy(error):
                return self._sent_later(hold, held)
            self._unmarked(error)
        return None

    def settle(self, hold: str, amounts: Sequence[int], now_ms: int) -> None:
        """What cannot be written at once is written later: until then the worst case counts."""
        held = self._open.pop(hold, None)
        if held is None:
            return
        if hold in self._lent:
            self._lent.discard(hold)
            self._lending.settle(hold, held.accounts, amounts, now_ms)
        else:
            self._late.append((hold, held, tuple(amounts), now_ms))
        self._flush()

    def release(self, hold: str, now_ms: int) -> None:
        held = self._open.get(hold)
        if held is not None:
            self.settle(hold, (0,) * len(held.amounts), now_ms)

    def look(self, accounts: Sequence[Account], now_ms: int) -> list[Standing]:
        """How accounts stand for all processes; while the file is away, what this one uses of its share."""
        try:
            counter = self._books.counter
            return [standing(account, counter(account), now_ms) for account in accounts]
        except sqlite3.Error:
            return self._lending.look(accounts, now_ms)

    def rows(self, now_ms: int) -> Rows:
        """Read as they are asked for; while the file is away, what this process uses of its share."""
        last = 0
        while True:
            try:
                found = self._books.db.execute(_ROWS, (last, now_ms)).fetchall()
            except sqlite3.Error:
                yield from self._lending.rows(now_ms)
                return
            if not found:
                return
            last = found[-1][0]
            for row in found:
                account = account_of(row[1:8])
                counter = counter_of(account)
                counter.restore(cast(Kept, row[8:]))
                yield account, standing(account, counter, now_ms)

    def once(self, key: str, ttl_ms: int, now_ms: int) -> bool | Awaitable[bool]:
        """While the file is away, true for the first of this process."""
        try:
            return self._once((key, now_ms + ttl_ms, now_ms), SPIN_S)
        except sqlite3.Error as error:
            if sqlite_file.is_busy(error):
                return self._once_later(key, ttl_ms, now_ms)
            return self._lending.once(key, ttl_ms, now_ms)

    def open_holds(self) -> int:
        return len(self._open)

    def away(self) -> bool:
        return self._away

    async def close(self) -> None:
        await asyncio.to_thread(self.close_now)

    def close_now(self) -> None:
        """Write what is left to write and let go of the file. Waits for others."""
        if self._flushing is not None:
            self._flushing.cancel()
        self._books.db.execute(f"PRAGMA busy_timeout = {int(WAIT_S * 1000)}")
        self._away = False
        self._flush()
        if count := len(self._late) + len(self._lending.debts):
            log.error("the state store %s: %d settlements could not be written", self.path, count)
        self._books.db.close()
        self._keeper.close(done=not self._open and not self._late)

    # --- writing ----------------------------------------------------------------------------------------

    def _reserve(self, hold: str, asks: Sequence[Ask], now_ms: int, spin_s: float) -> Refused | None:
        refused = self._write(lambda: self._books.reserve(hold, self._owner, asks, now_ms), spin_s)
        if refused is None:
            self._open[hold] = _held(asks, now_ms)
        return refused

    def _write(self, work: Callable[[], _T], spin_s: float) -> _T:
        """One transaction. Raises sqlite3.Error; then nothing has changed."""
        self._begin(spin_s)
        try:
            done = work()
            self._books.commit()
        except BaseException:
            self._books.undo()
            raise
        if self._away:
            self._found()
        return done

    def _begin(self, spin_s: float) -> None:
        """Raises sqlite3.Error; one that `is_busy` where another process has written for `spin_s`."""
        until = 0.0
        while True:
            try:
                self._books.begin()
            except sqlite3.OperationalError as error:
                now = time.monotonic()
                if not sqlite_file.is_busy(error) or now < self._crowded_until:
                    raise
                until = until or now + spin_s
                if now >= until:
                    self._crowded_until = now + CROWDED_S
                    raise
                time.sleep(0.0001)
            else:
                return

    def _once(self, told: tuple[str, int, int], spin_s: float) -> bool:
        return self._write(lambda: self._books.db.execute(_ONCE, told).rowcount == 1, spin_s)

    # --- while others write -----------------------------------------------------------------------------

    async def _patiently(self, work: Callable[[], _T]) -> _T:
        """Tried between other work, for `WAIT_S`. Raises sqlite3.Error."""
        until = time.monotonic() + WAIT_S
        while True:
            await asyncio.sleep(0.002)
            try:
                return work()
            except sqlite3.Error as error:
                if not sqlite_file.is_busy(error) or time.monotonic() >= until:
                    raise

    async def _reserve_later(self, hold: str, asks: Sequence[Ask], now_ms: int) -> Refused | None:
        try:
            return await self._patiently(lambda: self._reserve(hold, asks, now_ms, 0))
        except sqlite3.Error as error:
            self._lost(error)
            return self._without(hold, asks, now_ms)

    async def _sent_later(self, hold: str, held: Held) -> None:
        try:
            await self._patiently(lambda: self._write(lambda: self._books.sent(hold, self._owner, held), 0))
        except sqlite3.Error as error:
            self._unmarked(error)

    async def _once_later(self, key: str, ttl_ms: int, now_ms: int) -> bool:
        try:
            return await self._patiently(lambda: self._once((key, now_ms + ttl_ms, now_ms), 0))
        except sqlite3.Error:
            return self._lending.once(key, ttl_ms, now_ms)

    def _unmarked(self, error: sqlite3.Error) -> None:
        """It goes out all the same: it was reserved. Should this process die, all it held counts as sent."""
        self._keeper.lock.doubt()
        if not sqlite_file.is_busy(error):
            self._lost(error)

    # --- later ------------------------------------------------------------------------------------------

    def _flush(self) -> None:
        """Write what was settled, as far as it can be now; the rest in a moment."""
        try:
            while self._late:
                self._write_late(*self._late[0])
                self._late.popleft()
            debts = self._lending.debts
            while debts:
                key, (account, amount) = next(iter(debts.items()))
                self._write_late("", Held((account,), (0,), 0), (amount,), self._keeper.now_ms())
                del debts[key]
        except sqlite3.Error as error:
            if not sqlite_file.is_busy(error):
                self._lost(error)
        except _Away:
            pass
        if (self._late or self._lending.debts) and self._flushing is None:
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:
                return  # without a loop, the next call writes it
            self._flushing = loop.call_later(0.02 if not self._away else AWAY_S, self._flush_again)

    def _write_late(self, hold: str, held: Held, amounts: tuple[int, ...], at_ms: int) -> None:
        """Raises _Away, sqlite3.Error."""
        if self._away and time.monotonic() < self._away_until:
            raise _Away
        self._write(lambda: self._books.settle(hold, held, amounts, at_ms), SPIN_S)

    def _flush_again(self) -> None:
        self._flushing = None
        self._flush()

    # --- while the file is away -------------------------------------------------------------------------

    def _lost(self, error: sqlite3.Error) -> None:
        if not self._away:
            log.error("the state store %s cannot be used: %s", self.path, sqlite_file.explain(error))
        self._away, self._away_until = True, time.monotonic() + AWAY_S

    def _found(self) -> None:
        self._away = False
        log.warning("the state store %s can be used again", self.path)

    def _without(self, hold: str, asks: Sequence[Ask], now_ms: int) -> Refused | None:
        """By what the accounts say: rejected, or out of this process's share of them."""
        refused = self._lending.reserve(hold, asks, now_ms, int(AWAY_S * 1000))
        if refused is None:
            self._open[hold] = _held(asks, now_ms)
            self._lent.add(hold)
        return refused


def _held(asks: Sequence[Ask], now_ms: int) -> Held:
    return Held(tuple([ask.account for ask in asks]), tuple([ask.amount for ask in asks]), now_ms)
