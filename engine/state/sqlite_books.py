"""What one transaction does in the ledger's file: accounts are read, counted by their counters, written back.

`transaction` makes everything inside it one whole, for all processes. A hold's phase says what becomes of it
when its process dies: what was only held comes free, what was sent is lost, and stays for a late word.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, cast

from engine.policies.accounts import Counter, Kept
from engine.state.ledger import Account, Ask, Refused
from engine.state.ledger_accounts import counter_of, terms_of
from engine.state.memory_ledger import later, refusal

HELD: Final = 0
SENT: Final = 1
LOST: Final = 2

#: So many accounts are known by their row; then all are looked up again.
_KNOWN: Final = 20_000

#: The largest whole number of SQLite.
_MOST: Final = 2**63 - 1

_READ: Final = "SELECT spent, held, lost, at_ms, slots FROM accounts WHERE id = ?"
_WRITE: Final = "UPDATE accounts SET spent = ?, held = ?, lost = ?, at_ms = ?, slots = ? WHERE id = ?"
_HOLD: Final = "INSERT OR IGNORE INTO holds VALUES (?, ?, ?, ?, ?)"
_TERMS: Final = "UPDATE accounts SET key = ?, most = ?, ends_ms = ?, period_ms = ?, burst = ? WHERE id = ?"
_NAMED: Final = "SELECT a.id, a.shape FROM names n JOIN accounts a ON a.id = n.account WHERE n.key = ?"
_ACCOUNT: Final = "SELECT key, measure, shape, most, ends_ms, period_ms, burst FROM accounts WHERE id = ?"


class Held(NamedTuple):
    """What a hold took, and when."""

    accounts: tuple[Account, ...]
    amounts: tuple[int, ...]
    at_ms: int


class _Row:
    """An account's row in the file. `counter` is restored from it in each transaction."""

    __slots__ = ("account", "counter", "id")

    def __init__(self, id_: int, account: Account) -> None:
        self.id = id_
        self.account = account
        self.counter: Counter = counter_of(account)


