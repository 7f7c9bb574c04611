"""The usage store: what a record becomes, batches of several processes, sums, retention, bad files."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from recorded import START, attempt, record

from engine.state.sqlite_ledger import SqliteLedger
from engine.usage.rows import COLUMNS, FACTS, HOUR_MS, rows_of, slot_of
from engine.usage.store import SUMS, StoreFault, UsageStore
from engine.wire.pricing import Cost


def rows(made):
    """The rows of a record as maps."""
    return [dict(zip(COLUMNS, (*who, *way, *facts), strict=True)) for who, way, facts in rows_of(made)]


def read(path: Path, query: str) -> list[tuple]:
    db = sqlite3.connect(path)
    try:
        return db.execute(query).fetchall()
    finally:
        db.close()


def test_a_request_counts_once_and_each_call_is_a_row() -> None:
    made = record(
        "r1",
        0.0,
        attempt(1, "far", failure="connect", cost=Cost(), usage={}),
        attempt(2, "judge", role="judge"),
        attempt(3, "near", estimated=True, reserved=50, credential="main", closed="settled"),
        key="k1",
        key_name="bot",
        org="acme",
        tags={"team": "support", "a": "b"},
        cache="miss",
    )
    told = rows(made)
    assert [(r["attempt"], r["role"], r["requests"]) for r in told] == [
        (1, "answer", 0),
        (2, "judge", 0),
        (3, "answer", 1),
    ]
    assert {(r["key"], r["key_name"], r["org"], r["tags"]) for r in told} == {
        ("k1", "bot", "acme", '{"a":"b","team":"support"}')
    }
    last = told[2]
    assert (last["cost_nanos"], last["estimated"], last["reserved_nanos"]) == (7, 1, 50)
    assert (last["request_status"], last["cache"], last["duration_ms"]) == (200, "miss", 10.0)
    assert (told[0]["request_status"], told[0]["failure"], told[0]["cost_nanos"]) == ("", "connect", 0)
    assert (last["at_ms"], last["slot_ms"]) == (START * 1000, START * 1000)


def test_the_call_that_served_stands_for_the_request() -> None:
    told = rows(record("r", 0.0, attempt(1, "near"), attempt(2, "other", role="hedge", failure="cancelled")))
    assert [r["requests"] for r in told] == [1, 0]
    failed = rows(record("r", 0.0, attempt(1, failure="server"), attempt(2, failure="timeout"), status=502))
    assert [r["requests"] for r in failed] == [0, 1]


def test_a_request_without_calls_is_a_row_and_a_copy_without_calls_none() -> None:
    made = record("r", failure="rate_limited", status=429)
    made.attempts = []
    (row,) = rows(made)
    assert (row["attempt"], row["requests"], row["request_status"], row["deployment"]) == (0, 1, 429, "")
    made.aside_of = "other"
    assert rows(made) == []


@pytest.mark.parametrize("field", ["aside_of", "probe_of"])
def test_what_no_client_waited_for_is_calls_without_a_request(field: str) -> None:
    (row,) = rows(record("r", 0.0, attempt(1, role="mirror"), **{field: "x"}))
    assert (row["requests"], row["cost_nanos"]) == (0, 7)


def test_whatever_vendors_and_clients_say_can_be_stored(tmp_path: Path) -> None:
    usage = {"input_tokens": 10**30, "output_tokens": -5, "cached_tokens": 2.0, "search_units": float("inf")}
    store = UsageStore(tmp_path / "u.db")
    store.write([record("r", 0.0, attempt(usage=usage), model="\ud800" + "x" * 1000, tags={"t": "\udfff"})])
    store.close()
    found = read(
        tmp_path / "u.db", "SELECT input_tokens, output_tokens, cached_tokens, search_units, asked FROM usage"
    )
    assert found == [(10**15, 0, 2, 10**15, "\\ud800" + "x" * 255)]


@pytest.mark.parametrize(
    ("zone", "shift_min"),
    [(None, 0), ("Europe/Berlin", 0), ("Asia/Kolkata", 30), ("Asia/Kathmandu", 15), ("America/St_Johns", 30)],
)
def test_hours_are_those_of_the_zone(zone: str | None, shift_min: int) -> None:
    at = int(START * 1000) + 59 * 60_000
    slot = slot_of(at, ZoneInfo(zone) if zone else None)
    assert 0 <= at - slot < HOUR_MS
    assert slot % HOUR_MS == shift_min * 60_000


def test_batches_add_up(tmp_path: Path) -> None:
    store = UsageStore(tmp_path / "deep" / "u.db")
    for batch in range(5):
        store.write([record(f"{batch}-{n}", batch * 600.0 + n, key=f"k{n % 2}") for n in range(20)])
    store.close()
    path = tmp_path / "deep" / "u.db"
    assert read(path, "SELECT COUNT(*), SUM(cost_nanos) FROM usage") == [(100, 700)]
    from_hours = read(path, f"SELECT {', '.join(f'SUM({name})' for name in SUMS)} FROM hours")
    from_calls = read(path, f"SELECT {', '.join(SUMS.values())} FROM calls")
    assert from_hours == from_calls
    assert read(path, "SELECT COUNT(*) FROM hours") == [(2,)]
    assert path.stat().st_mode & 0o077 == 0


def test_a_batch_is_whole_or_not_there(tmp_path: Path) -> None:
    store = UsageStore(tmp_path / "u.db")
    store._db.execute(
        "CREATE TRIGGER no BEFORE INSERT ON calls WHEN NEW.id = 'bad' BEGIN SELECT RAISE(FAIL, 'no'); END"
    )
    with pytest.raises(sqlite3.Error):
        store.write([record("good"), record("bad")])
    store.write([record("other")])
    store.close()
    assert read(tmp_path / "u.db", "SELECT id FROM calls") == [("other",)]
    assert read(tmp_path / "u.db", "SELECT SUM(requests) FROM hours") == [(1,)]


def test_several_processes_share_the_file(tmp_path: Path) -> None:
    """All begin at once: one makes the tables, none loses a record."""
    code = """
