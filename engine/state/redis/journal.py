"""What this host's processes told the store, in a file of their own, for when the store has lost it.

One SQLite file of all processes of a folder (`.engine/redis.db`): per owner and account the figures that were
told last. It is written by a thread, many rows at a time, so it lags by a fraction of a second; what is in it
is never more than what was used, and telling it again changes nothing.
"""

from __future__ import annotations

import logging
import queue
import sqlite3
import threading
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

log = logging.getLogger("engine.state")

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS told (
  owner TEXT NOT NULL, account TEXT NOT NULL, spent TEXT NOT NULL, holds INTEGER NOT NULL,
  about TEXT NOT NULL, until_ms INTEGER NOT NULL, PRIMARY KEY (owner, account)
) WITHOUT ROWID;
"""
_PUT: Final = "INSERT OR REPLACE INTO told VALUES (?, ?, ?, ?, ?, ?)"
_UNWRITTEN: Final = (
    "%s cannot be written, so after a restart this host cannot tell a store that has lost its data what it "
    "had told it before: %s"
)
#: Rows that wait to be written; beyond, the oldest news are worth less than the memory.
_MOST: Final = 10_000


@dataclass(frozen=True, slots=True)
class Told:
    """One owner's figures of one account. spent: JSON, by slot. about: the account. until_ms: epoch."""

    owner: str
    account: str
    spent: str
    holds: int
    about: str
    until_ms: int


def make_folder(path: Path) -> None:
    """One of the engine's own, which stays out of Git. Raises OSError."""
    path.mkdir(parents=True, exist_ok=True)
    ignored = path / ".gitignore"
    if path.name == ".engine" and not ignored.exists():
        ignored.write_text("*\n")


class Journal:
    """Opened by its constructor, which raises OSError or sqlite3.Error where the folder cannot be written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        make_folder(path.parent)
        with closing(self._connect()) as database:
            database.executescript(_SCHEMA)
        self._queue: queue.Queue[list[Told] | None] = queue.Queue(_MOST)
        self._thread = threading.Thread(target=self._write, name="state-journal", daemon=True)
        self._thread.start()
        self.dropped = 0
        self.failed = 0

    def record(self, rows: list[Told]) -> None:
        """Have rows written soon. Never waits."""
        try:
            self._queue.put_nowait(rows)
        except queue.Full:
            self.dropped += len(rows)

    def rows(self, now_ms: int) -> list[Told]:
        """What was told from this folder and still counts. Blocks: call it in a thread."""
        with closing(self._connect()) as database:
            database.execute("DELETE FROM told WHERE until_ms < ?", (now_ms,))
            database.commit()
            rows = database.execute("SELECT * FROM told").fetchall()
        return [Told(*row) for row in rows]

    def close(self) -> None:
        """Write what waits. Blocks."""
        self._queue.put(None)
        self._thread.join(timeout=5)

    def _connect(self) -> sqlite3.Connection:
        database = sqlite3.connect(self._path, timeout=2, isolation_level=None)
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=NORMAL")
        return database

    def _write(self) -> None:
        with closing(self._connect()) as database:
            while True:
                rows, over = self._batch()
                try:
                    database.execute("BEGIN IMMEDIATE")
                    database.executemany(
                        _PUT,
                        [
                            (row.owner, row.account, row.spent, row.holds, row.about, row.until_ms)
                            for row in rows
                        ],
                    )
                    database.execute("COMMIT")
                except sqlite3.Error as error:
                    if database.in_transaction:
                        database.execute("ROLLBACK")
                    if self.failed == 0:
                        log.warning(_UNWRITTEN, self._path, error)
                    self.failed += 1
                if over:
                    return

    def _batch(self) -> tuple[list[Told], bool]:
        """All that waits, after waiting for something."""
        rows: list[Told] = []
        some = self._queue.get()
        while some is not None:
            rows += some
            try:
                some = self._queue.get_nowait()
            except queue.Empty:
                return rows, False
        return rows, True
