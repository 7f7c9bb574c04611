"""The way to the store: deadlines, what it answers when it will not, cancelled callers, other servers."""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme
from cancels import cancelled_calls
from pulse import Pulse
from redis_ledgers import ledgers, now_ms, reserve, stands, until, window
from shim import Shim
from store_server import Server

from engine.keys.hashing import PUBLIC, proof
from engine.state.kept import Kept
from engine.state.keys import Said, StoredKey, new_id
from engine.state.open_keys import open_keys
from engine.state.redis.address import Address, Place, parse
from engine.state.redis.connection import Away
from engine.state.redis.kept import SharedKept
from engine.state.redis.link import DEADLINE_MS, FAILURES, LANES, Link
from engine.state.redis.patience import Patience
from engine.state.redis.scripts import ONCE, Work


@pytest.fixture
async def shim(store_server: Server) -> AsyncIterator[Shim]:
    async with Shim.before(store_server.port) as shim:
        yield shim


async def opened(address: str, deadline_ms: int = 3_000) -> Link:
    link = Link(parse(address), settle_ms=1, deadline_ms=deadline_ms)
    assert await link.open()
    return link


async def away(link: Link) -> Away:
    with pytest.raises(Away) as told:
        await link.call(("GET", "x"))
    return told.value


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("redis://store", Address((Place("store"),))),
        ("redis://store:7000/3", Address((Place("store", 7000),), 3)),
        ("rediss://store:7000/0", Address((Place("store", 7000),), 0, tls=True)),
        ("redis://a:1,b:2/0", Address((Place("a", 1), Place("b", 2)))),
        ("redis://[::1]:7000/0", Address((Place("::1", 7000),))),
        (
            "rediss://a/1?user=engine&password=env:VALKEY&ca=/ca.pem",
            Address((Place("a"),), 1, True, "engine", "env:VALKEY", "/ca.pem"),
        ),
        ("redis+unix:///run/valkey.sock", Address((Place(path="/run/valkey.sock"),))),
        ("redis+unix:///run/valkey.sock?db=2", Address((Place(path="/run/valkey.sock"),), 2)),
    ],
)
def test_addresses(text: str, address: Address) -> None:
    assert parse(text) == address
    assert parse(str(address)).places == address.places
    assert "VALKEY" not in str(address)


@pytest.mark.parametrize(
    "text",
    [
        "redis://u:secret@h/0",
        "redis://h/0?password=secret",
        "redis://h/0?passwort=env:X",
        "redis://h/0?ca=/x",
        "redis://h/0?user=a&user=b",
        "http://h",
        "redis://",
        "redis://h:99999",
        "redis://a:b:c",
    ],
)
def test_what_is_no_address_is_never_repeated(text: str) -> None:
    with pytest.raises(ValueError) as told:
        parse(text)
    assert "secret" not in str(told.value)


async def test_scripts_that_the_server_has_lost_are_given_again(store_server: Server) -> None:
    link = await opened(store_server.address)
    for turn in range(3):
        store_server.call("SCRIPT", "FLUSH")
        works = [Work(ONCE, (f"engine:{{k{turn}{n}}}",), (n, 60_000)) for n in range(3)]
        assert await link.run(works) == [1, 1, 1]
    assert link.failures == 0
    await link.close()


@pytest.mark.parametrize(
    "answer",
    [
        "LOADING Redis is loading the dataset in memory",
        "READONLY You can't write against a read only replica.",
        "OOM command not allowed when used memory > 'maxmemory'.",
        "MOVED 3999 127.0.0.1:6381",
        "CLUSTERDOWN The cluster is down",
        "MASTERDOWN Link with MASTER is down",
        "NOAUTH Authentication required.",
        "MISCONF Redis is configured to save RDB snapshots",
        "ERR something else",
    ],
)
async def test_a_store_that_refuses_is_away_at_once(shim: Shim, answer: str) -> None:
    link = await opened(shim.address)
    shim.reply = f"-{answer}\r\n".encode()
    told = await away(link)
    assert answer.split()[0] in str(told)
    calls = link.calls
    await away(link)
    assert link.calls == calls  # not even asked
    shim.reply = None
    await until(lambda: link.up)
    assert await link.call(("PING",)) == [b"PONG"]
    await link.close()


