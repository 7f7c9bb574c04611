"""Ledgers over one store, each as if it were a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from inspect import isawaitable
from pathlib import Path
from typing import Any, TypeVar

from engine.state.ledger import Account, Ask, Refused, Standing
from engine.state.redis.address import parse
from engine.state.redis.journal import Journal
from engine.state.redis.ledger import RedisLedger
from engine.state.redis.store import RedisStore

T = TypeVar("T")

SETTLE_MS = 60
#: Of tests that look at no clock: a busy machine is no fault of the store's.
DEADLINE_MS = 3_000


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def window(limit: int, key: str = "budget/b/2026-11/", **more: Any) -> Account:
    return Account(key, "cost", "window", limit, **{"ends_ms": now_ms() + 3_600_000, **more})


@contextlib.asynccontextmanager
async def ledgers(
    address: str,
    count: int = 1,
    journal: Path | None = None,
    clock: Callable[[], int | None] = lambda: None,
    deadline_ms: int = DEADLINE_MS,
) -> AsyncIterator[list[RedisLedger]]:
    """So many, open and settled."""
    made: list[RedisLedger] = []
    journals: list[Journal] = []
    try:
        for _ in range(count):
            store = await RedisStore.open(parse(address), settle_ms=SETTLE_MS, deadline_ms=deadline_ms)
            if journal is not None:
                journals.append(Journal(journal))
            made.append(await RedisLedger.open(store, journals[-1] if journal is not None else None, clock))
        for ledger in made:
            if ledger.store.link.up:
                await until(ledger.store.feed.listening.is_set)
                await until(lambda link=ledger.store.link: not link.settling_ms())
        yield made
    finally:
        for ledger in made:
            await ledger.close()
            await ledger.store.close()
        for each in journals:
            each.close()


async def kill(ledger: RedisLedger) -> None:
    """End it as SIGKILL would: nothing is said any more."""
    await ledger.store.close()


async def until(there: Callable[[], object], seconds: float = 30.0) -> None:
    ends = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < ends, "it never came to be"
        await asyncio.sleep(0.005)


async def got(answer: T | Awaitable[T]) -> T:
    return await answer if isawaitable(answer) else answer


async def reserve(ledger: RedisLedger, hold: str, account: Account, amount: int) -> Refused | None:
    return await got(ledger.reserve(hold, [Ask(account, amount)], now_ms()))


async def said(ledger: RedisLedger) -> None:
    """All that it has to say is said, also what a call that is under way says."""
    await ledger._beats.beat()
    ends = time.monotonic() + 5
    while any(part.busy or part.dirty(0.0) for part in ledger._slices.values()):
        assert time.monotonic() < ends, "it never said all"
        await asyncio.sleep(0.005)
        await ledger._beats.beat()


async def stands(ledger: RedisLedger, account: Account) -> Standing:
    """As the store knows it now, when all has been said."""
    await said(ledger)
    return (await ledger._told([account], now_ms()))[0]
