"""The ledger's file: shared exactly, there after a crash, and clear where it cannot be used."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine.state import sqlite_keeper, sqlite_ledger
from engine.state.ledger import Account, Ask, Refused
from engine.state.sqlite_ledger import SqliteLedger
from engine.state.store_fault import StoreFault

T0 = round(time.time() * 1000)
MINUTE = 60_000


def month(name: str = "team", limit: int = 100, **more) -> Account:
    return Account(f"budget/{name}/2026-12/a", "cost", "window", limit, ends_ms=T0 + 60 * MINUTE, **more)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / ".engine" / "state.db"


@pytest.fixture
def opened(file: Path):
    """Opens ledgers of one file, and closes them at the end."""
    made: list[SqliteLedger] = []

    def open_one() -> SqliteLedger:
        made.append(SqliteLedger(file))
        return made[-1]

    yield open_one
    for ledger in made:
        ledger.close_now()


def test_two_processes_share_one_count(opened) -> None:
    one, other = opened(), opened()
    assert one.reserve("r1/1", [Ask(month(), 60)], T0) is None
    refused = other.reserve("r2/1", [Ask(month(), 41)], T0)
    assert isinstance(refused, Refused)
    assert (refused.used, refused.retry_after_ms) == (60, 60 * MINUTE)
    assert other.reserve("r2/1", [Ask(month(), 40)], T0) is None
    one.settle("r1/1", [10], T0)
    other.release("r2/1", T0)
    assert [ledger.look([month()], T0)[0].used for ledger in (one, other)] == [10, 10]


def test_what_is_counted_is_there_after_a_restart(opened, file: Path) -> None:
    ledger = SqliteLedger(file)
    ledger.reserve("r1/1", [Ask(month(), 60)], T0)
    ledger.settle("r1/1", [42], T0)
    ledger.close_now()
    assert opened().look([month()], T0)[0].spent == 42
    assert not list(file.parent.glob("state.db-owners/*"))[1:]  # the first's lock is gone


def test_an_old_name_is_counted_on_under_both(opened) -> None:
    one, other = opened(), opened()
    old = month("support")
    new = month("team", was=old.key)
    one.reserve("r1/1", [Ask(old, 40)], T0)
    assert other.look([new], T0)[0].held == 40
    assert other.reserve("r2/1", [Ask(new, 40)], T0) is None
    one.settle("r1/1", [30], T0)
    assert one.reserve("r3/1", [Ask(old, 31)], T0) is not None
    assert one.reserve("r4/1", [Ask(old, 30)], T0) is None
    assert [(account.key, row.used) for account, row in one.rows(T0)] == [(new.key, 100)]


def test_a_refused_ask_leaves_no_account(opened) -> None:
    ledger = opened()
    assert ledger.reserve("r1/1", [Ask(month("new"), 1), Ask(month("small", 1), 2)], T0) is not None
    assert ledger.reserve("r1/2", [Ask(month("other"), 7)], T0) is None  # takes the row that was undone
    assert ledger.reserve("r1/3", [Ask(month("new"), 1)], T0) is None
    assert [row.used for row in ledger.look([month("new"), month("other")], T0)] == [1, 7]


def test_once_is_once_for_all_processes(opened) -> None:
    one, other = opened(), opened()
    assert [one.once("a", MINUTE, T0), other.once("a", MINUTE, T0 + 1), other.once("b", MINUTE, T0)] == [
        True, False, True
    ]  # fmt: skip
    assert other.once("a", MINUTE, T0 + MINUTE)
    assert one.once("a", MINUTE, T0 - 100 * MINUTE)  # the clock went back


def test_large_buckets_of_long_periods_are_kept_exactly(opened) -> None:
    ledger, most = opened(), 10**12
    bucket = Account("limit/l/tokens/", "tokens", "bucket", most, period_ms=30 * 24 * 60 * MINUTE, burst=most)
    assert ledger.reserve("r1/1", [Ask(bucket, most)], T0) is None
    ledger.settle("r1/1", [most], T0)
    assert ledger.look([bucket], T0)[0].left == 0
    assert ledger.look([bucket], T0 + 3 * 24 * 60 * MINUTE)[0].left == most // 10


# --- dead and slow processes --------------------------------------------------------------------------------


DIES = """
import os, signal, sys
from pathlib import Path
from engine.state.ledger import Account, Ask
from engine.state.sqlite_ledger import SqliteLedger
now = int(sys.argv[2])
ledger = SqliteLedger(Path(sys.argv[1]))
account = Account("budget/team/2026-12/a", "cost", "window", 100, ends_ms=now + 3_600_000)
for name, amount in (("done", 30), ("sent", 20), ("held", 10)):
    assert ledger.reserve(f"{name}/1", [Ask(account, amount)], now) is None