async def test_a_store_that_is_full_is_away_for_scripts(store_server: Server) -> None:
    link = await opened(store_server.address)
    store_server.call("CONFIG", "SET", "maxmemory", "1")
    try:
        with pytest.raises(Away):
            await link.run([Work(ONCE, ("engine:{k}",), ("me", 60_000))])
    finally:
        store_server.call("CONFIG", "SET", "maxmemory", "0")
    await link.close()


def _ours() -> int:
    """Tasks that are not the shim's."""
    return sum("Shim" not in repr(task.get_coro()) for task in asyncio.all_tasks())


async def test_a_hanging_store_costs_a_few_deadlines_and_then_nothing(shim: Shim) -> None:
    link = await opened(shim.address, DEADLINE_MS)
    shim.held = True
    tasks, calls = _ours(), link.calls
    async with Pulse() as pulse:
        for _ in range(100):
            await away(link)
        # Where the loop is late, a quarter of its time counts.
        assert pulse.seconds * 1000 < 5 * FAILURES * DEADLINE_MS
    assert link.calls - calls <= FAILURES <= 5  # the others did not even ask
    assert _ours() <= tasks + 1  # one looks for it
    shim.held = False
    await until(lambda: link.up)
    await link.close()


async def test_a_cut_connection_is_made_again_within_the_same_call(shim: Shim) -> None:
    link = await opened(shim.address)
    for turn in range(5):
        assert await link.call(("SET", "k", turn)) == [b"OK"]
        shim.cut()
        assert await link.call(("GET", "k")) == [str(turn).encode()]
    assert link.up
    await link.close()


async def test_no_cancelled_call_leaves_its_answer_to_another(store_server: Server) -> None:
    link = await opened(store_server.address)

    async def ask(text: str) -> str:
        return (await link.call(("ECHO", text)))[0].decode()

    await cancelled_calls(ask)
    await link.close()


async def test_a_loop_that_stands_still_takes_no_store_for_away(store_server: Server) -> None:
    """Nobody reads what lies in the sockets for longer than the deadline; one more waits for a connection."""
    link = await opened(store_server.address, deadline_ms=400)
    await asyncio.gather(*(link.call(("PING",)) for _ in range(LANES)))
    calls = [asyncio.create_task(link.call(("ECHO", str(number)))) for number in range(LANES + 1)]
    for _ in range(3):
        await asyncio.sleep(0)  # by now all is written that can be
    time.sleep(0.5)
    assert await asyncio.gather(*calls) == [[str(number).encode()] for number in range(LANES + 1)]
    assert link.failures == 0
    await link.close()


async def test_a_loop_that_crawls_still_gets_what_needs_many_turns() -> None:
    going, turns = True, 12

    def hog() -> None:
        time.sleep(0.01)
        if going:
            asyncio.get_running_loop().call_soon(hog)

    async def steps() -> int:
        for _ in range(turns):
            await asyncio.sleep(0)
        return turns

    hog()
    patience = Patience(0.02)
    assert await patience.within(steps()) == turns
    with pytest.raises(TimeoutError):
        await patience.within(asyncio.Event().wait())
    going = False


async def test_patience_is_one_for_all_steps() -> None:
    patience = Patience(0.05)
    for _ in range(2):
        with pytest.raises(TimeoutError):
            await patience.within(asyncio.Event().wait())
    assert patience.over


async def test_a_promoted_replica_is_found(tmp_path: Path) -> None:
    first = Server(tmp_path / "first").start()
    second = Server(tmp_path / "second", None, "--replicaof", "127.0.0.1", str(first.port)).start()
    try:
        link = await opened(f"redis://127.0.0.1:{first.port},127.0.0.1:{second.port}/0")
        began = link.generation
        renewed: list[bool] = []
        link.era.renewed.append(lambda: renewed.append(True))
        first.stop()
        await away(link)
        assert not link.up
        await asyncio.sleep(0.1)
        assert not link.up  # a replica is nothing to count on
        second.call("REPLICAOF", "NO", "ONE")
        await until(lambda: link.up)
        assert link.generation != began
        assert renewed
        assert await link.call(("SET", "k", "v")) == [b"OK"]
        await link.close()
    finally:
        first.stop()
        second.stop()