import sys
sys.path.append(sys.argv[2])
from pathlib import Path
from recorded import record
from engine.usage.store import UsageStore
store = UsageStore(Path(sys.argv[1]))
for batch in range(20):
    store.write([record(f"{sys.argv[3]}-{batch}-{n}") for n in range(10)])
store.close()
"""
    path, here = tmp_path / "u.db", str(Path(__file__).parent)
    began = [subprocess.Popen([sys.executable, "-c", code, str(path), here, str(n)]) for n in range(3)]
    assert [process.wait(50) for process in began] == [0, 0, 0]
    assert read(path, "SELECT COUNT(DISTINCT id), COUNT(*) FROM calls") == [(600, 600)]
    assert read(path, "SELECT SUM(requests), COUNT(*) FROM hours") == [(600, 1)]


def test_what_is_old_goes_in_small_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.usage.store._STEP", 30)
    store = UsageStore(tmp_path / "u.db")
    store.write([record(str(n), n * 360.0) for n in range(100)])  # ten hours
    now = int(START * 1000) + 10 * HOUR_MS
    steps = 1
    while store.forget(now - 2 * HOUR_MS, now - 5 * HOUR_MS):
        steps += 1
    store.close()
    assert steps == 3
    assert read(tmp_path / "u.db", "SELECT COUNT(*) FROM calls") == [(20,)]
    assert read(tmp_path / "u.db", "SELECT COUNT(*), SUM(requests) FROM hours") == [(5, 50)]


def _other(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE mine (x)")
    db.commit()
    db.close()


def _newer(path: Path) -> None:
    UsageStore(path).close()
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda path: path.write_text("no database " * 100), "not a database"),
        (lambda path: path.mkdir(), "unable to open"),
        (_other, "the database of something else"),
        (_newer, "version 99"),
        (lambda path: SqliteLedger(path).close_now(), "the database of something else"),
        (lambda path: os.mkfifo(path), "cannot be the usage store"),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path: Path, spoil, why: str) -> None:
    path = tmp_path / "u.db"
    spoil(path)
    with pytest.raises(StoreFault, match=why) as told:
        UsageStore(path)
    assert str(path) in str(told.value)
    assert "usage: off" in str(told.value)


def test_every_column_of_the_view_is_a_row_s(tmp_path: Path) -> None:
    UsageStore(tmp_path / "u.db").close()
    names = [name for _, name, *_ in read(tmp_path / "u.db", "PRAGMA table_info(usage)")]
    assert tuple(names) == COLUMNS
    assert set(FACTS) < set(COLUMNS)


def test_a_second_store_on_the_file_leaves_the_first_its_locks(tmp_path: Path) -> None:
    """As after a reload: POSIX drops a process's locks with any file of it that is closed."""
    path = tmp_path / ".engine" / "u.db"
    first = UsageStore(path)
    first._db.execute("BEGIN IMMEDIATE")
    UsageStore(path).close()
    code = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('BEGIN IMMEDIATE')"
    other = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True)
    assert "database is locked" in other.stderr
    first._db.execute("ROLLBACK")
    first.close()
    assert (path.parent / ".gitignore").read_text() == "*\n"
