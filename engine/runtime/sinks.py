"""Where decision records go: the last ones in memory, and JSON Lines in a file.

A sink is called on the event loop when a request has ended and must return at once. The file's writer puts
the record into a queue that a thread of its own empties: a slow disk delays nobody, and an orderly end
writes everything that is still in the queue.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import queue
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.runtime.record import DecisionRecord

Sink = Callable[[DecisionRecord], None]

log = logging.getLogger("engine.decisions")


def as_json(record: DecisionRecord) -> dict[str, Any]:
    """A record as plain JSON data, with its total cost in nano-dollars beside the parts."""
    data = dataclasses.asdict(record)
    for attempt, own in zip(data["attempts"], record.attempts, strict=True):
        attempt["cost"]["total"] = own.cost.total
    return {**data, "cost": record.cost}


class Ring:
    """The last `size` records, oldest first."""

    def __init__(self, size: int = 1_000) -> None:
        self._records: deque[DecisionRecord] = deque(maxlen=size)

    def __call__(self, record: DecisionRecord) -> None:
        self._records.append(record)

    def last(self, count: int | None = None) -> list[DecisionRecord]:
        """The latest records, oldest first."""
        records = list(self._records)
        return records if count is None else records[-count:]


class JsonLines:
    """Appends one JSON object a record to a file.

    The queue has no bound: a record is small, and one that is lost cannot be audited. A file that cannot be
    written is said once in the log; what did not fit is kept and tried again with the next record.
    """

    def __init__(self, path: Path) -> None:
        """Opens the file, so that a path that cannot be written is an error at the start. Raises OSError."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab", buffering=0)
        self._path = path
        self._queue: queue.SimpleQueue[DecisionRecord | None] = queue.SimpleQueue()
        self._waiting = b""  # lines that are not in the file yet
        self._failed = False
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="decision-log", daemon=True)
        self._thread.start()

    def __call__(self, record: DecisionRecord) -> None:
        self._queue.put(record)

    def close(self) -> None:
        """Write what is waiting, then close the file. Blocks until the system has it."""
        if self._closed:
            return
        self._closed = True
        self._queue.put(None)
        self._thread.join()
        self._file.close()
        if self._waiting:
            log.error("decision log %s: %d records are lost", self._path, self._waiting.count(b"\n"))

    def _run(self) -> None:
        last = False
        while not last:
            batch = self._batch()
            last = None in batch
            lines = (json.dumps(as_json(r), separators=(",", ":"), ensure_ascii=False) for r in batch if r)
            self._waiting += "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")
            try:
                self._write()
                self._failed = False
            except OSError as error:
                if not self._failed:
                    self._failed = True
                    log.error("decision log %s cannot be written: %s", self._path, error)

    def _write(self) -> None:
        while self._waiting:
            self._waiting = self._waiting[self._file.write(self._waiting) :]

    def _batch(self) -> list[DecisionRecord | None]:
        """What is in the queue; waits for the first."""
        batch = [self._queue.get()]
        while batch[-1] is not None:
            try:
                batch.append(self._queue.get_nowait())
            except queue.Empty:
                break
        return batch
