"""The counts of one process, in memory: exact, at once, and gone when the process ends.

What has nothing to tell any more is forgotten a little at a time: with each new account two others are
looked at. A window that has ended is kept for `GRACE_MS` more, or until there are `MANY` accounts, so that a
clock which goes back finds what was used in it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from engine.policies.accounts import Counter
from engine.state.ledger import Account, Ask, Refused, Standing
from engine.state.ledger_accounts import counter_of, terms_of

GRACE_MS: Final = 2 * 3_600_000

#: From so many accounts on, ended windows go at once; more than `MOST` are refused: none may be forgotten.
MANY: Final = 50_000
MOST: Final = 1_000_000

#: Time between two looks counts as so much at most: a clock that jumps ages nothing.
STRIDE_MS: Final = 60_000


class _Entry:
    """An account and its count. open: holds on it. ended_at: when it was first seen ended, by `_elapsed`."""

    __slots__ = ("account", "counter", "ended_at", "open")

    def __init__(self, account: Account) -> None:
        self.account = account
        self.counter: Counter = counter_of(account)
        self.open = 0
        self.ended_at: int | None = None

    def follow(self, account: Account) -> None:
        self.account = account
        self.counter.follow(terms_of(account))


class _Hold(NamedTuple):
    entries: list[_Entry]
    amounts: list[int]
    at_ms: int


class MemoryLedger:
    """Implements `engine.state.ledger.Ledger`, and answers at once."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._holds: dict[str, _Hold] = {}
        self._hand: deque[str] = deque()  # keys in the order in which they are looked at
        self._elapsed = self._looked_at = 0
        self._once: dict[str, int] = {}

    def reserve(self, hold: str, asks: Sequence[Ask], now_ms: int) -> Refused | None:
        """Hold these amounts, all or none. `why` is `store` for a new account beyond `MOST`."""
        if hold in self._holds:
            return None
        entries: list[_Entry] = []
        amounts: list[int] = []
        for ask in asks:
            account, amount = ask.account, ask.amount
            entry = self._entries.get(account.key)
            if entry is None or entry.account is not account:
                entry = self._follow(entry, account, now_ms)
            if entry is None:
                self._take_back(entries, amounts, now_ms)
                return Refused(account, "store")
            counter = entry.counter
            if amount and not counter.fits(amount, now_ms):
                self._take_back(entries, amounts, now_ms)
                return self._refusal(ask, asks, now_ms)
            counter.take(amount, now_ms)
            entry.open += 1
            entries.append(entry)
            amounts.append(amount)
        self._holds[hold] = _Hold(entries, amounts, now_ms)
        return None

    def sent(self, hold: str, now_ms: int) -> None:
        """What dies with this process is forgotten with it."""

    def settle(self, hold: str, amounts: Sequence[int], now_ms: int) -> None:
        held = self._holds.pop(hold, None)
        if held is None:
            return
        for entry, taken, used in zip(held.entries, held.amounts, amounts, strict=True):
            counter = entry.counter
            counter.close(taken, used, held.at_ms, now_ms)
            entry.open -= 1
            # Not an `assert` statement: `python -O` must not take it away.
            if counter.held < 0 or entry.open < 0:
                raise AssertionError(f"{entry.account.key}: more was given back than was taken")

    def release(self, hold: str, now_ms: int) -> None:
        held = self._holds.get(hold)
        if held is not None:
            self.settle(hold, [0] * len(held.amounts), now_ms)

    def look(self, accounts: Sequence[Account], now_ms: int) -> list[Standing]:
        """How accounts stand, each by the terms it is asked with."""
        return [standing(account, self._counter(account), now_ms) for account in accounts]

    def rows(self, now_ms: int) -> Iterator[tuple[Account, Standing]]:
        """One at a time: there may be very many, and others may get their turn between two."""
        return (
            (entry.account, standing(entry.account, entry.counter, now_ms))
            for key, entry in list(self._entries.items())
            if key == entry.account.key and not _ended(entry.account, now_ms)
        )

    def once(self, key: str, ttl_ms: int, now_ms: int) -> bool:
        """True for the first who asks, until `ttl_ms` later, also where the clock goes back meanwhile."""
        until = self._once.get(key)
        if until is not None and now_ms < until <= now_ms + ttl_ms:
            return False
        if until is None and len(self._once) >= MANY:
            self._once = {key: until for key, until in self._once.items() if until > now_ms}
        self._once[key] = now_ms + ttl_ms
        return True

    def open_holds(self) -> int:
        return len(self._holds)

    def away(self) -> bool:
        return False

    async def close(self) -> None:
        """Nothing is leased from anybody."""

    # --- accounts ---------------------------------------------------------------------------------------

    def _follow(self, entry: _Entry | None, account: Account, now_ms: int) -> _Entry | None:
        """The entry of an account by the terms that it has now; None: there are too many.

        One that has an old name goes on under both. One whose shape has changed begins anew.
        """
        if entry is None and account.was is not None:
            entry = self._entries.get(account.was)
        if entry is not None and entry.account.shape == account.shape:
            entry.follow(account)
        else:
            self._forget(now_ms)
            if len(self._entries) >= MOST:
                return None
            entry = _Entry(account)
        if account.key not in self._entries:
            self._hand.append(account.key)
        self._entries[account.key] = entry
        return entry

    def _forget(self, now_ms: int) -> None:
        self._elapsed += min(max(0, now_ms - self._looked_at), STRIDE_MS)
        self._looked_at = now_ms
        for _ in range(min(2, len(self._hand))):
            key = self._hand.popleft()
            if self._is_over(self._entries[key], now_ms):
                del self._entries[key]
            else:
                self._hand.append(key)

    def _is_over(self, entry: _Entry, now_ms: int) -> bool:
        if entry.open:
            return False
        if entry.counter.blank(now_ms):
            return True
        if not _ended(entry.account, now_ms):
            entry.ended_at = None
            return False
        if entry.ended_at is None:
            entry.ended_at = self._elapsed
        return self._elapsed - entry.ended_at >= GRACE_MS or len(self._entries) >= MANY

    def _counter(self, account: Account) -> Counter:
        """An account's count, by the terms it is asked with; a new one of what nothing is known of."""
        entry = self._entries.get(account.key)
        if entry is None and account.was is not None:
            entry = self._entries.get(account.was)
        if entry is None or entry.account.shape != account.shape:
            return counter_of(account)
        if entry.account is not account:
            entry.follow(account)
        return entry.counter

    # --- refusals ---------------------------------------------------------------------------------------

    def _take_back(self, entries: Sequence[_Entry], amounts: Sequence[int], now_ms: int) -> None:
        for entry, amount in zip(entries, amounts, strict=True):
            entry.counter.close(amount, 0, now_ms, now_ms)
            entry.open -= 1

    def _refusal(self, first: Ask, asks: Sequence[Ask], now_ms: int) -> Refused:
        """Of the accounts without room, the one that has it last; `first`, where only their sum has none."""
        refused = None
        for ask in asks:
            counter = self._counter(ask.account)
            if ask.amount and not counter.fits(ask.amount, now_ms):
                refused = later(refused, refusal(ask, counter, now_ms))
        return refused or refusal(first, self._counter(first.account), now_ms)


def _ended(account: Account, now_ms: int) -> bool:
    return account.ends_ms is not None and account.ends_ms <= now_ms


def standing(account: Account, counter: Counter, now_ms: int) -> Standing:
    """How an account stands by its count. Of a bucket, `limit` is what it holds."""
    return Standing(
        account.burst if account.shape == "bucket" else account.limit,
        spent=counter.spent(now_ms),
        held=counter.held,
        lost=counter.lost,
        left=counter.left(now_ms),
        resets_ms=counter.resets_ms(now_ms),
    )


def refusal(ask: Ask, counter: Counter, now_ms: int) -> Refused:
    """An ask that its account has no room for."""
    used = counter.spent(now_ms) + counter.held
    return Refused(ask.account, "spent", used, counter.wait_ms(ask.amount, now_ms))


def later(one: Refused | None, other: Refused) -> Refused:
    """The one whose account has room last; where nobody knows, that is never."""
    if one is None or one.retry_after_ms is None:
        return one or other
    if other.retry_after_ms is None or other.retry_after_ms > one.retry_after_ms:
        return other
    return one
