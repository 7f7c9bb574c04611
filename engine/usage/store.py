"""The usage store: a SQLite file that all processes of a host write, and whoever may read it reads.

    calls    a row for each call (`rows`), kept for a time
    hours    the same summed by the hour, caller and way: what a month is answered from, kept longer
    callers, ways    what many rows share, once
    usage    a view of `calls` with both, for people with an SQL prompt

A batch is one transaction, its sums included, so the two never disagree. WAL without a sync at every commit:
a killed process loses nothing that was written, a machine without power at most the last seconds. The money
is the ledger's; this file is what is told of it.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import tzinfo
from itertools import chain
from pathlib import Path
from typing import Final

from engine.runtime.record import DecisionRecord
from engine.usage.rows import CALLER, COLUMNS, FACTS, NULLABLE, WAY, Caller, Facts, Way, rows_of

#: Stands in the file's header, so that no other database is taken for this one.
APPLICATION: Final = 0x454E4755
#: Counts up with another shape of the tables (`PRAGMA user_version`).
SCHEMA_VERSION: Final = 1

#: What is summed by the hour: name -> over rows of `calls`.
SUMS: Final = {
    "requests": "SUM(requests)",
    "failed": "SUM(requests AND request_failure IS NOT NULL)",
    "cache_hits": "SUM(requests AND cache IS 'hit')",
    "calls": "SUM(attempt > 0)",
    "calls_failed": "SUM(failure IS NOT NULL)",
    "input_tokens": "SUM(input_tokens)",
    "cached_tokens": "SUM(cached_tokens)",
    "cache_write_tokens": "SUM(cache_write_tokens)",
    "output_tokens": "SUM(output_tokens)",
    "reasoning_tokens": "SUM(reasoning_tokens)",
    "search_units": "SUM(search_units)",
    "cost_nanos": "SUM(cost_nanos)",
    "estimated": "SUM(estimated)",
    "estimated_nanos": "SUM(estimated * cost_nanos)",
    "unpriced": "SUM(NOT priced)",
    "duration_ms": "TOTAL(duration_ms)",
}

#: So long a process waits for another one's transaction.
_BUSY_S: Final = 5.0
#: So many records, a millisecond's, are made into rows before the process's other threads get a turn, which
#: costs a busy loop two changes of threads.
_TURN: Final = 250
#: Rows of one statement: each lets go of the interpreter once, and has to get it back from a busy loop. No
#: SQLite takes fewer values than these have.
_MANY: Final = 25
#: Rows deleted in one transaction: nobody waits for longer than that takes.
_STEP: Final = 2_000

_TEXTS: Final = frozenset(
    (
        "id",
        "part_of",
        "asked",
        "revision",
        "request_failure",
        "refused_by",
        "cache",
        "variant",
        "finish",
        "failure",
        "closed",
        "budgets",
    )
)
_REALS: Final = frozenset(("duration_ms", "started_ms", "first_token_ms", "ended_ms"))


class StoreFault(ValueError):
    """A file cannot be used as the usage store. The text names it, says why and what to do."""


def _type(column: str) -> str:
    return "TEXT" if column in _TEXTS else "REAL" if column in _REALS else "INTEGER"


def _shared(table: str, columns: Sequence[str]) -> str:
    listed = ", ".join(f"{name} TEXT NOT NULL" for name in columns)
    return f"CREATE TABLE {table} (n INTEGER PRIMARY KEY, {listed}, UNIQUE ({', '.join(columns)}))"


def _typed(columns: Iterable[str]) -> str:
    return ", ".join(f"{name} {_type(name)}" for name in columns)


_CALLS: Final = f"CREATE TABLE calls (caller INTEGER NOT NULL, way INTEGER NOT NULL, {_typed(FACTS)})"
_HOURS: Final = (
    f"CREATE TABLE hours (slot_ms INTEGER, caller INTEGER, way INTEGER, {_typed(SUMS)}, "
    "PRIMARY KEY (slot_ms, caller, way)) WITHOUT ROWID"
)
_VIEW: Final = (
    f"CREATE VIEW usage AS SELECT {', '.join(COLUMNS)} FROM calls "  # noqa: S608 - own names
    "JOIN callers ON callers.n = caller JOIN ways ON ways.n = way"
)
_SCHEMA: Final = (
    _shared("callers", CALLER),
    _shared("ways", WAY),
    _CALLS,
    "CREATE INDEX calls_at ON calls (at_ms)",
    _HOURS,
    _VIEW,
    f"PRAGMA application_id = {APPLICATION}",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)

_MARKS: Final = ", ".join(["?", "?", *("NULLIF(?, '')" if name in NULLABLE else "?" for name in FACTS)])
_INSERT: Final = f"INSERT INTO calls (caller, way, {', '.join(FACTS)}) VALUES ({_MARKS})"  # noqa: S608
_INSERT_MANY: Final = f"{_INSERT}{f', ({_MARKS})' * (_MANY - 1)}"
_ADDED: Final = ", ".join(f"{name} = {name} + excluded.{name}" for name in SUMS)
_SUM: Final = (
    f"INSERT INTO hours SELECT slot_ms, caller, way, {', '.join(SUMS.values())} "  # noqa: S608 - own names
    "FROM calls WHERE rowid > ? GROUP BY slot_ms, caller, way "
    f"ON CONFLICT (slot_ms, caller, way) DO UPDATE SET {_ADDED}"
)


class UsageStore:
    """The writing side. Everything blocks, so it belongs to a thread; one at a time may use it.

    zone: the workspace's time zone: its hours are what is summed by.
    """

    def __init__(self, path: Path, zone: tzinfo | None = None) -> None:
        """Opens the file, and makes it where there is none. Raises StoreFault."""
        self.path, self._zone = path, zone
        try:
            _create(path)
            self._db = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.Error) as error:
            raise _fault(path, error) from None
        try:
            _prepare(self._db)
            self._inode = path.stat().st_ino
        except (OSError, sqlite3.Error, StoreFault) as error:
            self._db.close()
            raise _fault(path, error) from None

    def write(self, records: Iterable[DecisionRecord]) -> None:
        """All of them, or with an sqlite3.Error none."""
        rows: list[tuple[Caller, Way, Facts]] = []
        for count, record in enumerate(records):
            rows += rows_of(record, self._zone)
            if count % _TURN == 0:
                time.sleep(0)  # the event loop of this process waits for the same interpreter
        with self._transaction() as db:
            callers = _numbers(db, "callers", CALLER, {row[0] for row in rows})
            ways = _numbers(db, "ways", WAY, {row[1] for row in rows})
            (before,) = db.execute("SELECT COALESCE(MAX(rowid), 0) FROM calls").fetchone()
            made = [(callers[who], ways[how], *facts) for who, how, facts in rows]
            whole = len(made) // _MANY * _MANY
            for first in range(0, whole, _MANY):
                db.execute(_INSERT_MANY, [*chain.from_iterable(made[first : first + _MANY])])
            db.executemany(_INSERT, made[whole:])
            db.execute(_SUM, (before,))

    def forget(self, calls_before_ms: int, hours_before_ms: int) -> bool:
        """Delete some of what is older. True: there may be more of it. Raises sqlite3.Error."""
        with self._transaction() as db:
            calls = db.execute(
                "DELETE FROM calls WHERE rowid IN "
                "(SELECT rowid FROM calls WHERE at_ms < ? ORDER BY at_ms LIMIT ?)",
                (calls_before_ms, _STEP),
            ).rowcount
            hours = db.execute(
                "DELETE FROM hours WHERE (slot_ms, caller, way) IN "
                "(SELECT slot_ms, caller, way FROM hours WHERE slot_ms < ? LIMIT ?)",
                (hours_before_ms, _STEP),
            ).rowcount
        return _STEP in (calls, hours)

    def stands(self) -> bool:
        """Whether what is written is in the file at `path`: nobody has deleted or replaced it."""
        try:
            return self.path.stat().st_ino == self._inode
        except OSError:
            return False

    def close(self) -> None:
        self._db.close()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Begun for writing, so that whoever else writes is waited for here and nowhere later."""
        db = self._db
        db.execute("BEGIN IMMEDIATE")
        try:
            yield db
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                with contextlib.suppress(sqlite3.Error):  # the first error is the one to tell
                    db.execute("ROLLBACK")
            raise