ledger.sent("done/1", now)
ledger.settle("done/1", [5], now)
ledger.sent("sent/1", now)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("first", [True, False], ids=["noticed at the start", "noticed while serving"])
def test_a_killed_process_leaves_its_worst_case_and_nothing_held(opened, file: Path, first: bool) -> None:
    ledger = None if first else opened()
    ran = subprocess.run([sys.executable, "-c", DIES, str(file), str(T0)], check=False, capture_output=True)
    assert ran.returncode == -9, ran.stderr
    if ledger is None:
        ledger = opened()
    else:
        assert ledger.look([month()], T0)[0].held == 30
        ledger._keeper.recover()
    row = ledger.look([month()], T0)[0]
    assert (row.spent, row.held, row.lost) == (25, 0, 20)


def test_a_slow_process_that_was_taken_for_dead_has_the_last_word(opened, monkeypatch) -> None:
    slow, other = opened(), opened()
    requests = Account("limit/l/requests/", "requests", "bucket", 60, period_ms=MINUTE, burst=10)
    for hold in ("sent", "held", "late"):
        slow.reserve(hold, [Ask(month(), 20), Ask(requests, 1)], T0)
    slow.sent("sent", T0)
    monkeypatch.setattr(sqlite_keeper, "SILENT_S", 0.0)
    other._keeper.recover()  # hears of it for the first time
    other._keeper.recover()
    row = other.look([month()], T0)[0]
    assert (row.spent, row.held, row.lost) == (20, 0, 20)
    slow.settle("sent", [7, 1], T0)  # a word for what was lost
    slow.sent("held", T0)  # it goes out now: held again
    row = other.look([month()], T0)[0]
    assert (row.spent, row.held, row.lost) == (7, 20, 0)
    slow.settle("held", [20, 1], T0)
    slow.settle("late", [3, 1], T0)  # was freed, and was used all the same
    row = other.look([month()], T0)[0]
    assert (row.spent, row.held, row.lost) == (30, 0, 0)
    assert slow.open_holds() == 0


def test_a_process_in_doubt_counts_all_it_held(opened, file: Path) -> None:
    dying, other = SqliteLedger(file), opened()
    dying.reserve("r1/1", [Ask(month(), 20)], T0)
    dying._keeper.lock.doubt()
    dying._books.db.close()
    dying._keeper.close(done=False)
    other._keeper.recover()
    assert other.look([month()], T0)[0].lost == 20


# --- a file that cannot be used -----------------------------------------------------------------------------


