"""The ledger's SQLite file: its tables, its connections, and how one is opened that others use too.

Pages are small, since every transaction writes whole ones to the log, and the log is moved into the database
only by `engine.state.sqlite_keeper`: a transaction of the hot path never waits for the disk.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from engine.state.sqlite_form import Form, make, prepare
from engine.state.store_fault import StoreFault

#: How long opening waits for others who open it too.
OPEN_S: Final = 10.0

_TABLES: Final = """
CREATE TABLE accounts (
    id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, measure TEXT NOT NULL, shape TEXT NOT NULL,
    most INTEGER NOT NULL, ends_ms INTEGER, period_ms INTEGER NOT NULL, burst INTEGER NOT NULL,
    spent INTEGER NOT NULL, held INTEGER NOT NULL, lost INTEGER NOT NULL, at_ms INTEGER NOT NULL,
    slots TEXT NOT NULL
);
CREATE TABLE names (key TEXT PRIMARY KEY, account INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE holds (
    hold TEXT PRIMARY KEY, owner INTEGER NOT NULL, phase INTEGER NOT NULL, at_ms INTEGER NOT NULL,
    asks TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE owners (
    id INTEGER PRIMARY KEY AUTOINCREMENT, pid INTEGER NOT NULL, lock TEXT NOT NULL, beats INTEGER NOT NULL
);
CREATE TABLE once (key TEXT PRIMARY KEY, until_ms INTEGER NOT NULL) WITHOUT ROWID;
"""
FORM: Final = Form(
    "the state store",
    0x454E474C,
    2,
    _TABLES,
    "serve with the engine that wrote it, or move it away, and what it counted is counted anew",
)


def create(path: Path) -> None:
    """Make the file and its folder where they are missing; a folder of the engine's own stays out of Git.

    Raises:
        StoreFault: it cannot be made, or is no ledger of this version.
    """
    make(path, FORM)
    try:
        db = connect(path)
        try:
            db.execute("PRAGMA page_size = 1024")
            prepare(db, path, FORM)
        finally:
            db.close()
    except sqlite3.Error as error:
        raise StoreFault(f"the state store {path} cannot be opened: {explain(error)}") from error


def connect(path: Path) -> sqlite3.Connection:
    """A connection that waits while others write; for the hot path, `hot` takes that away."""
    db = sqlite3.connect(path, timeout=OPEN_S, isolation_level=None, check_same_thread=False)
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute("PRAGMA wal_autocheckpoint = 0")
    return db


def hot(path: Path) -> sqlite3.Connection:
    """A connection whose calls return at once."""
    db = connect(path)
    db.execute("SELECT count(*) FROM owners").fetchone()  # what the first call sets up is set up now
    db.execute("PRAGMA busy_timeout = 0")
    return db


def is_busy(error: sqlite3.Error) -> bool:
    """Whether it is only that somebody else writes just now."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL)


def explain(error: sqlite3.Error) -> str:
    """What is wrong and what to do."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    known = {
        sqlite3.SQLITE_FULL: "the disk is full; make room",
        sqlite3.SQLITE_READONLY: "it is read-only; let the process write the file and its folder",
        sqlite3.SQLITE_CANTOPEN: "it cannot be opened; let the process write the file and its folder",
        sqlite3.SQLITE_IOERR: "the disk does not answer as it should; look at the machine's log",
        sqlite3.SQLITE_CORRUPT: "it is damaged; move it away, and what it counted is counted anew",
        sqlite3.SQLITE_NOTADB: "it is no SQLite database; move it away, or name another place in `state:`",
    }
    if code == sqlite3.SQLITE_BUSY:
        return "another process has been writing all the time; is one of them stopped?"
    told = known.get(code)
    return f"{told} ({error})" if told is not None else str(error)
