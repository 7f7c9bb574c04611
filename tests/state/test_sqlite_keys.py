"""Client keys in SQLite: what is kept, who sees it, what is refused."""

from __future__ import annotations

import sqlite3
import stat
import time
from dataclasses import replace
from pathlib import Path

import pytest

from engine.keys.hashing import PUBLIC, proof
from engine.state.keys import KeysFault, Said, StoredKey, new_id
from engine.state.open_keys import keys_file, open_keys
from engine.state.sqlite_keys import SqliteKeys
from engine.state.store_fault import StoreFault

PROOF = proof(PUBLIC)
SAID = Said(org="acme", tags={"team": "support"}, models=("a", "b*"), limits=("l",), ips=("10.0.0.0/8",))


def key(name: str = "bot", digest: bytes = b"1" * 32) -> StoredKey:
    return StoredKey(digest, new_id(), name, SAID, 1_000, None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".engine" / "keys.db"


async def test_what_is_kept_is_read_again_by_others(path: Path) -> None:
    mine, theirs = SqliteKeys(path), SqliteKeys(path)
    before = await theirs.version()
    made = key()
    await mine.add(made, PROOF)
    assert await theirs.every() == [made]
    assert await theirs.version() != before
    assert await theirs.version() == await theirs.version()
    assert await theirs.proof() == PROOF
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (path.parent / ".gitignore").read_text() == "*\n"
    for each in (mine, theirs):
        await each.close()


async def test_a_name_is_taken_while_its_key_is_good(path: Path) -> None:
    keys = SqliteKeys(path)
    made = key()
    await keys.add(made, PROOF)
    with pytest.raises(KeysFault, match="has a good key already"):
        await keys.add(key(digest=b"2" * 32), PROOF)
    await keys.revoke([made], int(time.time()))
    again = key(digest=b"2" * 32)
    await keys.add(again, PROOF)
    assert {each.state(time.time()) for each in await keys.every()} == {"revoked", "good"}
    await keys.close()


async def test_a_rotation_is_one_step(path: Path) -> None:
    keys = SqliteKeys(path)
    old = key()
    await keys.add(old, PROOF)
    ending, new = replace(old, expires=2_000), replace(old, digest=b"2" * 32, created=1_500)
    await keys.replace([ending], new, PROOF)
    assert set(map(str, await keys.every())) == set(map(str, [ending, new]))
    assert old.state(3_000) == "good"
    assert ending.state(1_999) == "good"
    assert ending.state(2_000) == "expired"
    await keys.close()


async def test_keys_of_another_secret_do_not_mix(path: Path) -> None:
    keys = SqliteKeys(path)
    made = key()
    await keys.add(made, PROOF)
    other = proof(b"another secret, quite random")
    with pytest.raises(KeysFault, match="another `keys_secret`"):
        await keys.add(key("second", b"2" * 32), other)
    assert await keys.every() == [made]
    await keys.revoke([made], 1)
    await keys.add(key("second", b"2" * 32), other)
    assert await keys.proof() == other
    await keys.close()


async def test_a_file_that_was_replaced_is_told(path: Path) -> None:
    keys = SqliteKeys(path)
    assert await keys.version() is not None
    path.unlink()
    assert await keys.version() is None
    await keys.close()


async def test_nothing_is_made_where_it_is_only_read(tmp_path: Path) -> None:
    assert await open_keys("sqlite:.engine/state.db", tmp_path) is None
    assert await open_keys("memory", tmp_path) is None
    assert not list(tmp_path.iterdir())
    assert keys_file("sqlite:/var/lib/x/state.db", tmp_path) == Path("/var/lib/x/keys.db")


@pytest.mark.parametrize("kind", ["other", "garbage", "newer", "folder"])
async def test_a_file_that_is_not_ours_is_told(path: Path, kind: str) -> None:
    path.parent.mkdir()
    if kind == "folder":
        path.mkdir()
    elif kind == "garbage":
        path.write_bytes(b"no database at all" * 100)
    elif kind == "newer":
        keys = SqliteKeys(path)
        await keys.close()
        with sqlite3.connect(path) as db:
            db.execute("PRAGMA user_version = 99")
        db.close()
    else:
        with sqlite3.connect(path) as db:
            db.execute("CREATE TABLE theirs (x)")
        db.close()
    with pytest.raises(StoreFault, match=r"keys\.db"):
        SqliteKeys(path)


def test_what_a_later_version_adds_is_no_fault() -> None:
    text = key().text().replace('"org"', '"colour": "blue", "org"')
    assert StoredKey.read(b"1" * 32, text).said == SAID


@pytest.mark.parametrize("text", ["{", "[]", '{"id": 1}'])
async def test_a_key_that_cannot_be_read_keeps_nobody_from_the_others(path: Path, text: str) -> None:
    """Else a revocation that comes after it would never be seen."""
    keys = SqliteKeys(path)
    made = key()
    await keys.add(made, PROOF)
    with sqlite3.connect(path) as db:
        db.execute("INSERT INTO keys VALUES (?, 'x', 'bot2', ?)", (b"9" * 32, text))
    db.close()
    assert await keys.every() == [made]
    await keys.add(key("bot2", b"3" * 32), PROOF)
    await keys.revoke([made], 5)
    assert {each.name: each.revoked for each in await keys.every()} == {"bot": 5, "bot2": None}
    await keys.close()
