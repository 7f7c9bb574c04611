"""Client keys in a real store: what is kept, who sees it, and what becomes of it when the store loses it."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import stat
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from shim import Shim
from store_server import Server

from engine.keys.form import make
from engine.keys.hashing import PUBLIC, digest, proof
from engine.observe.log import Log
from engine.runtime.keyring import Keyring
from engine.server.identity import Identities
from engine.server.stored_keys import StoredKeys
from engine.state.keys import KeysFault, KeyStore, Said, StoredKey, new_id
from engine.state.open_keys import open_keys
from engine.state.store_fault import StoreFault

PROOF = proof(PUBLIC)
KEY = make()


def key(name: str = "bot", digest: bytes = b"1" * 32) -> StoredKey:
    return StoredKey(digest, new_id(), name, Said(org="acme", tags={"team": "a"}), 1_000)


async def opened(server: Server, root: Path) -> KeyStore:
    store = await open_keys(server.address, root)
    assert store is not None
    return store


@pytest.fixture
async def keys(store_server: Server, tmp_path: Path) -> AsyncIterator[KeyStore]:
    store_server.aged()
    store = await opened(store_server, tmp_path)
    yield store
    await store.close()


async def test_what_is_kept_is_read_by_others(keys: KeyStore, store_server: Server, tmp_path: Path) -> None:
    theirs = await opened(store_server, tmp_path)
    before = await theirs.version()
    assert await theirs.every() == []
    made = key()
    await keys.add(made, PROOF)
    assert await theirs.version() != before
    assert await theirs.every() == [made]
    assert await theirs.proof() == PROOF
    await keys.revoke([made], 2_000)
    [revoked] = await theirs.every()
    assert revoked == replace(made, revoked=2_000)
    await theirs.close()


async def test_names_secrets_and_repeats(keys: KeyStore) -> None:
    made = key()
    await keys.add(made, PROOF)
    await keys.add(made, PROOF)  # as after an answer that was lost
    with pytest.raises(KeysFault, match="has a good key already"):
        await keys.add(key(digest=b"2" * 32), PROOF)
    with pytest.raises(KeysFault, match="another `keys_secret`"):
        await keys.add(key("second", b"3" * 32), proof(b"another secret"))
    new = replace(made, digest=b"4" * 32, created=2_000)
    await keys.replace([replace(made, expires=3_000)], new, PROOF)
    assert {(each.digest, each.expires) for each in await keys.every()} == {
        (b"1" * 32, 3_000),
        (b"4" * 32, None),
    }
    await keys.revoke(await keys.every(), int(time.time()))
    await keys.add(key("second", b"3" * 32), proof(b"another secret"))


async def test_many_are_read_in_parts(keys: KeyStore) -> None:
    many = [key(f"bot-{n}", n.to_bytes(32, "big")) for n in range(1_201)]
    await keys.replace(many[1:], many[0], PROOF)
    assert {each.name for each in await keys.every()} == {each.name for each in many}


async def test_a_store_that_lost_them_is_told(keys: KeyStore, store_server: Server) -> None:
    await keys.add(key(), PROOF)
    await keys.version()
    store_server.call("FLUSHALL")
    with pytest.raises(StoreFault, match="has lost the client keys"):
        await keys.version()


async def test_while_it_is_away_a_start_knows_what_it_knew(store_server: Server, tmp_path: Path) -> None:
    made = key()
    keys = await opened(store_server.aged(), tmp_path)
    await keys.add(made, PROOF)
    assert await keys.every() == [made]
    await keys.close()
    copy = tmp_path / ".engine/known-keys.json"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    async with Shim.before(store_server.port) as shim:
        shim.refuse = True
        again = await open_keys(shim.address, tmp_path)
        assert await again.version() == "remembered"
        assert await again.proof() == PROOF
        assert await again.every() == [made]
        with pytest.raises(StoreFault, match="cannot be asked"):
            await again.version()  # which is told, and what is known goes on being known
        await again.close()
        nothing = await open_keys(shim.address, tmp_path / "elsewhere")
        with pytest.raises(StoreFault, match="cannot be asked"):
            await nothing.version()
        await nothing.close()


async def test_a_store_that_is_away_at_the_start_leaves_nobody_anonymous(tmp_path: Path) -> None:
    server = Server(tmp_path / "late")
    sidecar = StoredKeys(Identities(), Log(stream=io.StringIO(), text=False))
    await sidecar.start(server.address, tmp_path, lambda: PUBLIC)
    assert sidecar.identities.closed
    assert sidecar.told()["store"] != "ok"
    try:
        server.start()
        async with asyncio.timeout(20):
            while sidecar.told()["store"] != "ok":
                await asyncio.sleep(0.02)
        assert not sidecar.identities.closed  # it is there, and nobody has a key
    finally:
        await sidecar.stop()
        server.stop()


async def test_two_sidecars_follow_one_store_and_outlive_it(
    keys: KeyStore, store_server: Server, tmp_path: Path
) -> None:
    """Both see a key and its revocation; while the store is away, and when it lost them, known keys stay."""
    lines = io.StringIO()
    both = [StoredKeys(Identities(), Log(stream=lines, text=False)) for _ in range(2)]
    for each in both:
        await each.start(store_server.address, tmp_path, lambda: PUBLIC)
    assert [each.told() for each in both] == [{"stored": 0, "store": "ok"}] * 2

    async def until(holds: Callable[[StoredKeys], bool]) -> None:
        async with asyncio.timeout(20):
            while not all(map(holds, both)):
                await asyncio.sleep(0.02)

    def lets_in(each: StoredKeys) -> bool:
        return Keyring().find(KEY.encode(), each.identities.stored, time.time()) is not None

    made = key(digest=digest(KEY.encode(), PUBLIC))
    await keys.add(made, PROOF)
    await until(lets_in)
    assert store_server.process is not None
    os.kill(store_server.process.pid, signal.SIGSTOP)
    try:
        await until(lambda each: each.told()["store"] != "ok")
        assert all(map(lets_in, both))
    finally:
        os.kill(store_server.process.pid, signal.SIGCONT)
    await until(lambda each: each.told()["store"] == "ok")
    await keys.revoke([made], int(time.time()))
    await until(lambda each: not lets_in(each))
    store_server.call("FLUSHALL")
    await until(lambda each: "has lost" in each.told()["store"])
    assert all(each.identities.closed for each in both)
    assert "client_keys_away" in lines.getvalue()
    assert "client_keys_back" in lines.getvalue()
    for each in both:
        await each.stop()


async def test_whatever_is_wrong_with_a_store_revocations_are_looked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sidecar = StoredKeys(Identities(), Log(stream=io.StringIO(), text=False))
    monkeypatch.setattr("engine.server.stored_keys.POLL_S", 0.01)
    looks = 0

    async def look() -> None:
        nonlocal looks
        looks += 1
        if looks == 2:
            raise ValueError("something that nobody thought of")

    monkeypatch.setattr(sidecar, "_look", look)
    await sidecar.start(f"sqlite:{tmp_path / 'state.db'}", tmp_path, lambda: PUBLIC)
    async with asyncio.timeout(30):
        while looks < 4:
            await asyncio.sleep(0.01)
    await sidecar.stop()
