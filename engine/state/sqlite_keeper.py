"""What the ledger's file needs beside the requests, in a thread with a connection of its own.

| how often   | what                                                                               |
|-------------|------------------------------------------------------------------------------------|
| each second | the log is moved into the database once it has grown                               |
| each beat   | this process says that it lives; what dead processes held is freed or counted lost |
| each hour   | windows that ended a week ago, and accounts that count nothing, are forgotten      |

A process is dead when its lock can be had (`owner_lock`), or where nobody can say so, when it has not beaten
for `SILENT_S` by the clock of whoever looks. Should it have been slow only, its late word still counts.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from engine.state import sqlite_file
from engine.state.ledger_accounts import counter_of
from engine.state.owner_lock import Dead, OwnerLock
from engine.state.sqlite_books import LOST, SENT, Books, account_of

log = logging.getLogger("engine.state")

LOOK_S: Final = 1.0
BEAT_S: Final = 5.0
SILENT_S: Final = 60.0
FORGET_S: Final = 3_600.0

#: The log is moved into the database from this size on.
LOG_BYTES: Final = 4 * 2**20

#: An ended window, and a late word for a lost hold, are kept so long.
KEPT_MS: Final = 7 * 24 * 3_600_000

#: What is forgotten by its age: how it is found, and deleted.
_OLD: Final = (
    ("SELECT key FROM accounts WHERE ends_ms < ?", "DELETE FROM names WHERE key = ?"),
    ("SELECT id FROM accounts WHERE ends_ms < ?", "DELETE FROM accounts WHERE id = ?"),
    ("SELECT hold FROM holds WHERE phase = 2 AND at_ms < ?", "DELETE FROM holds WHERE hold = ?"),
    ("SELECT key FROM once WHERE until_ms < ?", "DELETE FROM once WHERE key = ?"),
)
_SOME: Final = (
    "SELECT id, key, measure, shape, most, ends_ms, period_ms, burst, spent, held, lost, at_ms, slots "
    "FROM accounts WHERE id > ? AND shape != 'window' ORDER BY id LIMIT ?"
)
_SAME: Final = (
    "DELETE FROM accounts WHERE id = ? AND spent = ? AND held = ? AND lost = ? AND at_ms = ? AND slots = ?"
)

#: At most so many rows are written in one transaction: the others wait for it.
BATCH: Final = 200


class Keeper:
    """Registers this process as an owner of holds; `start` begins the work, `close` ends it."""

    def __init__(self, path: Path, wall: Callable[[], float]) -> None:
        self._path = path
        self._wall = wall
        self._began = (wall(), time.monotonic())
        self._folder = path.with_name(f"{path.name}-owners")
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="engine-ledger", daemon=True)
        self._heard: dict[int, tuple[int, float]] = {}  # owner -> its beats, and when they were first seen
        self._books = Books(sqlite_file.connect(path))
        self._db = self._books.db
        self.lock = OwnerLock(self._folder)
        made = self._db.execute(
            "INSERT INTO owners VALUES (NULL, ?, ?, 0)", (os.getpid(), self.lock.path.name)
        )
        assert made.lastrowid is not None
        self.owner: int = made.lastrowid
        self.recover()

    def start(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        beat, forget = time.monotonic() + BEAT_S, time.monotonic() + FORGET_S
        while not self._ended.wait(LOOK_S):
            now = time.monotonic()
            try:
                self._move_log()
                if now >= beat:
                    beat = now + BEAT_S
                    self._beat()
                    self.recover()
                if now >= forget:
                    forget = now + FORGET_S
                    self.forget()
            except sqlite3.Error as error:
                log.debug("the state store %s: %s", self._path, error)  # the requests tell it

    def close(self, done: bool) -> None:
        """done: no hold of this process is open; else the next process finds it dead."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        try:
            if done:
                self._db.execute("DELETE FROM owners WHERE id = ?", (self.owner,))
            self._db.close()
        except sqlite3.Error as error:
            log.debug("the state store %s: %s", self._path, error)
        if done:
            self.lock.close()
        else:
            self.lock.let_go()

    def now_ms(self) -> int:
        return int(self._wall() * 1000)

    # --- the log ----------------------------------------------------------------------------------------

    def _move_log(self) -> None:
        try:
            size = self._path.with_name(f"{self._path.name}-wal").stat().st_size
        except OSError:
            return
        if size >= LOG_BYTES:
            _, pages, moved = self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            if pages != moved:  # others went on writing: only a little is left
                kind = "PASSIVE" if size < 4 * LOG_BYTES else "RESTART"  # which lets nobody else write
                _, pages, moved = self._db.execute(f"PRAGMA wal_checkpoint({kind})").fetchone()
            if pages == moved:
                # The next write begins the log anew, which waits for the disk once: so it is this one.
                self._beat()

    def _beat(self) -> None:
        self._db.execute("UPDATE owners SET beats = beats + 1 WHERE id = ?", (self.owner,))

    # --- dead processes ---------------------------------------------------------------------------------

    def recover(self) -> None:
        """Put in order what dead processes left open."""
        others = "SELECT id, lock, beats FROM owners WHERE id != ?"
        owners = self._db.execute(others, (self.owner,)).fetchall()
        for owner, name, beats in owners:
            dead = Dead.find(self._folder / name)
            if dead is not None:
                self._expire(owner, dead.in_doubt)
                self._db.execute("DELETE FROM owners WHERE id = ?", (owner,))
                dead.close()
            elif self._is_silent(owner, beats):
                self._expire(owner, False)

    def _is_silent(self, owner: int, beats: int) -> bool:
        now = time.monotonic()
        seen, since = self._heard.get(owner, (-1, now))
        if seen != beats:
            self._heard[owner] = (beats, now)
            return False
        return now - since >= SILENT_S

    def _expire(self, owner: int, in_doubt: bool) -> None:
        left = "SELECT hold, phase, at_ms, asks FROM holds WHERE owner = ? AND phase != ? LIMIT ?"
        count = lost = 0
        while True:
            with self._books.transaction():
                found = self._db.execute(left, (owner, LOST, BATCH)).fetchall()
                for hold, phase, at_ms, asks in found:
                    phase = SENT if in_doubt else phase
                    self._books.expire(hold, phase, at_ms, asks, self.now_ms())
                    lost += phase == SENT
            count += len(found)
            if not found:
                break
        if count:
            log.warning(
                "a process that ended left %d reserves in %s: %d freed, %d counted as spent",
                count, self._path, count - lost, lost,
            )  # fmt: skip

    # --- forgetting -------------------------------------------------------------------------------------

    def forget(self) -> None:
        """Not by a clock that has jumped ahead: at most as much time has passed as by the steady one."""
        wall, steady = self._began
        now_ms = int(min(self._wall(), wall + time.monotonic() - steady) * 1000)
        before = now_ms - KEPT_MS
        for find, delete in _OLD:
            found = self._db.execute(find, (before,)).fetchall()
            for first in range(0, len(found), BATCH):
                with self._books.transaction():
                    self._db.executemany(delete, found[first : first + BATCH])
        self._forget_blank(now_ms)

    def _forget_blank(self, now_ms: int) -> None:
        """Accounts that a new one would count like since a week, unless somebody uses them just now."""
        last = 0
        while found := self._db.execute(_SOME, (last, BATCH)).fetchall():
            last = found[-1][0]
            with self._books.transaction():
                for row in found:
                    account, kept = account_of(row[1:8]), row[8:]
                    counter = counter_of(account)
                    counter.restore(kept)
                    if counter.blank(now_ms - KEPT_MS) and self._db.execute(_SAME, (row[0], *kept)).rowcount:
                        self._db.execute("DELETE FROM names WHERE key = ?", (account.key,))