def test_a_file_that_others_write_is_waited_for(opened, file: Path) -> None:
    ledger = opened()
    writer = sqlite3.connect(file, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")

    async def ask() -> None:
        begin = time.perf_counter()
        answer = ledger.reserve("r1/1", [Ask(month(), 20)], T0)
        assert time.perf_counter() - begin < 0.5  # some 3 ms: the loop has other work
        asyncio.get_running_loop().call_later(0.05, writer.execute, "ROLLBACK")
        assert await answer is None
        writer.execute("BEGIN IMMEDIATE")
        ledger.settle("r1/1", [5], T0)
        assert ledger.look([month()], T0)[0].held == 20
        writer.execute("ROLLBACK")
        async with asyncio.timeout(30):
            while ledger.look([month()], T0)[0].spent != 5:
                await asyncio.sleep(0.01)

    asyncio.run(ask())
    writer.close()


def test_a_file_that_somebody_keeps_is_away(opened, file: Path, monkeypatch, caplog) -> None:
    monkeypatch.setattr(sqlite_ledger, "WAIT_S", 0.05)
    ledger = opened()
    writer = sqlite3.connect(file, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")

    async def ask() -> Refused | None:
        return await ledger.reserve("r1/1", [Ask(month(), 20)], T0)

    refused = asyncio.run(ask())
    writer.close()
    assert refused is not None
    assert refused.why == "store"
    assert "is one of them stopped?" in caplog.text


@pytest.fixture
def full(opened):
    """A ledger, and how its disk becomes full or has room again."""
    ledger = opened()
    ledger.reserve("before/1", [Ask(month(), 20), Ask(month("loose"), 1)], T0)

    def fill(is_full: bool) -> None:
        if is_full:
            ledger._books.db.execute("PRAGMA query_only = 1")  # every write fails, as on a read-only file
        else:
            ledger._books.db.execute("PRAGMA query_only = 0")
            ledger._away_until = 0.0

    return ledger, fill


def test_a_file_that_cannot_be_written_does_what_its_accounts_say(full, caplog) -> None:
    ledger, fill = full
    strict, loose = month(), month("loose", on_state_loss="local_share", share=10)
    fill(True)
    for number in range(3):
        refused = ledger.reserve(f"r{number}/1", [Ask(strict, 1)], T0)
        assert isinstance(refused, Refused)
        assert (refused.why, refused.account) == ("store", strict)
    assert ledger.reserve("free/1", [Ask(strict, 0), Ask(loose, 0)], T0) is None  # $0 always fits
    assert ledger.reserve("share/1", [Ask(loose, 8)], T0) is None
    ledger.sent("share/1", T0)
    refused = ledger.reserve("share/2", [Ask(loose, 3)], T0)
    assert isinstance(refused, Refused)
    assert refused.account is loose
    ledger.settle("share/1", [6], T0)
    ledger.settle("before/1", [4, 1], T0)  # cannot be written now
    assert ledger.reserve("share/3", [Ask(loose, 4)], T0) is None
    assert [row.levelname for row in caplog.records] == ["ERROR"]
    assert "read-only" in caplog.text
    assert ledger.away()
    fill(False)
    assert ledger.reserve("after/1", [Ask(strict, 96)], T0) is not None  # 20 are still held
    ledger.release("free/1", T0)  # writes what has waited
    assert ledger.look([strict, loose], T0)[0].spent == 4
    assert ledger.look([strict, loose], T0)[1].spent == 7
    ledger.settle("share/3", [2], T0)
    assert ledger.look([loose], T0)[0].used == 9
    assert caplog.records[-1].message.endswith("can be used again")
    assert ledger.open_holds() == 0


def test_what_hosts_do_not_share_is_counted_in_the_file_and_without_it_here(full) -> None:
    ledger, fill = full
    place = Account("limit/l/concurrent/", "concurrent", "places", 1, local=True)
    assert ledger.reserve("r1/1", [Ask(place, 1)], T0) is None
    assert ledger._books.db.execute("SELECT held FROM accounts WHERE key = ?", (place.key,)).fetchone() == (
        1,
    )
    fill(True)
    assert ledger.reserve("r2/1", [Ask(place, 1)], T0) is None
    assert isinstance(ledger.reserve("r3/1", [Ask(place, 1)], T0), Refused)
    fill(False)


def test_what_goes_out_without_a_mark_puts_the_process_in_doubt(full) -> None:
    ledger, fill = full
    fill(True)
    ledger.sent("before/1", T0)
    lock = ledger._keeper.lock
    assert lock.path.read_bytes() == b"?"
    fill(False)


def test_a_disk_without_room(file: Path, caplog) -> None:
    ledger = SqliteLedger(file)
    pages = ledger._books.db.execute("PRAGMA page_count").fetchone()[0]
    ledger._books.db.execute(f"PRAGMA max_page_count = {pages}")
    refused = None
    for number in range(2_000):
        account = Account(f"budget/b/2026/{number:0200}", "cost", "window", 9, ends_ms=T0 + MINUTE)
        refused = ledger.reserve(f"r{number}/1", [Ask(account, 1)], T0)
        if refused is not None:
            break
    assert isinstance(refused, Refused)
    assert refused.why == "store"
    assert "the disk is full; make room" in caplog.text
    ledger.close_now()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"this is no database, but it is long enough to be one" * 40, "it is no SQLite database"),
        (None, "another program's database"),
    ],
)
def test_another_file_is_not_taken_for_ours(file: Path, content: bytes | None, told: str) -> None:
    file.parent.mkdir()
    if content is not None:
        file.write_bytes(content)
    else:
        db = sqlite3.connect(file)
        db.execute("CREATE TABLE mine (a)")
        db.close()
    with pytest.raises(StoreFault, match=told):
        SqliteLedger(file)


def test_a_file_of_a_later_version_is_left_alone(file: Path) -> None:
    SqliteLedger(file).close_now()
    db = sqlite3.connect(file)
    db.execute("PRAGMA user_version = 1")
    db.close()
    with pytest.raises(StoreFault, match="has version 1, and this engine reads version 2"):
        SqliteLedger(file)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_told(file: Path) -> None:
    file.parent.mkdir(mode=0o500)
    with pytest.raises(StoreFault, match="state: sqlite:PATH"):
        SqliteLedger(file)


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreFault, match="state: sqlite:PATH"):
        SqliteLedger(tmp_path / "file" / "state.db")


