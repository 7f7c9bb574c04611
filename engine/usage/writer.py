"""Decision records into the usage store, by a thread of its own: a slow or full disk delays no request.

A sink (`runtime.sinks.Sink`). Records are gathered for a moment and written as one transaction. What cannot
be written is kept and tried again; beyond `WAITING` records the new ones are dropped and counted. A killed
process loses what ended in its last quarter of a second.
"""

from __future__ import annotations

import itertools
import logging
import queue
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import tzinfo
from typing import Any, Final

from engine.plan.types import UsageFile
from engine.runtime.record import DecisionRecord
from engine.usage.store import StoreFault, UsageStore

log = logging.getLogger("engine.usage")

#: So many records wait for the file at most.
WAITING: Final = 100_000
#: How long records are gathered for one transaction.
GATHER_S: Final = 0.25
#: Records of one transaction.
_AT_ONCE: Final = 1_000
#: A file that could not be written is tried again after this long.
AGAIN_S: Final = 1.0
#: Between two looks for what is old, and whether the file is still there.
TIDY_S: Final = 60.0
#: The end of the process waits so long for the file.
CLOSE_S: Final = 5.0


class UsageLog:
    """One process's. failing: the last write failed; the log said why, once."""

    def __init__(
        self,
        store: UsageStore,
        settings: UsageFile,
        zone: tzinfo | None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings
        self.dropped = 0
        self.written = 0
        self.failing: str | None = None
        self._store, self._zone, self._wall = store, zone, wall
        self._queue: queue.SimpleQueue[DecisionRecord | None] = queue.SimpleQueue()
        self._waiting: deque[DecisionRecord] = deque()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="usage-store", daemon=True)
        self._thread.start()

    def __call__(self, record: DecisionRecord) -> None:
        if self.waiting >= WAITING:
            self.dropped += 1
        else:
            self._queue.put(record)

    @property
    def refuses(self) -> str | None:
        """Why no request may be served now, where none may go unrecorded (`required`)."""
        if not self.settings.required:
            return None
        slow = self.waiting > WAITING // 2
        return self.failing or ("its disk is slower than the requests" if slow else None)

    @property
    def waiting(self) -> int:
        """Records that are not in the file yet."""
        return self._queue.qsize() + len(self._waiting)

    def told(self) -> dict[str, Any]:
        """For `/admin/status`."""
        return {
            "file": self.settings.file,
            "written": self.written,
            "waiting": self.waiting,
            "dropped": self.dropped,
            "failing": self.failing,
        }

    def close(self) -> None:
        """Write what is waiting, then close the file. Blocks `CLOSE_S` at most."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._queue.put(None)
        self._thread.join(CLOSE_S)
        lost = self.dropped + self.waiting
        if lost:
            log.error("usage store %s: %d records are lost", self._store.path, lost)

    # --- the thread ---------------------------------------------------------------------------------------

    def _run(self) -> None:
        tidy_at = 0.0
        while True:
            self._gather()
            last = self._closing.is_set()
            good = self._write()
            if last:
                self._store.close()
                return
            if not good:
                self._closing.wait(AGAIN_S)
            elif time.monotonic() >= tidy_at and not self._tidy():
                tidy_at = time.monotonic() + TIDY_S

    def _gather(self) -> None:
        """Move what is in the queue; waits for the first, then a moment for more. None: it ends."""
        if not self._waiting:
            try:
                first = self._queue.get(timeout=TIDY_S)
            except queue.Empty:
                return
            if first is None:
                return
            self._waiting.append(first)
            self._closing.wait(GATHER_S)
        for _ in range(self._queue.qsize()):
            record = self._queue.get_nowait()  # nobody else takes from it
            if record is not None:
                self._waiting.append(record)

    def _write(self) -> bool:
        """Write all that waits; False: it could not be written now."""
        waiting = self._waiting
        while waiting:
            records = list(itertools.islice(waiting, _AT_ONCE))
            try:
                self._store.write(records)
            except sqlite3.Error as error:
                self._fails(str(error))
                return False
            except Exception:
                # A fault of ours in one of them would come up for ever: those are given up.
                log.exception("usage store %s: %d records are lost", self._store.path, len(records))
                self.dropped += len(records)
            else:
                self.written += len(records)
                self.failing = None
            for _ in records:
                waiting.popleft()
        return True

    def _tidy(self) -> bool:
        """Delete some of what is old; True: there is more. Begin anew where somebody took the file away."""
        try:
            if not self._store.stands():
                fresh = UsageStore(self._store.path, self._zone)
                self._store.close()
                self._store = fresh
                log.warning("usage store %s was deleted: a new one is written", fresh.path)
            now = int(self._wall() * 1000)
            return self._store.forget(now - self.settings.keep_ms, now - self.settings.keep_sums_ms)
        except (sqlite3.Error, StoreFault) as error:
            log.warning("usage store %s: what is old was not deleted: %s", self._store.path, error)
            return False

    def _fails(self, why: str) -> None:
        if self.failing is None:
            log.error("usage store %s cannot be written: %s", self._store.path, why)
        self.failing = why
