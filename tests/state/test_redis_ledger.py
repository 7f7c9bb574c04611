"""The ledger on Redis: exact at any number of processes, on slices; against a real server."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import pytest
from redis_ledgers import SETTLE_MS, got, kill, ledgers, now_ms, reserve, stands, until, window
from store_server import Server

from engine.state.ledger import Account, Ask
from engine.state.open import open_ledger
from engine.state.redis.slice import TTL_MS, key_of
from engine.state.scoped_ledger import ScopedLedger
from engine.state.store_fault import StoreFault


async def test_many_processes_spend_all_of_it_and_no_more(store_server: Server) -> None:
    account = window(1_000_000)
    spent = refused = 0
    async with ledgers(store_server.address, 4) as all_of_them:

        async def user(ledger, name: str) -> None:
            nonlocal spent, refused
            for turn in range(40):
                hold = f"{name}.{turn}"
                if await reserve(ledger, hold, account, 5_000) is not None:
                    refused += 1
                    await asyncio.sleep(0.01)
                    continue
                await asyncio.sleep(0.001)
                used = 1_000 + turn % 7 * 500
                spent += used
                ledger.settle(hold, [used], now_ms())

        await asyncio.gather(
            *(user(one, f"{at}.{n}") for at, one in enumerate(all_of_them) for n in range(20))
        )
        assert spent <= 1_000_000
        assert spent > 1_000_000 - 5_000  # what is left is less than one request's worst case
        assert refused > 0
        for ledger in all_of_them:
            await ledger._beats.beat()
        told = await stands(all_of_them[0], account)
        assert (told.spent, told.held, told.lost) == (spent, 0, 0)


async def test_amounts_are_exact_up_to_nine_million_dollars(store_server: Server) -> None:
    limit = 2**53 - 1  # nano-dollars
    account = window(limit)
    async with ledgers(store_server.address, 2) as (one, other):
        assert await reserve(one, "a", account, limit - 7) is None
        one.settle("a", [limit - 7], now_ms())
        await one._beats.beat()
        assert (await stands(other, account)).left == 7
        assert await reserve(other, "b", account, 8) is not None
        await asyncio.sleep(0.11)
        assert await reserve(other, "b", account, 7) is None


async def test_a_slice_is_worked_on_without_asking(store_server: Server) -> None:
    account = window(10**12)
    async with ledgers(store_server.address) as (ledger,):
        assert await reserve(ledger, "first", account, 1_000) is None
        ledger.settle("first", [0], now_ms())
        calls = ledger.store.link.calls
        for turn in range(1_000):
            assert ledger.reserve(f"h{turn}", [Ask(account, 1_000)], now_ms()) is None
            ledger.settle(f"h{turn}", [0], now_ms())
        assert ledger.store.link.calls == calls


async def test_all_or_none_and_each_hold_once(store_server: Server) -> None:
    wide, narrow = window(1_000, "budget/wide/w/"), window(10, "budget/narrow/w/")
    async with ledgers(store_server.address) as (ledger,):
        refused = await got(ledger.reserve("a", [Ask(wide, 500), Ask(narrow, 11)], now_ms()))
        assert refused is not None
        assert (refused.account.key, refused.why) == ("budget/narrow/w/", "spent")
        assert refused.retry_after_ms is None  # it never fits
        assert ledger.open_holds() == 0
        assert (await stands(ledger, wide)).held == 0
        for _ in range(2):
            assert await got(ledger.reserve("b", [Ask(wide, 1_000), Ask(narrow, 10)], now_ms())) is None
        ledger.settle("b", [700, 3], now_ms())
        ledger.settle("b", [700, 3], now_ms())
        ledger.release("b", now_ms())
        told = await stands(ledger, wide)
        assert (told.spent, told.held, told.left) == (700, 0, 300)
        assert ledger.open_holds() == 0


async def test_an_amount_of_nothing_always_fits(store_server: Server) -> None:
    account = window(10)
    async with ledgers(store_server.address) as (ledger,):
        assert await reserve(ledger, "all", account, 10) is None
        ledger.settle("all", [14], now_ms())  # more than was held
        refused = await reserve(ledger, "more", account, 1)
        assert refused is not None
        assert refused.used == 14
        assert 0 < (refused.retry_after_ms or 0) <= 3_600_000
        assert await reserve(ledger, "none", account, 0) is None
        assert (await stands(ledger, account)).spent == 14


async def test_what_another_process_does_not_hold_is_asked_back(store_server: Server) -> None:
    account = window(1_600)
    async with ledgers(store_server.address, 2) as (one, other):
        assert await reserve(one, "a", account, 100) is None
        one.release("a", now_ms())
        await until(lambda: one._slices[account.key].free > 0)
        began = time.monotonic()
        assert await reserve(other, "b", account, 1_600) is None
        assert time.monotonic() - began < 1.0
        assert await reserve(one, "c", account, 1) is not None


async def test_an_idle_slice_goes_back_by_itself(store_server: Server) -> None:
    account = window(1_600)
    async with ledgers(store_server.address, 1) as (ledger,):
        assert await reserve(ledger, "a", account, 100) is None
        ledger.settle("a", [60], now_ms())
        for _ in range(4):
            await ledger._beats.beat()
        assert ledger._slices[account.key].free == 0
        out = store_server.call("HGET", key_of(account.key, "window"), "out")
        assert out == b"0"
    async with ledgers(store_server.address, 1) as (again,):
        assert await reserve(again, "b", account, 1_540) is None


async def test_who_died_counts_as_spent_and_who_was_slow_is_believed(store_server: Server) -> None:
    account, clock = window(1_000), [now_ms()]
    async with ledgers(store_server.address, 3, clock=lambda: clock[0]) as (dead, slow, well):
        for ledger in (dead, slow):
            assert await reserve(ledger, f"h{id(ledger)}", account, 200) is None
        await slow._beats.beat()
        await kill(dead)
        slow._beats._task.cancel()
        clock[0] += TTL_MS + 1
        assert await reserve(well, "w", account, 10) is None
        told = await stands(well, account)
        assert told.lost >= 400
        assert told.spent >= 400
        slow.settle(f"h{id(slow)}", [50], now_ms())
        told_by_slow = await stands(slow, account)
        assert told_by_slow.lost < told.lost
        assert told_by_slow.spent == told_by_slow.lost + 50
        slow._slices[account.key].idle = 9
        await slow._beats.beat()
        told = await stands(well, account)
        assert (told.spent, told.held) == (told.lost + 50, 10)


async def test_places_of_a_dead_process_come_free(store_server: Server) -> None:
    account, clock = Account("limit/l/concurrent/", "concurrent", "places", 3), [now_ms()]
    async with ledgers(store_server.address, 2, clock=lambda: clock[0]) as (dead, well):
        for turn in range(3):
            assert await reserve(dead, f"h{turn}", account, 1) is None
        assert await reserve(well, "w", account, 1) is not None
        dead.settle("h0", [1], now_ms())
        await until(lambda: dead._slices[account.key].told_h == 2)
        await asyncio.sleep(0.11)
        assert await reserve(well, "w", account, 1) is None
        await kill(dead)
        clock[0] += TTL_MS + 1
        await well._beats.beat()
        assert (await stands(well, account)).held == 1
        assert await reserve(well, "w2", account, 2) is None


async def test_a_flushed_store_is_told_everything_again(store_server: Server) -> None:
    account = window(1_000)
    async with ledgers(store_server.address, 2) as (one, other):
        for ledger, used in ((one, 300), (other, 250)):
            assert await reserve(ledger, "h" + ledger.owner, account, 300) is None
            ledger.settle("h" + ledger.owner, [used], now_ms())
            await ledger._beats.beat()
        store_server.call("FLUSHALL")
        began = one.store.link.generation
        for ledger in (one, other):
            await until(lambda link=ledger.store.link: link.generation != began and not link.settling_ms())
            await ledger._beats.beat()
        told = await stands(one, account)
        assert (told.spent, told.held, told.left) == (550, 0, 450)
        assert await reserve(one, "more", account, 451) is not None
        await asyncio.sleep(0.11)
        assert await reserve(one, "rest", account, 450) is None


async def test_nobody_draws_before_all_have_told(store_server: Server) -> None:
    account = window(1_000)
    async with ledgers(store_server.address, 2) as (one, other):
        assert await reserve(one, "a", account, 1_000) is None
        one.settle("a", [1_000], now_ms())
        await one._beats.beat()
        store_server.call("FLUSHALL")
        refused = await reserve(other, "b", account, 10)
        assert refused is not None
        assert refused.why == "store"
        assert 0 < (refused.retry_after_ms or 0) <= SETTLE_MS
        await until(lambda: one.store.link.generation == other.store.link.generation)
        await one._beats.beat()
        await until(lambda: not other.store.link.settling_ms())
        refused = await reserve(other, "b", account, 10)
        assert refused is not None
        assert refused.why == "spent"


async def test_the_journal_tells_what_a_process_of_the_past_had_told(
    store_server: Server, tmp_path: Path
) -> None:
    account, path = window(1_000), tmp_path / ".engine" / "redis.db"
    async with ledgers(store_server.address, 1, journal=path) as (first,):
        assert await reserve(first, "a", account, 400) is None
        first.settle("a", [400], now_ms())
    store_server.call("FLUSHALL")
    for _ in range(2):  # and once only
        async with ledgers(store_server.address, 1, journal=path) as (second,):
            told = await stands(second, account)
            assert (told.spent, told.lost) == (400, 0)


async def test_a_killed_process_stays_lost_over_a_flush(store_server: Server, tmp_path: Path) -> None:
    account, path = window(1_000), tmp_path / "redis.db"
    async with ledgers(store_server.address, 1, journal=path) as (first,):
        assert await reserve(first, "a", account, 300) is None
        first.settle("a", [100], now_ms())
        assert await reserve(first, "b", account, 300) is None
        await first._beats.beat()
        holds = first._slices[account.key].told_g
        await kill(first)
    store_server.call("FLUSHALL")
    async with ledgers(store_server.address, 1, journal=path) as (second,):
        told = await stands(second, account)
        assert told.lost == holds >= 300
        assert told.spent == 100 + holds


BUCKET = Account("limit/l/requests/", "requests", "bucket", 600, period_ms=60_000, burst=20)
ROLLING = Account("limit/l/tokens/", "tokens", "rolling", 1_000, period_ms=60_000)


async def test_a_bucket_holds_its_burst_and_what_flows_back(store_server: Server) -> None:
    clock = [now_ms()]
    async with ledgers(store_server.address, 2, clock=lambda: clock[0]) as both:
        taken = 0
        for turn in range(60):
            if await reserve(both[turn % 2], f"a{turn}", BUCKET, 1) is None:
                taken += 1
        assert taken == 20
        clock[0] += 1_000
        await asyncio.sleep(0.11)
        for turn in range(30):
            if await reserve(both[turn % 2], f"b{turn}", BUCKET, 1) is None:
                taken += 1
        assert taken == 30
        refused = await reserve(both[0], "c", BUCKET, 1)
        assert refused is not None
        assert 0 < (refused.retry_after_ms or 0) <= 100


async def test_a_rolling_account_forgets_after_its_period(store_server: Server) -> None:
    clock = [now_ms()]
    async with ledgers(store_server.address, 2, clock=lambda: clock[0]) as (one, other):
        for ledger, amount in ((one, 600), (other, 400)):
            hold = ledger.owner
            assert await got(ledger.reserve(hold, [Ask(ROLLING, amount)], clock[0])) is None
            ledger.settle(hold, [amount], clock[0])
            clock[0] += 10_000
            for each in (one, other):  # they live
                await each._beats.beat()
        refused = await got(one.reserve("x", [Ask(ROLLING, 500)], clock[0]))
        assert refused is not None
        assert 30_000 < (refused.retry_after_ms or 0) <= 42_000
        clock[0] += refused.retry_after_ms or 0
        await asyncio.sleep(0.11)
        assert await got(one.reserve("y", [Ask(ROLLING, 500)], clock[0])) is None


async def test_once_is_once_for_all_and_again_later(store_server: Server) -> None:
    async with ledgers(store_server.address, 3) as all_of_them:
        said = await asyncio.gather(*(each.once("b/80%/{x", 200, now_ms()) for each in all_of_them))
        assert sorted(said) == [False, False, True]
        assert not await all_of_them[0].once("b/80%/{x", 200, now_ms())
        later = now_ms() + 300
        await until(lambda: now_ms() > later)
        assert await all_of_them[1].once("b/80%/{x", 200, now_ms())


async def test_rows_are_of_all_processes(store_server: Server) -> None:
    async with ledgers(store_server.address, 2) as (one, other):
        for at, ledger in enumerate((one, other)):
            account = window(100, f"budget/b/w/team {at}}}é")
            assert await reserve(ledger, f"h{at}", account, 10 + at) is None
            ledger.settle(f"h{at}", [10 + at], now_ms())
            await ledger._beats.beat()
        rows = {account.key: told.spent for account, told in await one.rows(now_ms())}
        assert rows == {"budget/b/w/team 0}é": 10, "budget/b/w/team 1}é": 11}


async def test_what_was_forgotten_here_is_not_told_twice(store_server: Server, tmp_path: Path) -> None:
    account = window(1_000)
    async with ledgers(store_server.address, 1, journal=tmp_path / "redis.db") as (ledger,):
        for turn in range(3):
            assert await reserve(ledger, f"h{turn}", account, 100) is None
            ledger.settle(f"h{turn}", [100], now_ms())
            for _ in range(5):
                await ledger._beats.beat()
            ledger._beats.forget(0)
            assert account.key not in ledger._slices
        assert (await stands(ledger, account)).spent == 300
        began = ledger.store.link.generation
        store_server.call("FLUSHALL")
        await until(lambda: ledger.store.link.generation != began)
        async with asyncio.timeout(30):
            while (await stands(ledger, account)).spent != 300:
                await asyncio.sleep(0.005)


async def test_hosts_whose_clocks_differ_count_by_the_servers(store_server: Server) -> None:
    async with ledgers(store_server.address, 2) as (one, other):
        late = now_ms() - 3_600_000  # this host's clock is an hour behind
        other.store.link.clock.offset_ms = 3_600_000
        assert await got(other.reserve("a", [Ask(ROLLING, 1_000)], late)) is None
        other.settle("a", [1_000], late)
        await other._beats.beat()
        assert (await stands(one, ROLLING)).spent == 1_000


async def test_what_stands_under_the_old_name_is_taken_over(store_server: Server) -> None:
    old, new = window(1_000, "budget/old/w/"), window(1_000, "budget/new/w/", was="budget/old/w/")
    async with ledgers(store_server.address, 2) as (one, other):
        assert await reserve(one, "a", old, 400) is None
        one.settle("a", [400], now_ms())
        await one._beats.beat()
        refused = await reserve(other, "b", new, 601)
        assert refused is not None
        assert refused.used == 400
        await asyncio.sleep(0.11)
        assert await reserve(other, "b", new, 600) is None


async def test_it_is_taken_over_where_nobody_asks_for_more(store_server: Server) -> None:
    """A plan that says `was` is replaced by one that does not, before anything else is spent."""
    old, new = window(1_000, "budget/old/w/"), window(1_000, "budget/new/w/", was="budget/old/w/")
    later = replace(new, was=None)
    async with ledgers(store_server.address, 2) as (one, other):
        assert await reserve(one, "a", old, 400) is None
        one.settle("a", [400], now_ms())
        await one._beats.beat()
        assert await reserve(other, "b", new, 0) is None
        other.release("b", now_ms())
        await other._beats.beat()
        for ledger in (one, other):
            assert (await stands(ledger, later)).spent == 400
        rows = {account.key: told.spent for account, told in await one.rows(now_ms())}
        assert rows["budget/new/w/"] == 400


async def test_a_limit_of_each_host_asks_nobody(store_server: Server) -> None:
    leased = window(100)
    local = Account("limit/l/concurrent/x", "concurrent", "places", 1, local=True)
    async with ledgers(store_server.address, 2) as under:
        both = [ScopedLedger(ledger) for ledger in under]
        for name, ledger in zip("ab", both, strict=True):
            asks = [Ask(local, 1), Ask(leased, 10)]
            assert await got(ledger.reserve(f"h{name}", asks, now_ms())) is None
            refused = await got(ledger.reserve(f"i{name}", asks, now_ms()))
            assert refused is not None
            assert refused.account is local
            ledger.settle(f"h{name}", [1, 7], now_ms())
            assert await got(ledger.reserve(f"j{name}", [Ask(local, 1)], now_ms())) is None
        for each in under:
            await each._beats.beat()
        assert (await stands(under[0], leased)).spent == 14


async def test_what_is_opened_by_its_address(store_server: Server, tmp_path: Path) -> None:
    account = window(100)
    store_server.aged()
    for used in (30, 40):
        ledger = await open_ledger(store_server.address, tmp_path)
        assert await got(ledger.reserve(f"h{used}", [Ask(account, used)], now_ms())) is None
        ledger.settle(f"h{used}", [used], now_ms())
        await ledger.close()
    async with ledgers(store_server.address) as (again,):
        assert (await stands(again, account)).spent == 70
    assert (tmp_path / ".engine/redis.db").exists()


@pytest.mark.parametrize("address", ["redis://u:secret@h/0", "redis://h:port/0"])
async def test_an_address_that_is_none_is_a_fault(address: str, tmp_path: Path) -> None:
    with pytest.raises(StoreFault) as told:
        await open_ledger(address, tmp_path)
    assert "secret" not in str(told.value)


@pytest.mark.parametrize("name", ["plain", "a}b{c", "{}", "}", "x" * 5_000, "é\ud800 \n", ""])
def test_a_key_has_one_hash_tag_whatever_the_name(name: str) -> None:
    key = key_of(name, "window")
    key.encode()
    assert len(key) < 350
    assert key.startswith("engine:{")
    assert key.endswith("}:window")
    assert (key.count("{"), key.count("}")) == (1, 1)
