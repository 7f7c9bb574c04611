"""Accounts on Redis whose terms change, or are unusual: what was used stays used for as long as it counts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from redis_ledgers import got, ledgers, now_ms, reserve
from store_server import Server

from engine.state.ledger import Account, Ask
from engine.state.redis.slice import key_of

BUCKET = Account("limit/l/requests/", "requests", "bucket", 1, period_ms=60_000, burst=1_000)
SLIDING = Account("limit/s/requests/", "requests", "rolling", 5, period_ms=60_000)


async def test_a_bucket_is_kept_until_it_is_full_again(store_server: Server) -> None:
    async with ledgers(store_server.address) as (ledger,):
        assert await reserve(ledger, "a", BUCKET, 900) is None
        ledger.settle("a", [900], now_ms())
        await ledger._beats.beat()
        for key in store_server.call("KEYS", "engine:{limit*"):
            assert store_server.call("PTTL", key) > 900 * 60_000


async def test_a_sliding_limit_with_another_period_is_not_stuck(store_server: Server) -> None:
    longer = replace(SLIDING, period_ms=3_600_000)
    async with ledgers(store_server.address) as (ledger,):
        for n in range(5):
            assert await reserve(ledger, f"a{n}", SLIDING, 1) is None
            ledger.settle(f"a{n}", [1], now_ms())
        await ledger._beats.beat()
        for account in (longer, SLIDING):
            refused = await reserve(ledger, f"b{account.period_ms}", account, 1)
            if refused is not None:
                assert 0 < (refused.retry_after_ms or 0) <= account.period_ms + account.period_ms // 60


@pytest.mark.parametrize(("one", "other"), [(" 03", "\u2003"), ("%20", " ")])
def test_no_two_partitions_share_a_key(one: str, other: str) -> None:
    assert key_of(f"budget/b/w/{one}", "window") != key_of(f"budget/b/w/{other}", "window")


@pytest.mark.parametrize("value", ["a\nb", "\0", "{x}", "%", "/" * 300, "\u2003", "é" * 10_000])
async def test_any_text_is_a_partition(store_server: Server, value: str) -> None:
    account = Account(f"budget/b/w/{value}", "cost", "window", 100, ends_ms=now_ms() + 60_000)
    async with ledgers(store_server.address, 2) as (one, other):
        assert await reserve(one, "a", account, 60) is None
        assert await got(other.reserve("b", [Ask(account, 60)], now_ms())) is not None


async def test_a_window_is_kept_where_the_servers_clock_is_ahead(store_server: Server) -> None:
    account = Account("budget/b/2026-11/", "cost", "window", 100, ends_ms=now_ms() + 60_000)
    async with ledgers(store_server.address, clock=lambda: now_ms() + 7_200_000) as (ledger,):
        assert await reserve(ledger, "a", account, 60) is None
        assert store_server.call("PTTL", key_of(account.key, "window")) > 3_000_000