async def test_a_password_is_said_and_a_wrong_one_told(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.more = ("--requirepass", "s3cret")
    server.start()
    try:
        secret = tmp_path / "secret"
        secret.write_text("wr0ng\n")
        link = Link(parse(f"{server.address}?password=file:{secret}"), settle_ms=1)
        assert not await link.open()
        assert "WRONGPASS" in link.why or "invalid username-password" in link.why
        assert "wr0ng" not in link.why
        secret.write_text("s3cret\n")
        await until(lambda: link.up)
        await link.close()
    finally:
        server.stop()


async def test_a_store_that_is_not_there_is_told_and_looked_for(tmp_path: Path) -> None:
    server = Server(tmp_path)
    link = Link(parse(server.address), settle_ms=1)
    assert not await link.open()
    assert str(server.port) in link.why
    try:
        server.start()
        await until(lambda: link.up)
    finally:
        await link.close()
        server.stop()


async def test_a_server_that_throws_keys_away_is_told(
    store_server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    store_server.call("CONFIG", "SET", "maxmemory", "1gb")
    store_server.call("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    try:
        link = await opened(store_server.address)
        await link.close()
    finally:
        store_server.call("CONFIG", "SET", "maxmemory", "0")
        store_server.call("CONFIG", "SET", "maxmemory-policy", "noeviction")
    assert "throws counts of budgets and limits away" in caplog.text


async def test_the_rights_that_docs_name_are_enough(store_server: Server, tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs/redis.md").read_text()
    rights = re.findall(r"`(~[^`]*)`", page)[0].split()
    store_server.call("ACL", "SETUSER", "engine", "on", ">s3cret", *rights)
    secret = tmp_path / "secret"
    secret.write_text("s3cret")
    address = f"{store_server.address}?user=engine&password=file:{secret}"
    try:
        async with ledgers(address) as (ledger,):
            assert await reserve(ledger, "a", window(100), 10) is None
            ledger.settle("a", [10], now_ms())
            assert (await stands(ledger, window(100))).spent == 10
            assert await ledger.once("x", 1_000, now_ms())
            assert len(await ledger.rows(now_ms())) == 1
            shared = SharedKept(ledger.store, Kept())
            shared.keep("sticky", "k", "v", 1_000, 0)
            await shared.close()
            assert shared.figures()["dropped"] == 0
            assert ledger.store.link.failures == 0
        keys = await open_keys(address, tmp_path)
        assert await keys.every() == []
        await keys.add(StoredKey(b"1" * 32, new_id(), "bot", Said(), 1_000), proof(PUBLIC))
        assert len(await keys.every()) == 1
        await keys.close()
    finally:
        store_server.call("ACL", "DELUSER", "engine")


async def test_tls_is_spoken_and_looked_at(store_server: Server, tmp_path: Path) -> None:
    authority, other = trustme.CA(), trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    for name, each in (("ours", authority), ("other", other)):
        each.cert_pem.write_to_path(tmp_path / name)
    async with Shim.before(store_server.port, context) as shim:
        link = await opened(f"rediss://localhost:{shim.port}/0?ca={tmp_path / 'ours'}")
        assert await link.call(("PING",)) == [b"PONG"]
        await link.close()
        for host, ca in (("localhost", "other"), ("127.0.0.1", "ours")):
            link = Link(parse(f"rediss://{host}:{shim.port}/0?ca={tmp_path / ca}"), settle_ms=1)
            assert not await link.open()
            assert "certificate" in link.why.lower()
            await link.close()


async def test_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    server = Server(tmp_path, None, "--unixsocket", str(path)).start()
    try:
        link = await opened(f"redis+unix://{path}?db=1")
        assert await link.call(("SET", "k", "v"), ("GET", "k")) == [b"OK", b"v"]
        await link.close()
    finally:
        server.stop()
