"""A store of several shards: a real cluster, with slots that move and a primary that dies."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path

import pytest
from cancels import CALLS, cancelled_calls
from cluster_servers import Cluster
from redis_ledgers import SETTLE_MS, got, ledgers, now_ms, reserve, said, stands, until, window

from engine.control.sharing import Sharing
from engine.keys.hashing import PUBLIC, proof
from engine.state.kept import Kept
from engine.state.keys import Said, StoredKey, new_id
from engine.state.ledger import Account, Ask, Refused
from engine.state.open_keys import open_keys
from engine.state.redis.address import Place, parse
from engine.state.redis.hints import Hints
from engine.state.redis.kept import SharedKept
from engine.state.redis.scripts import ONCE, Work
from engine.state.redis.shards import Shards
from engine.state.redis.slice import key_of
from engine.state.redis.slots import Shard, shards_of, slot_of


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    made = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture
def cluster(servers: Cluster) -> Cluster:
    servers.flush()
    return servers


def of_each_shard(cluster: Cluster, **more: object) -> list[Account]:
    """An account for each primary, the one with a replica first."""
    found: dict[int, Account] = {}
    name = "lends" if more else "strict"
    for number in count():
        account = window(1_000, f"budget/{name}{number}/2026-11/", **more)
        found.setdefault(cluster.owner(key_of(account.key, "window")).port, account)
        if len(found) == 3:
            first = cluster.with_replica().port
            return [found[port] for port in sorted(found, key=lambda port: port != first)]
    raise AssertionError("unreachable")


def place_of(account: Account) -> str:
    return key_of(account.key, account.shape)


async def test_what_shards_count_is_counted_once_by_all(cluster: Cluster) -> None:
    accounts = of_each_shard(cluster)
    async with ledgers(cluster.address, 2) as both:
        assert len(both[0].store.link.links) == 3
        granted = dict.fromkeys((account.key for account in accounts), 0)
        for turn in range(12):
            for account in accounts:
                ledger = both[turn % 2]
                if await reserve(ledger, f"{turn}{account.key}", account, 100) is None:
                    granted[account.key] += 100
                    ledger.settle(f"{turn}{account.key}", [100], now_ms())
        assert set(granted.values()) == {1_000}
        # All or nothing, over shards.
        refused = await got(both[0].reserve("all", [Ask(account, 1) for account in accounts], now_ms()))
        assert refused is not None
        assert both[0].open_holds() == 0
        for ledger in both:
            await said(ledger)
        rows = {account.key: told.spent for account, told in await both[1].rows(now_ms())}
        assert rows == granted
        assert [await both[n].once("alert", 60_000, now_ms()) for n in (0, 1)] == [True, False]
        assert both[0].store.link.failures == 0


async def test_what_hosts_tell_each_other_reaches_all_of_them(cluster: Cluster) -> None:
    async with ledgers(cluster.address, 2) as (one, other):
        kept = [SharedKept(ledger.store, Kept()) for ledger in (one, other)]
        for number in range(20):
            kept[0].keep("sticky", f"user {number}", f"place {number}", 60_000, 0)
        await kept[0].close()
        found = [await kept[1].recall("sticky", f"user {number}", 0) for number in range(20)]
        assert found == [f"place {number}" for number in range(20)]
        heard: list[str] = []
        for number in range(6):  # whichever server is told, all tell it
            other.store.feed.on(f"engine:test{number}", lambda data: heard.append(data.decode()))
        await until(other.store.feed.listening.is_set)
        for number in range(6):
            await one.store.link.call(("PUBLISH", f"engine:test{number}", str(number)))
        await until(lambda: sorted(heard) == [str(number) for number in range(6)])


async def test_a_slot_that_moves_takes_its_counts_along(cluster: Cluster) -> None:
    accounts = of_each_shard(cluster)
    account, target = accounts[1], cluster.owner(place_of(accounts[2]))
    async with ledgers(cluster.address, 2) as (one, other):
        renewed: list[object] = []
        for ledger in (one, other):
            ledger.store.link.renewed.append(renewed.append)
            assert await reserve(ledger, "first", account, 100) is None
            ledger.settle("first", [100], now_ms())
            await said(ledger)
        cluster.begin_move(place_of(account), target)
        # What is still there is asked there, what is new at its new place.
        assert (await stands(one, account)).spent == 200
        work = Work(ONCE, (place_of(account).rpartition(":")[0] + ":once",), ("me", 60_000))
        assert await one.store.link.do([work]) == [1]
        assert target.call("ASKING") == b"OK"
        cluster.end_move(place_of(account), target)
        for ledger in (one, other):
            assert await reserve(ledger, "second", account, 300) is None
            ledger.settle("second", [300], now_ms())
            await said(ledger)
        told = await stands(one, account)
        assert (told.spent, told.lost) == (800, 0)
        assert await other.store.link.do([work]) == [1]  # the same one asks again
        assert await reserve(one, "third", account, 201) is not None
        assert renewed == []
        assert one.store.link.outages == other.store.link.outages == 0


async def test_a_generation_whose_slot_moves_is_no_loss(cluster: Cluster) -> None:
    accounts = of_each_shard(cluster)
    async with ledgers(cluster.address) as (ledger,):
        assert await reserve(ledger, "a", accounts[0], 100) is None
        link = ledger.store.link.of(place_of(accounts[0]))
        renewed: list[object] = []
        ledger.store.link.renewed.append(renewed.append)
        key, target = link.era.key, cluster.owner(place_of(accounts[2]))
        assert key is not None
        cluster.begin_move(key, target)
        cluster.end_move(key, target)
        await said(ledger)
        await until(lambda: link.era.key != key)
        assert await reserve(ledger, "b", accounts[0], 800) is None
        assert renewed == []
        assert ledger.store.link.settling_ms() == 0
        # A flush is still seen, of that shard alone.
        cluster.owner(place_of(accounts[0])).call("FLUSHALL")
        await until(lambda: renewed == [link])
        await until(lambda: not link.settling_ms())
        await said(ledger)
        assert (await stands(ledger, accounts[0])).held == 900


async def test_a_primary_that_dies_concerns_its_accounts_alone(cluster: Cluster) -> None:
    strict = of_each_shard(cluster)
    lends = of_each_shard(cluster, on_state_loss="local_share", share=100)
    async with ledgers(cluster.address, 2) as (one, other):
        for ledger in (one, other):
            for account in strict:
                assert await reserve(ledger, f"begin{account.key}", account, 100) is None
                ledger.settle(f"begin{account.key}", [100], now_ms())
                await said(ledger)
        dying = cluster.owner(place_of(strict[0]))
        replica = next(
            server
            for server in cluster.servers
            if server.call("ROLE")[0] == b"slave" and server.call("ROLE")[2] == dying.port
        )
        assert dying.call("WAIT", 1, 5_000) == 1
        links = [one.store.link.of(place_of(account)) for account in strict]
        dying.stop()
        await until(lambda: not links[0].up)
        for turn in range(20):
            refused = one.reserve(f"gone{turn}", [Ask(strict[0], 900)], now_ms())
            assert isinstance(refused, Refused)  # at once: nothing is awaited
            assert refused.why == "store"
            for account in (*strict[1:], *lends[1:]):
                assert await reserve(one, f"well{turn}{account.key}", account, 7) is None
            lent = await got(one.reserve(f"lent{turn}", [Ask(lends[0], 7), Ask(strict[1], 1)], now_ms()))
            assert (lent is None) == (turn < 14)  # 98 of the share of 100
        assert (links[1].up, links[2].up, one.store.link.up) == (True, True, True)
        assert one.store.link.well == pytest.approx(2 / 3)
        told = Sharing(one.store, SharedKept(one.store, Kept()), Hints(one.store, "x", print)).told()
        assert (told["up"], str(dying.port) in told["why"]) == (True, True)
        assert sorted(shard["up"] for shard in told["shards"]) == [False, True, True]
        replica.call("CLUSTER", "FAILOVER", "TAKEOVER")
        for ledger in (one, other):
            promoted = Place("127.0.0.1", replica.port)

            def taken_over(shards: Shards = ledger.store.link, to: Place = promoted) -> bool:
                link = shards.of(place_of(strict[0]))
                return link.up and link.place == to and not link.settling_ms()

            await until(taken_over)
            await said(ledger)
        counted = await stands(other, strict[0])
        assert (counted.spent, counted.lost) == (200, 0)
        assert (await stands(one, lends[0])).held == 98
        assert (await stands(one, lends[1])).held == 140
        assert await reserve(other, "again", strict[0], 700) is None
        assert links[1].outages == links[2].outages == 0
    dying.start()  # as the promoted one's replica
    await until(lambda: b"master_link_status:up" in dying.call("INFO", "replication"))


async def test_client_keys_of_a_cluster(cluster: Cluster, tmp_path: Path) -> None:
    keys, other = (
        await open_keys(cluster.address, tmp_path, make=True),
        await open_keys(cluster.address, tmp_path, make=True),
    )
    assert keys is not None
    assert other is not None
    made = StoredKey(b"1" * 32, new_id(), "bot", Said(), 1_000)
    await keys.add(made, proof(PUBLIC))
    assert [key.name for key in await other.every()] == ["bot"]
    before = await other.version()
    await keys.revoke([made], 2_000)
    assert await other.version() != before
    assert [key.revoked for key in await other.every()] == [2_000]
    for each in (keys, other):
        await each.close()


@pytest.fixture
async def way(cluster: Cluster) -> AsyncIterator[Shards]:
    made = Shards(parse(cluster.address), settle_ms=SETTLE_MS, deadline_ms=3_000)
    assert await made.open()
    yield made
    await made.close()


async def test_answers_come_in_the_order_of_what_was_asked(way: Shards, cluster: Cluster) -> None:
    keys = [f"engine:kept:{{{number}}}" for number in range(50)]
    await way.call(*(("SET", key, key) for key in keys))
    assert await way.call(*(("GET", key) for key in keys)) == [key.encode() for key in keys]
    assert {way.of(key).place.port for key in keys} == {cluster.owner(key).port for key in keys}


async def test_no_cancelled_call_over_shards_leaves_its_answer_to_another(way: Shards) -> None:
    async def ask(text: str) -> str:
        keys = [f"engine:kept:{{{text}.{number}}}" for number in range(3)]
        answers = await way.call(*(("GETRANGE", key, 0, -1) for key in keys), ("ECHO", text))
        assert answers[:-1] == [b"", b"", b""]
        return answers[-1].decode()

    await cancelled_calls(ask, CALLS // 3)


def test_slots_are_the_servers_own(cluster: Cluster) -> None:
    for key in ("x", "engine:{budget/a/b}:window", "{}a", "a{b", "{a}{b}", "ü{ß}"):
        assert slot_of(key) == cluster.servers[0].call("CLUSTER", "KEYSLOT", key.encode())


def test_what_servers_tell_of_slots() -> None:
    asked = Place("here", 1)
    rows = [
        [0, 1, [b"a", 1, b"id", []], [b"b", 2, b"id", []]],
        [2, 2, [None, 3, b"id", []]],
        [3, 9, [b"a", 1, b"id"], [b"b", 2, b"id"]],
    ]
    assert shards_of(rows, asked) == [
        Shard((Place("a", 1), Place("b", 2)), ((0, 1), (3, 9))),
        Shard((Place("here", 3),), ((2, 2),)),
    ]
    for wrong in (b"OK", [], [[0, 1]], 7):
        with pytest.raises(ValueError):
            shards_of(wrong, asked)
