"""Where decision records go: the last ones in memory, and JSON Lines in a file.

A sink is called on the event loop when a request has ended and must return at once. The file's writer puts
the record into a queue that a thread of its own empties: a slow disk delays nobody, and an orderly end
writes everything that is still in the queue.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from engine.runtime.record import DecisionRecord

Sink = Callable[[DecisionRecord], None]

log = logging.getLogger("engine.decisions")

#: So many records wait for their file at most.
WAITING: Final = 100_000
#: A file that could not be written is tried again after this long.
AGAIN_S: Final = 0.2
#: The end of the process waits so long for the file.
CLOSE_S: Final = 5.0
#: Lines of one write.
_AT_ONCE: Final = 1_000


def as_json(record: DecisionRecord) -> dict[str, Any]:
    """A record as plain JSON data, with its total cost in nano-dollars beside the parts."""
    data = dataclasses.asdict(record)
    for attempt, own in zip(data["attempts"], record.attempts, strict=True):
        attempt["cost"]["total"] = own.cost.total
    return {**data, "cost": record.cost}


def _line(record: DecisionRecord) -> bytes:
    text = json.dumps(as_json(record), separators=(",", ":"), ensure_ascii=False)
    return f"{text}\n".encode("utf-8", "backslashreplace")


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

    A file that cannot be written, or only slowly, delays nobody: what did not fit is kept and tried again,
    and that it fails is said once in the log. `WAITING` records are kept at most; later ones are dropped and
    counted in `dropped`.
    """

    def __init__(self, path: Path) -> None:
        """Opens the file, so that a path that cannot be written is an error at the start. Raises OSError."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab", buffering=0)
        self._path = path
        self._queue: queue.SimpleQueue[DecisionRecord | None] = queue.SimpleQueue()
        self._waiting: deque[bytes] = deque()  # lines that are not in the file yet
        self.dropped = 0
        self._failed = False
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="decision-log", daemon=True)
        self._thread.start()

    def __call__(self, record: DecisionRecord) -> None:
        if self._queue.qsize() + len(self._waiting) >= WAITING:
            self.dropped += 1
        else:
            self._queue.put(record)

    def close(self) -> None:
        """Write what is waiting, then close the file. Blocks until the system has it, `CLOSE_S` at most."""
        if self._closed:
            return
        self._closed = True
        self._queue.put(None)
        self._thread.join(CLOSE_S)
        lost = self.dropped + len(self._waiting) + self._queue.qsize()
        if lost:
            log.error("decision log %s: %d records are lost", self._path, lost)

    def _run(self) -> None:
        last = False
        while not last:
            batch = self._batch()
            last = None in batch
            self._waiting.extend(_line(record) for record in batch if record is not None)
            try:
                self._write()
                self._failed = False
            except OSError as error:
                if not self._failed:
                    self._failed = True
                    log.error("decision log %s cannot be written: %s", self._path, error)
                if not last:
                    time.sleep(AGAIN_S)
        self._file.close()

    def _write(self) -> None:
        waiting = self._waiting
        while waiting:
            lines = list(itertools.islice(waiting, _AT_ONCE))
            data = b"".join(lines)
            written = self._file.write(data) or 0
            for line in lines:
                if written < len(line):
                    waiting[0] = line[written:]
                    break
                written -= len(line)
                waiting.popleft()

    def _batch(self) -> list[DecisionRecord | None]:
        """What is in the queue; waits for the first."""
        batch = [self._queue.get()]
        while batch[-1] is not None:
            try:
                batch.append(self._queue.get_nowait())
            except queue.Empty:
                break
        return batch