class Books:
    """Over one connection. Everything but `transaction` is called inside of one."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db = db
        self._execute = db.execute
        self._rows: dict[str, _Row] = {}
        self._fresh: list[str] = []  # made in this transaction, and gone with it

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Begin, and commit at the end; an error undoes all. Raises sqlite3.Error."""
        self.begin()
        try:
            yield
            self.commit()
        except BaseException:
            self.undo()
            raise

    def begin(self) -> None:
        self._execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """What was undone already stays so."""
        if self.db.in_transaction:
            self._execute("COMMIT")
            if self._fresh:
                self._fresh.clear()

    def undo(self) -> None:
        """Nothing of this transaction happened."""
        for key in self._fresh:
            self._rows.pop(key, None)
        self._fresh.clear()
        if self.db.in_transaction:
            self._execute("ROLLBACK")

    # --- holds ------------------------------------------------------------------------------------------

    def reserve(self, hold: str, owner: int, asks: Sequence[Ask], now_ms: int) -> Refused | None:
        """Where something has no room, or the hold is there already, the transaction is undone."""
        told = []
        for ask in asks:
            amount = ask.amount
            row = self._load(ask.account)
            counter = row.counter
            if amount and not counter.fits(amount, now_ms):
                self.undo()
                return self._refusal(ask, asks, now_ms)
            counter.take(amount, now_ms)
            self._execute(_WRITE, (*_kept(counter), row.id))
            told.append(f"{row.id}:{amount}")
        if self._execute(_HOLD, (hold, owner, HELD, now_ms, " ".join(told))).rowcount == 0:
            self.undo()
        return None

    def sent(self, hold: str, owner: int, held: Held) -> None:
        """What was taken for a dead process's hold meanwhile is held again, room or not."""
        if self._execute("UPDATE holds SET phase = ? WHERE hold = ?", (SENT, hold)).rowcount == 0:
            told = []
            for account, amount in zip(held.accounts, held.amounts, strict=True):
                row = self._load(account, follow=False)
                row.counter.take(amount, held.at_ms)
                self._execute(_WRITE, (*_kept(row.counter), row.id))
                told.append(f"{row.id}:{amount}")
            self._execute(_HOLD, (hold, owner, SENT, held.at_ms, " ".join(told)))

    def settle(self, hold: str, held: Held, amounts: Sequence[int], now_ms: int) -> None:
        """Also of a hold that was taken for a dead process's, or never stood in the file."""
        found = self._execute("DELETE FROM holds WHERE hold = ? RETURNING phase", (hold,)).fetchall()
        phase = found[0][0] if found else None
        for account, taken, used in zip(held.accounts, held.amounts, amounts, strict=True):
            row = self._load(account, follow=False)
            counter = row.counter
            if phase == LOST:
                counter.find(taken, used, now_ms)
            else:
                if phase is None:
                    counter.take(taken, now_ms)
                counter.close(taken, used, held.at_ms, now_ms)
            self._execute(_WRITE, (*_kept(counter), row.id))

    def expire(self, hold: str, phase: int, at_ms: int, told: str, now_ms: int) -> None:
        """Its process has died, or is taken for dead. told: the hold's asks as its row has them."""
        for pair in told.split():
            id_, _, amount = pair.partition(":")
            account = self.account(int(id_))
            if account is None:
                continue
            counter = counter_of(account)
            counter.restore(self._kept(int(id_)))
            if phase == SENT:
                counter.lose(int(amount), at_ms, now_ms)
            else:
                counter.close(int(amount), 0, at_ms, now_ms)
            self._execute(_WRITE, (*_kept(counter), int(id_)))
        if phase == SENT:
            self._execute("UPDATE holds SET phase = ?, at_ms = ? WHERE hold = ?", (LOST, now_ms, hold))
        else:
            self._execute("DELETE FROM holds WHERE hold = ?", (hold,))

    # --- accounts ---------------------------------------------------------------------------------------

    def account(self, id_: int) -> Account | None:
        """As much of an account as the file has: not what happens while the file is away."""
        found = self._execute(_ACCOUNT, (id_,)).fetchone()
        return None if found is None else account_of(found)

    def counter(self, account: Account) -> Counter:
        """How an account is counted now, by the terms it is asked with; nothing is made or changed."""
        counter = counter_of(account)
        found = self._named(account.key)
        if found is None and account.was is not None:
            found = self._named(account.was)
        if found is not None and found[1] == account.shape:
            counter.restore(self._kept(found[0]))
        return counter

    def _kept(self, id_: int) -> Kept:
        return cast(Kept, self._execute(_READ, (id_,)).fetchone())

    def _named(self, key: str) -> tuple[int, str] | None:
        return cast("tuple[int, str] | None", self._execute(_NAMED, (key,)).fetchone())

    def _load(self, account: Account, follow: bool = True) -> _Row:
        """An account's row, made where it is missing. follow: by the terms of this `account` from now on."""
        row = self._rows.get(account.key)
        if row is None or (follow and row.account is not account):
            row = self._follow(row, account)
        kept = self._execute(_READ, (row.id,)).fetchone()
        if kept is None:  # forgotten meanwhile
            row = self._follow(None, account)
            kept = self._kept(row.id)
        row.counter.restore(kept)
        return row

    def _follow(self, row: _Row | None, account: Account) -> _Row:
        if row is not None and row.account == account:
            row.account = account
            return row
        found = self._named(account.key)
        if found is None and account.was is not None:
            found = self._named(account.was)
            if found is not None and found[1] == account.shape:  # goes on under both names
                self._execute("INSERT OR REPLACE INTO names VALUES (?, ?)", (account.key, found[0]))
        if found is None or found[1] != account.shape:
            row = _Row(self._make(account), account)
        else:
            row = _Row(found[0], account)
            terms = terms_of(account)
            told = (account.key, terms.limit, terms.ends_ms, terms.period_ms, terms.burst, row.id)
            self._execute(_TERMS, told)
        if len(self._rows) >= _KNOWN:
            self._rows.clear()
        self._rows[account.key] = row
        self._fresh.append(account.key)
        return row

    def _make(self, account: Account) -> int:
        terms = terms_of(account)
        told = (account.key, account.measure, account.shape, terms.limit, terms.ends_ms, terms.period_ms)
        made = self._execute(
            "INSERT INTO accounts VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*told, terms.burst, *counter_of(account).kept()),
        )
        assert made.lastrowid is not None
        self._execute("INSERT OR REPLACE INTO names VALUES (?, ?)", (account.key, made.lastrowid))
        return made.lastrowid

    def _refusal(self, first: Ask, asks: Sequence[Ask], now_ms: int) -> Refused:
        """Of the accounts without room, the one that has it last; `first`, where only their sum has none."""
        refused = None
        for ask in asks:
            counter = self.counter(ask.account)
            if ask.amount and not counter.fits(ask.amount, now_ms):
                refused = later(refused, refusal(ask, counter, now_ms))
        return refused or refusal(first, self.counter(first.account), now_ms)


def _kept(counter: Counter) -> Kept:
    """As far as the file's whole numbers go: what is more than that is more than any limit."""
    spent, held, *rest = counter.kept()
    return cast(Kept, (min(spent, _MOST), min(held, _MOST), *rest))


def account_of(row: Sequence[object]) -> Account:
    """From key, measure, shape, most, ends_ms, period_ms, burst."""
    key, measure, shape, most, ends_ms, period_ms, burst = row
    return Account(
        cast(str, key),
        measure,  # type: ignore[arg-type] # written by `_make`
        shape,  # type: ignore[arg-type]
        cast(int, most),
        ends_ms=cast("int | None", ends_ms),
        period_ms=cast(int, period_ms),
        burst=cast(int, burst),
    )
