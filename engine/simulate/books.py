"""A ledger that is watched: what it promises is held against every step, and its sums against the records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from engine.state.ledger import Ask, Refused
from engine.state.memory_ledger import MemoryLedger


class Books(MemoryLedger):
    """The ledger of a simulation. settled: what was ever settled, by the account's name (`budget/purse`).

    faults: every moment at which more was used than there may be.
    """

    def __init__(self) -> None:
        super().__init__()
        self.settled: Counter[str] = Counter()
        self.faults: list[str] = []
        self._asks: dict[str, Sequence[Ask]] = {}

    def reserve(self, hold: str, asks: Sequence[Ask], now_ms: int) -> Refused | None:
        refused = super().reserve(hold, asks, now_ms)
        if refused is None:
            self._asks.setdefault(hold, list(asks))
            self._look(asks, now_ms)
        return refused

    def settle(self, hold: str, amounts: Sequence[int], now_ms: int) -> None:
        asks = self._asks.pop(hold, ())
        for ask, amount in zip(asks, amounts, strict=bool(asks)):
            self.settled["/".join(ask.account.key.split("/")[:2])] += amount
            if amount > ask.amount and ask.account.key.startswith("budget/"):
                self.faults.append(f"{ask.account.key}: {amount} settled of {ask.amount} that were held")
        super().settle(hold, amounts, now_ms)
        self._look(asks, now_ms)

    def _look(self, asks: Sequence[Ask], now_ms: int) -> None:
        accounts = [ask.account for ask in asks]
        for account, standing in zip(accounts, self.look(accounts, now_ms), strict=True):
            if account.shape in ("window", "rolling", "places") and standing.used > account.limit:
                self.faults.append(f"{account.key}: {standing.used} is used of {account.limit}")
            if standing.spent < 0 or standing.held < 0:
                self.faults.append(f"{account.key}: spent {standing.spent}, held {standing.held}")
