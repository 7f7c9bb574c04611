"""The writer's thread: nobody waits for it, an orderly end loses nothing, what cannot be written is told."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from recorded import START, record

from engine.plan.types import UsageFile
from engine.usage import writer
from engine.usage.rows import HOUR_MS
from engine.usage.store import UsageStore
from engine.usage.writer import UsageLog

KEEP = UsageFile("u.db", keep_ms=HOUR_MS, keep_sums_ms=2 * HOUR_MS)
REQUIRED = UsageFile("u.db", HOUR_MS, HOUR_MS, required=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "u.db"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "AGAIN_S", 0.01)
    monkeypatch.setattr(writer, "GATHER_S", 0.01)


def ids(path: Path) -> list[str]:
    db = sqlite3.connect(path)
    try:
        return [row[0] for row in db.execute("SELECT id FROM calls ORDER BY rowid")]
    finally:
        db.close()


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.fixture
def locked(path: Path) -> Iterator[Callable[[], None]]:
    """Somebody else's transaction on the store, until called."""
    UsageStore(path).close()
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    yield lambda: db.execute("COMMIT")
    db.close()


def opened(path: Path, settings: UsageFile = KEEP) -> UsageLog:
    store = UsageStore(path)
    store._db.execute("PRAGMA busy_timeout = 1")
    return UsageLog(store, settings, None, wall=lambda: START)


def test_an_orderly_end_loses_nothing(path: Path) -> None:
    sink = opened(path)
    for number in range(2_500):
        sink(record(f"r{number}"))
    sink.close()
    sink.close()
    assert ids(path) == [f"r{number}" for number in range(2_500)]
    assert (sink.written, sink.waiting, sink.dropped) == (2_500, 0, 0)


def test_what_cannot_be_written_waits_and_is_told_once(
    path: Path,
    locked: Callable[[], None],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sink = opened(path, REQUIRED)
    write, tries = sink._store.write, []
    monkeypatch.setattr(sink._store, "write", lambda records: (tries.append(len(records)), write(records)))
    assert sink.refuses is None
    sink(record("first"))
    until(lambda: sink.failing is not None)
    sink(record("second"))
    assert "locked" in (sink.refuses or "")
    assert sink.told()["failing"] == sink.failing
    until(lambda: tries.count(2) > 2)  # it has been tried again meanwhile
    assert caplog.text.count("cannot be written") == 1
    locked()
    until(lambda: sink.failing is None and sink.waiting == 0)
    assert sink.refuses is None
    sink.close()
    assert ids(path) == ["first", "second"]


def test_who_does_not_require_it_is_never_refused(path: Path, locked: Callable[[], None]) -> None:
    sink = opened(path)
    sink(record())
    until(lambda: sink.failing is not None)
    assert sink.refuses is None
    locked()
    sink.close()


def test_no_more_than_so_many_wait(
    path: Path, locked: Callable[[], None], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(writer, "WAITING", 10)
    sink = opened(path, REQUIRED)
    for number in range(25):
        sink(record(f"r{number}"))
    assert (sink.waiting, sink.dropped) == (10, 15)
    assert sink.refuses is not None
    sink.close()
    assert "25 records are lost" in caplog.text


def test_a_record_that_no_row_can_be_made_of_is_lost_alone(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sink = opened(path)
    sink(record("good"))
    until(lambda: sink.written == 1)
    bad = record("bad")
    bad.at = "never"
    sink(bad)
    until(lambda: sink.dropped == 1)
    sink(record("later"))
    sink.close()
    assert ids(path) == ["good", "later"]
    assert "1 records are lost" in caplog.text


def test_what_is_old_is_deleted(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "TIDY_S", 0.01)
    store = UsageStore(path)
    store.write([record("old", -7200.0), record("young", -60.0)])
    store.close()
    sink = opened(path)
    until(lambda: ids(path) == ["young"])
    sink.close()


def test_a_file_that_was_taken_away_is_begun_anew(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(writer, "TIDY_S", 0.01)
    sink = opened(path)
    sink(record("before"))
    until(lambda: sink.written == 1)
    path.unlink()
    until(lambda: path.exists())
    sink(record("after"))
    sink.close()
    assert ids(path) == ["after"]
    assert "was deleted" in caplog.text


def test_a_full_disk(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As SQLite says it: a file that may grow no more."""
    UsageStore(path).close()
    store = UsageStore(path)
    (pages,) = store._db.execute("PRAGMA page_count").fetchone()
    store._db.execute(f"PRAGMA max_page_count = {pages}")
    sink = UsageLog(store, REQUIRED, None, wall=lambda: START)
    for number in range(300):
        sink(record(f"r{number}"))
    until(lambda: sink.failing is not None)
    assert "full" in (sink.refuses or "")
    assert sink.waiting + sink.written == 300  # a first few found room where the thread was quick
    assert sink.waiting > 200
    store._db.execute("PRAGMA max_page_count = 100000")
    until(lambda: sink.written == 300)
    sink.close()
    assert len(ids(path)) == 300
    assert caplog.text.count("cannot be written") == 1


def test_a_killed_process_loses_its_last_moment_only(path: Path) -> None:
    """SIGKILL at any time: what it said to be written is there, whole, and agrees with the sums."""
    code = """
import sys
sys.path.append(sys.argv[2])
from pathlib import Path
from recorded import record
from engine.plan.types import UsageFile
from engine.usage import writer
from engine.usage.store import UsageStore
writer.GATHER_S = 0.002
sink = writer.UsageLog(UsageStore(Path(sys.argv[1])), UsageFile("u.db", 10**15, 10**15), None)
number = 0
while True:
    for _ in range(10):
        sink(record(f"r{number}"))
        number += 1
    print(sink.written, flush=True)
    import time; time.sleep(0.001)
"""
    command = [sys.executable, "-c", code, str(path), str(Path(__file__).parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = 0
        while said < 500:
            said = int(process.stdout.readline())
        process.kill()
    kept = ids(path)
    assert len(kept) >= said
    assert kept == [f"r{number}" for number in range(len(kept))]
    db = sqlite3.connect(path)
    assert db.execute("SELECT SUM(requests), SUM(cost_nanos) FROM hours").fetchone() == (
        len(kept),
        7 * len(kept),
    )
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()
