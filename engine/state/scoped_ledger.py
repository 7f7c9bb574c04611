"""A ledger that hosts share beside one of this process alone, for limits that are not to be shared.

Accounts that are `local` (`scope: host`) are counted in memory, all others in the shared store. What is asked
of both is held in both or in none.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Iterator, Sequence
from itertools import chain

from engine.state.ledger import Account, Ask, Ledger, Refused, Rows, Standing
from engine.state.memory_ledger import MemoryLedger


class ScopedLedger:
    """Implements `engine.state.ledger.Ledger` over another one, which it owns."""

    def __init__(self, shared: Ledger) -> None:
        self.shared = shared
        self._reserve_shared = shared.reserve
        self._own = MemoryLedger()
        self._split: dict[str, tuple[bool, ...]] = {}  # of holds that ask of both: which asks are local

    def reserve(
        self, hold: str, asks: Sequence[Ask], now_ms: int
    ) -> Refused | Awaitable[Refused | None] | None:
        for ask in asks:
            if ask.account.local:
                return self._reserve(hold, asks, now_ms)
        return self._reserve_shared(hold, asks, now_ms)

    def _reserve(
        self, hold: str, asks: Sequence[Ask], now_ms: int
    ) -> Refused | Awaitable[Refused | None] | None:
        if hold in self._split:
            return None
        refused = self._own.reserve(hold, [ask for ask in asks if ask.account.local], now_ms)
        if refused is not None:
            return refused
        self._split[hold] = tuple(ask.account.local for ask in asks)
        others = [ask for ask in asks if not ask.account.local]
        if not others:
            return None
        answer = self._reserve_shared(hold, others, now_ms)
        if inspect.isawaitable(answer):
            return self._reserved(hold, answer, now_ms)
        if answer is not None:
            self._undo(hold, now_ms)
        return answer

    async def _reserved(self, hold: str, answer: Awaitable[Refused | None], now_ms: int) -> Refused | None:
        refused: Refused | None
        try:
            refused = await answer
        except BaseException:
            self._undo(hold, now_ms)
            raise
        if refused is not None:
            self._undo(hold, now_ms)
        return refused

    def _undo(self, hold: str, now_ms: int) -> None:
        self._own.release(hold, now_ms)
        del self._split[hold]

    def sent(self, hold: str, now_ms: int) -> Awaitable[None] | None:
        return self.shared.sent(hold, now_ms)

    def settle(self, hold: str, amounts: Sequence[int], now_ms: int) -> Awaitable[None] | None:
        local = self._split.pop(hold, None)
        if local is None:
            return self.shared.settle(hold, amounts, now_ms)
        pairs = tuple(zip(local, amounts, strict=True))
        self._own.settle(hold, [amount for own, amount in pairs if own], now_ms)
        return self.shared.settle(hold, [amount for own, amount in pairs if not own], now_ms)

    def release(self, hold: str, now_ms: int) -> Awaitable[None] | None:
        if self._split.pop(hold, None):
            self._own.release(hold, now_ms)
        return self.shared.release(hold, now_ms)

    def look(
        self, accounts: Sequence[Account], now_ms: int
    ) -> Sequence[Standing] | Awaitable[Sequence[Standing]]:
        if not any(account.local for account in accounts):
            return self.shared.look(accounts, now_ms)
        own = iter(self._own.look([account for account in accounts if account.local], now_ms))
        answer = self.shared.look([account for account in accounts if not account.local], now_ms)
        local = [account.local for account in accounts]
        if inspect.isawaitable(answer):
            return self._looked(local, own, answer)
        return _merged(local, own, iter(answer))

    async def _looked(
        self, local: Sequence[bool], own: Iterator[Standing], answer: Awaitable[Sequence[Standing]]
    ) -> Sequence[Standing]:
        return _merged(local, own, iter(await answer))

    def rows(self, now_ms: int) -> Rows | Awaitable[Rows]:
        own, answer = self._own.rows(now_ms), self.shared.rows(now_ms)
        return self._rowed(own, answer) if inspect.isawaitable(answer) else chain(own, answer)

    async def _rowed(self, own: Rows, answer: Awaitable[Rows]) -> Rows:
        return chain(own, await answer)

    def once(self, key: str, ttl_ms: int, now_ms: int) -> bool | Awaitable[bool]:
        return self.shared.once(key, ttl_ms, now_ms)

    def open_holds(self) -> int:
        return self.shared.open_holds() + sum(all(local) for local in self._split.values())

    def away(self) -> bool:
        return self.shared.away()

    async def close(self) -> None:
        await self.shared.close()


def _merged(local: Sequence[bool], own: Iterator[Standing], shared: Iterator[Standing]) -> list[Standing]:
    """In the order that was asked."""
    return [next(own if here else shared) for here in local]
