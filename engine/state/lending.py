"""What a process uses by itself while its store is away, by what its accounts say under `on_state_loss`.

Each lends its `share` and no more, however often the store is away, and what was used of it is owed to the
store. What costs nothing always fits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from engine.state.ledger import Account, Ask, Refused, Rows, Standing
from engine.state.memory_ledger import MemoryLedger


class Lending:
    """Of one process. debts: by key, what is used and stands in no store yet."""

    def __init__(self) -> None:
        self._used = MemoryLedger()
        self.debts: dict[str, tuple[Account, int]] = {}

    def reserve(self, hold: str, asks: Sequence[Ask], now_ms: int, retry_ms: int) -> Refused | None:
        """retry_ms: when the store is looked for again."""
        for ask in asks:
            if ask.amount and not _lends(ask.account):
                return Refused(ask.account, "store", retry_after_ms=retry_ms)
        refused = self._used.reserve(hold, [Ask(_lent(ask.account), ask.amount) for ask in asks], now_ms)
        if refused is None:
            return None
        account = next(ask.account for ask in asks if ask.account.key == refused.account.key)
        return Refused(account, "store", refused.used, refused.retry_after_ms)

    def settle(self, hold: str, accounts: Sequence[Account], amounts: Sequence[int], now_ms: int) -> None:
        self._used.settle(hold, amounts, now_ms)
        for account, amount in zip(accounts, amounts, strict=True):
            if amount:
                _, before = self.debts.get(account.key, (account, 0))
                self.debts[account.key] = (account, before + amount)

    def look(self, accounts: Sequence[Account], now_ms: int) -> list[Standing]:
        """What is used and left here, of limits that are everybody's."""
        told = self._used.look([_lent(account) for account in accounts], now_ms)
        pairs = zip(accounts, told, strict=True)
        return [replace(standing, limit=account.limit) for account, standing in pairs]

    def rows(self, now_ms: int) -> Rows:
        return self._used.rows(now_ms)

    def once(self, key: str, ttl_ms: int, now_ms: int) -> bool:
        return self._used.once(key, ttl_ms, now_ms)


def _lends(account: Account) -> bool:
    """Whether any of it may be used. What is a host's own has no other place to be."""
    return account.local or (account.on_state_loss == "local_share" and account.share > 0)


def _lent(account: Account) -> Account:
    """So much of it is this process's."""
    if account.local:
        return account
    return replace(account, limit=account.share, burst=min(account.burst, account.share))