def _create(path: Path) -> None:
    """Names of keys and tags are nobody's business but the operator's, and none of Git's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ignored = path.parent / ".gitignore"
    if path.parent.name == ".engine" and not ignored.exists():
        ignored.write_text("*\n")
    # Never opened once it exists: closing it again would take away the locks that this process's SQLite has.
    if not path.exists():
        with contextlib.suppress(FileExistsError):  # made by another process meanwhile
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def _prepare(db: sqlite3.Connection) -> None:
    _in_wal(db)
    db.execute("PRAGMA synchronous = NORMAL")
    if check_version(db) == SCHEMA_VERSION:
        return
    db.execute("BEGIN IMMEDIATE")  # several workers begin at once: one makes the tables
    try:
        if check_version(db) == 0:
            for statement in _SCHEMA:
                db.execute(statement)
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _in_wal(db: sqlite3.Connection) -> None:
    """SQLite does not wait for others with this one statement."""
    until = time.monotonic() + _BUSY_S
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.01)


def check_version(db: sqlite3.Connection) -> int:
    """The version of the tables; 0: there are none. Raises StoreFault for another than ours."""
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if application == APPLICATION:
        if version != SCHEMA_VERSION:
            raise StoreFault(f"its tables are of version {version}, this engine's of {SCHEMA_VERSION}")
        return SCHEMA_VERSION
    if application or version or db.execute("SELECT COUNT(*) FROM sqlite_master").fetchone() != (0,):
        raise StoreFault("it is the database of something else")
    return 0


def _numbers(
    db: sqlite3.Connection, table: str, columns: Sequence[str], values: Iterable[tuple[str, ...]]
) -> dict[tuple[str, ...], int]:
    """The number of each combination, also of those that are new."""
    marks = ", ".join("?" * len(columns))
    same = " AND ".join(f"{name} = ?" for name in columns)
    found: dict[tuple[str, ...], int] = {}
    for each in values:
        row = db.execute(f"SELECT n FROM {table} WHERE {same}", each).fetchone()  # noqa: S608 - own names
        if row is None:
            number = db.execute(f"INSERT INTO {table} VALUES (NULL, {marks})", each).lastrowid  # noqa: S608
            assert number is not None
            found[each] = number
        else:
            found[each] = row[0]
    return found


def _fault(path: Path, error: Exception) -> StoreFault:
    why = getattr(error, "strerror", None) or str(error)
    return StoreFault(
        f"{path} cannot be the usage store: {why}; name another file in engine.yaml "
        "(usage: {file: ...}), or write `usage: off`"
    )
