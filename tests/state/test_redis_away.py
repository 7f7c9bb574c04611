"""A store that hangs, dies or fails over, under a ledger that works: bounds hold, and nobody waits."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pulse import Pulse
from redis_ledgers import ledgers, now_ms, reserve, said, stands, until, window
from shim import Shim
from store_server import Server

from engine.state.ledger import Account, Ask
from engine.state.redis.connection import Away
from engine.state.redis.ledger import RedisLedger
from engine.state.redis.link import DEADLINE_MS, FAILURES


@pytest.fixture
async def shim(store_server: Server) -> AsyncIterator[Shim]:
    async with Shim.before(store_server.port) as shim:
        yield shim


@pytest.fixture
def own_server(tmp_path: Path) -> Server:
    server = Server(tmp_path / "store").start()
    try:
        yield server
    finally:
        server.stop()


async def gone(ledger: RedisLedger, shim: Shim) -> None:
    """Cut it off, until it knows."""
    shim.refuse = True
    shim.cut()
    while ledger.store.link.up:
        with contextlib.suppress(Away):
            await ledger.store.link.call(("PING",))


async def back(ledger: RedisLedger, shim: Shim) -> None:
    shim.refuse = False
    await until(lambda: ledger.store.link.up and not ledger.store.link.settling_ms())


async def test_what_rejects_is_refused_at_once_beyond_the_slice(shim: Shim) -> None:
    account = window(100_000)
    async with ledgers(shim.address) as (ledger,):
        assert await reserve(ledger, "a", account, 100) is None
        await gone(ledger, shim)
        free = ledger._slices[account.key].free
        assert free > 0
        assert ledger.reserve("b", [Ask(account, free)], now_ms()) is None  # it is drawn already
        refused = ledger.reserve("c", [Ask(account, 1)], now_ms())
        assert refused is not None
        assert (refused.why, refused.retry_after_ms) == ("store", 1_000)
        await back(ledger, shim)
        assert await reserve(ledger, "c", account, 1) is None


LENT = {"on_state_loss": "local_share", "share": 300}
SHARES = {
    "window": Account("budget/x/w/", "cost", "window", 10_000, ends_ms=2**42, **LENT),
    "rolling": Account("limit/x/tokens/", "tokens", "rolling", 10_000, period_ms=600_000, **LENT),
    "bucket": Account("limit/x/r/", "requests", "bucket", 9_000, period_ms=10**7, burst=9_000, **LENT),
    "places": Account("limit/x/concurrent/", "concurrent", "places", 10_000, **LENT),
}


@pytest.mark.parametrize("shape", SHARES)
async def test_a_local_share_is_lent_and_told_afterwards(shim: Shim, shape: str) -> None:
    account = SHARES[shape]
    async with ledgers(shim.address, 2) as (ledger, other):
        await gone(ledger, shim)
        now, lent = now_ms(), 0
        for turn in range(40):
            refused = ledger.reserve(f"h{turn}", [Ask(account, 10)], now)
            if refused is None:
                lent += 10
            else:
                assert refused.why == "store"
        assert lent == 300
        assert ledger.figures()["lent"] == 300
        await back(ledger, shim)
        await back(other, shim)
        told = await stands(ledger, account)
        assert told.used == 300
        assert (await stands(other, account)).used == 300
        if shape == "places":
            for turn in range(30):
                ledger.settle(f"h{turn}", [10], now_ms())
            assert (await stands(ledger, account)).used == 0


async def test_a_budget_that_was_gone_lends_nothing(shim: Shim) -> None:
    account = window(1_000, on_state_loss="local_share", share=500)
    async with ledgers(shim.address) as (ledger,):
        assert await reserve(ledger, "a", account, 900) is None
        ledger.settle("a", [900], now_ms())
        await ledger._beats.beat()
        await gone(ledger, shim)
        assert ledger.reserve("b", [Ask(account, 101)], now_ms()) is not None
        assert ledger.reserve("c", [Ask(account, 100)], now_ms()) is None


async def test_one_replica_cut_off_takes_its_share_and_no_more(shim: Shim, store_server: Server) -> None:
    """R6: the others go on; what the one took is told when it is back."""
    account = window(1_000, on_state_loss="local_share", share=100)
    async with ledgers(shim.address) as (apart,), ledgers(store_server.address) as (well,):
        await gone(apart, shim)
        taken = {apart: 0, well: 0}
        for turn in range(200):
            for ledger in (apart, well):
                if await reserve(ledger, f"{ledger.owner}{turn}", account, 10) is None:
                    ledger.settle(f"{ledger.owner}{turn}", [10], now_ms())
                    taken[ledger] += 10
        assert taken == {apart: 100, well: 1_000}  # the limit, and one share
        await back(apart, shim)
        assert (await stands(apart, account)).spent == 1_100
        refused = await reserve(well, "more", account, 1)
        assert refused is not None


@pytest.mark.parametrize("how", ["stopped", "killed"])
async def test_a_store_that_goes_adds_a_deadline_and_then_nothing(own_server: Server, how: str) -> None:
    """R2 and R3: 50 users at work while it stops or dies."""
    account = window(10**9, on_state_loss="local_share", share=10**8)
    strict = window(10**9, "budget/strict/w/")
    async with ledgers(own_server.address, deadline_ms=300) as (ledger,), Pulse() as pulse:
        waits: list[float] = []
        without: list[float] = []  # of those who began while it was known to be away
        reasons: set[str] = set()
        going = True

        async def user(name: int) -> None:
            turn = 0
            while going:
                turn += 1
                for account_ in (account, strict):
                    hold = f"{name}.{turn}.{account_.key}"
                    began, up = pulse.seconds, ledger.store.link.up
                    refused = await reserve(ledger, hold, account_, 90_000)
                    (waits if up else without).append((pulse.seconds - began) * 1000)
                    if refused is not None:
                        reasons.add(f"{refused.account.key} {refused.why}")
                    ledger.settle(hold, [90_000 if turn % 2 else 10], now_ms())
                    await asyncio.sleep(0.002)

        users = [asyncio.create_task(user(n)) for n in range(50)]
        await until(lambda: len(waits) > 300)
        before, tasks = max(waits), len(asyncio.all_tasks())
        own_server.signal(signal.SIGSTOP if how == "stopped" else signal.SIGKILL)
        await until(lambda: not ledger.store.link.up)
        await until(lambda: len(without) > 1_000)
        assert max(without) == 0  # nobody waits for it any more
        assert len(asyncio.all_tasks()) <= tasks + 5
        if how == "stopped":
            own_server.signal(signal.SIGCONT)
        else:
            own_server.stop()
            own_server.start()
        await until(lambda: ledger.store.link.up and not ledger.store.link.settling_ms())
        going = False
        await asyncio.gather(*users)
        assert before < 250
        assert reasons <= {"budget/strict/w/ store"}
        spent = sum(ledger._slices[account.key].spent.values())
        assert (await stands(ledger, account)).spent == spent
        assert ledger.store.link.outages <= 2
        assert FAILURES * DEADLINE_MS <= 250


async def test_a_promoted_replica_without_the_last_writes_is_told_them(tmp_path: Path) -> None:
    """R4: what the replica never got is told again, by who used it."""
    first = Server(tmp_path / "first").start()
    second = Server(tmp_path / "second", None, "--replicaof", "127.0.0.1", str(first.port)).start()
    account = window(1_000)
    try:
        async with ledgers(f"redis://127.0.0.1:{first.port},127.0.0.1:{second.port}/0", 2) as (one, other):
            assert await reserve(one, "a", account, 100) is None
            one.settle("a", [100], now_ms())
            await one._beats.beat()
            assert first.call("WAIT", 1, 5_000) == 1
            second.signal(signal.SIGSTOP)  # from here on it gets nothing
            for ledger, used in ((one, 250), (other, 350)):
                assert await reserve(ledger, "b" + ledger.owner, account, used) is None
                ledger.settle("b" + ledger.owner, [used], now_ms())
                await ledger._beats.beat()
            assert (await stands(one, account)).spent == 700
            began = one.store.link.generation
            first.stop()
            second.signal(signal.SIGCONT)
            second.call("REPLICAOF", "NO", "ONE")
            for ledger in (one, other):
                link = ledger.store.link
                await until(lambda link=link: link.up and link.generation != began and not link.settling_ms())
                await said(ledger)
            told = await stands(one, account)
            assert (told.spent, told.lost) == (700, 0)
            assert await reserve(other, "c", account, 301) is not None
            await asyncio.sleep(0.11)
            assert await reserve(other, "c", account, 300) is None
    finally:
        first.stop()
        second.stop()


async def test_who_is_cancelled_while_waiting_holds_nothing(shim: Shim) -> None:
    account = window(1_000_000)
    async with ledgers(shim.address) as (ledger,):
        for steps in range(40):
            ledger._slices.get(account.key) and setattr(ledger._slices[account.key], "ahead", 0)
            task = asyncio.create_task(reserve(ledger, f"h{steps}", account, 100_000))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            done = await asyncio.gather(task, return_exceptions=True)
            if done == [None]:
                ledger.release(f"h{steps}", now_ms())
        assert ledger.open_holds() == 0
        await until(lambda: not ledger._slices[account.key].busy)
        assert ledger._slices[account.key].held == 0
        assert ledger._slices[account.key].waiting == 0
        told = await stands(ledger, account)
        assert (told.spent, told.held) == (0, 0)
        assert await reserve(ledger, "all", account, 1_000_000) is None
