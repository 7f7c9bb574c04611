"""A ledger in which budgets and limits are used already: for a request explained as it would go then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.state.ledger import Account, Ask, Refused, Standing
from engine.state.memory_ledger import MemoryLedger


class UsedLedger(MemoryLedger):
    """One in memory. `shares`: `budget/NAME` or `limit/NAME` -> how much of each partition is used."""

    def __init__(self, shares: Mapping[str, float]) -> None:
        super().__init__()
        self._shares = shares
        self._begun: set[str] = set()

    def reserve(self, hold: str, asks: Sequence[Ask], now_ms: int) -> Refused | None:
        for ask in asks:
            self._begin(ask.account, now_ms)
        return super().reserve(hold, asks, now_ms)

    def look(self, accounts: Sequence[Account], now_ms: int) -> list[Standing]:
        for account in accounts:
            self._begin(account, now_ms)
        return super().look(accounts, now_ms)

    def _begin(self, account: Account, now_ms: int) -> None:
        kind, name, *_ = account.key.split("/")
        share = self._shares.get(f"{kind}/{name}")
        if share is None or account.key in self._begun:
            return
        self._begun.add(account.key)
        hold, most = f"used/{account.key}", account.burst if account.shape == "bucket" else account.limit
        amount = int(most * share)
        if account.shape == "places":  # others have them, and keep them
            super().reserve(hold, [Ask(account, amount)], now_ms)
        else:
            super().reserve(hold, [Ask(account, 0)], now_ms)
            super().settle(hold, [amount], now_ms)