def test_the_file_is_its_owners_and_stays_out_of_git(opened, file: Path) -> None:
    opened().reserve("r1/1", [Ask(month(), 1)], T0)
    assert (file.parent / ".gitignore").read_text() == "*\n"
    for path in (file, file.with_name("state.db-wal")):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


# --- the keeper ---------------------------------------------------------------------------------------------


def test_the_log_is_moved_into_the_database(opened, file: Path, monkeypatch) -> None:
    ledger = opened()
    monkeypatch.setattr(sqlite_keeper, "LOG_BYTES", 100_000)
    sizes = []
    for number in range(600):
        ledger.reserve(f"r{number}/1", [Ask(month(limit=10**9), 1)], T0)
        ledger.settle(f"r{number}/1", [1], T0)
        if number % 50 == 0:
            ledger._keeper._move_log()
            sizes.append(file.with_name("state.db-wal").stat().st_size)
    assert max(sizes) < 600_000  # some 2 MB were written
    assert ledger.look([month(limit=10**9)], T0)[0].spent == 600


def test_what_has_nothing_to_tell_is_forgotten(opened, monkeypatch) -> None:
    ledger = opened()
    week, hour = sqlite_keeper.KEPT_MS, 60 * MINUTE
    ended = Account("budget/b/old/", "cost", "window", 9, ends_ms=T0 - week - hour)
    recent = Account("budget/b/new/", "cost", "window", 9, ends_ms=T0 - week + hour)
    rolling = Account("budget/r/rolling/", "cost", "rolling", 9, period_ms=hour)
    place = Account("limit/l/concurrent/", "concurrent", "places", 9)
    bucket = Account("limit/l/requests/", "requests", "bucket", 60, period_ms=MINUTE, burst=9)
    every = [ended, recent, rolling, place, bucket]
    ledger.reserve("r1/1", [Ask(account, 1) for account in every], T0 - 2 * week)
    ledger.settle("r1/1", [1] * 5, T0 - 2 * week)
    ledger.once("a", 1, T0 - 2 * week)
    ledger._keeper.forget()
    db = ledger._books.db
    assert db.execute("SELECT key FROM accounts").fetchall() == [(recent.key,)]
    assert db.execute("SELECT key FROM names").fetchall() == [(recent.key,)]
    assert db.execute("SELECT count(*) FROM once").fetchone() == (0,)
    assert ledger.reserve("r2/1", [Ask(account, 1) for account in every], T0) is None
    assert [row.used for row in ledger.look(every, T0)] == [1, 2, 1, 1, 1]


def test_a_clock_that_jumps_ahead_forgets_nothing(file: Path) -> None:
    wall = [T0 / 1000]
    ledger = SqliteLedger(file, lambda: wall[0])
    ledger.reserve("r1/1", [Ask(month(), 7)], T0)
    ledger.settle("r1/1", [7], T0)
    wall[0] += 365 * 24 * 3600
    ledger._keeper.forget()
    assert ledger.look([month()], T0)[0].spent == 7
    ledger.close_now()


def test_many_partitions_are_forgotten_in_batches(opened) -> None:
    ledger = opened()
    for number in range(450):
        place = Account(f"limit/l/concurrent/{number}", "concurrent", "places", 1)
        ledger.reserve(f"r{number}", [Ask(place, 1)], T0)
        ledger.release(f"r{number}", T0)
    ledger._keeper.forget()
    assert ledger._books.db.execute("SELECT count(*) FROM accounts").fetchone() == (0,)


# --- time ---------------------------------------------------------------------------------------------------


def test_a_budgeted_call_takes_microseconds(opened) -> None:
    ledger, account, best = opened(), month(limit=10**12), float("inf")
    for turn in range(5):
        begin = time.thread_time()
        for number in range(200):
            hold = f"r{turn}.{number}/1"
            ledger.reserve(hold, [Ask(account, 1_000)], T0)
            ledger.sent(hold, T0)
            ledger.settle(hold, (700,), T0)
        best = min(best, (time.thread_time() - begin) / 200)
    logging.getLogger(__name__).info("%.0f us", best * 1e6)
    assert best < 250e-6  # some 40 on a quiet machine


def test_a_figure_beyond_all_bounds_stops_nobody_else(opened) -> None:
    ledger = opened()
    assert ledger.reserve("a", [Ask(month("wild"), 1)], T0) is None
    assert ledger.reserve("b", [Ask(month(), 10)], T0) is None
    ledger.settle("a", [10**20], T0)
    ledger.settle("b", [7], T0)
    assert ledger.look([month()], T0)[0].spent == 7
    assert isinstance(ledger.reserve("c", [Ask(month("wild"), 1)], T0), Refused)
