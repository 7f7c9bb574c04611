"""Client keys in a SQLite file of their own, shared by all processes of a host.

Writes are rare and made to last: each is one transaction, on disk before it is told. Readers ask for
`PRAGMA data_version`, which another process's commit changes, and read all keys again when it did.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar

from engine.state.keys import OTHER_SECRET, KeysFault, StoredKey, readable, taken
from engine.state.sqlite_form import Form, prepare
from engine.state.sqlite_form import make as make_file
from engine.state.store_fault import StoreFault

T = TypeVar("T")

#: How long one waits for others who write.
_BUSY_S: Final = 5.0

_TABLES: Final = """
CREATE TABLE keys (digest BLOB PRIMARY KEY, id TEXT NOT NULL, name TEXT NOT NULL, text TEXT NOT NULL)
    WITHOUT ROWID;
CREATE TABLE proof (one INTEGER PRIMARY KEY CHECK (one = 1), proof BLOB NOT NULL);
"""
FORM: Final = Form("the keys' file", 0x454E474B, 1, _TABLES, "use the engine that wrote it")


class SqliteKeys:
    """Implements `state.keys.KeyStore`. `make`: the file is made where it is missing.

    Raises StoreFault where it cannot be opened as it is, FileNotFoundError where it is missing and is not to
    be made.
    """

    def __init__(self, path: Path, *, make: bool = True) -> None:
        self.path = path
        self._lock = threading.Lock()
        if make:
            make_file(path, FORM)
        elif not path.exists():
            raise FileNotFoundError(path)
        try:
            self._file = _identity(path)
            self._db = _connect(path)
            prepare(self._db, path, FORM)
        except sqlite3.Error as error:
            raise _fault(path, error) from error

    async def version(self) -> object:
        def read(db: sqlite3.Connection) -> object:
            return db.execute("PRAGMA data_version").fetchone()[0] if self._there() else None

        return await self._run(read)

    async def every(self) -> list[StoredKey]:
        def read(db: sqlite3.Connection) -> list[StoredKey]:
            rows = db.execute("SELECT digest, text FROM keys ORDER BY name, digest").fetchall()
            return readable(rows)

        return await self._run(read)

    async def add(self, key: StoredKey, proof: bytes) -> None:
        def write(db: sqlite3.Connection) -> None:
            rows = db.execute("SELECT digest, text FROM keys WHERE name = ?", (key.name,)).fetchall()
            now = time.time()
            if any(each.state(now) == "good" for each in readable(rows)):
                raise taken(key.name)
            _prove(db, proof)
            _put(db, key)

        await self._run(write, writes=True)

    async def replace(self, old: Sequence[StoredKey], new: StoredKey, proof: bytes) -> None:
        def write(db: sqlite3.Connection) -> None:
            _prove(db, proof)
            for key in (*old, new):
                _put(db, key)

        await self._run(write, writes=True)

    async def revoke(self, keys: Sequence[StoredKey], at: int) -> None:
        def write(db: sqlite3.Connection) -> None:
            for key in keys:
                db.execute(
                    "UPDATE keys SET text = json_set(text, '$.revoked', ?) WHERE digest = ?", (at, key.digest)
                )

        await self._run(write, writes=True)

    async def proof(self) -> bytes | None:
        def read(db: sqlite3.Connection) -> bytes | None:
            row = db.execute("SELECT proof FROM proof").fetchone()
            return None if row is None else bytes(row[0])

        return await self._run(read)

    async def close(self) -> None:
        with self._lock:
            self._db.close()

    def _there(self) -> bool:
        """Whether the file that is open still stands at its path."""
        try:
            return _identity(self.path) == self._file
        except OSError:
            return False

    async def _run(self, work: Callable[[sqlite3.Connection], T], *, writes: bool = False) -> T:
        return await asyncio.to_thread(self._work, work, writes)

    def _work(self, work: Callable[[sqlite3.Connection], T], writes: bool) -> T:
        with self._lock:
            try:
                if not writes:
                    return work(self._db)
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    done = work(self._db)
                    self._db.execute("COMMIT")
                finally:
                    if self._db.in_transaction:
                        self._db.execute("ROLLBACK")
                return done
            except sqlite3.Error as error:
                raise _fault(self.path, error) from error


def _connect(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
    db.execute("PRAGMA synchronous = FULL")
    return db


def _prove(db: sqlite3.Connection, proof: bytes) -> None:
    row = db.execute("SELECT proof FROM proof").fetchone()
    if row is None:
        db.execute("INSERT INTO proof VALUES (1, ?)", (proof,))
    elif bytes(row[0]) != proof:
        if db.execute("SELECT 1 FROM keys WHERE json_extract(text, '$.revoked') IS NULL").fetchone():
            raise KeysFault(OTHER_SECRET)
        db.execute("UPDATE proof SET proof = ?", (proof,))


def _put(db: sqlite3.Connection, key: StoredKey) -> None:
    db.execute("INSERT OR REPLACE INTO keys VALUES (?, ?, ?, ?)", (key.digest, key.id, key.name, key.text()))


def _identity(path: Path) -> tuple[int, int]:
    about = path.stat()
    return about.st_dev, about.st_ino


def _fault(path: Path, error: sqlite3.Error) -> StoreFault:
    return StoreFault(f"the keys' file {path} cannot be used: {error}; look at its rights and at the disk")
