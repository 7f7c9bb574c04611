"""The ledger in memory: what is forgotten and when, old names, how quick it is; the rest is the model's."""

from __future__ import annotations

import time

import pytest

import engine.state.memory_ledger as module
from engine.state.ledger import Account, Ask, Refused
from engine.state.memory_ledger import GRACE_MS, MemoryLedger

T0 = 1_800_000_000_000
MINUTE = 60_000


def month(name: str = "team", limit: int = 100, partition: str = "a", **more) -> Account:
    return Account(
        f"budget/{name}/2026-12/{partition}", "cost", "window", limit, ends_ms=T0 + 60 * MINUTE, **more
    )


def test_all_or_none() -> None:
    ledger = MemoryLedger()
    small, big = month("small", 10), month("big")
    refused = ledger.reserve("r1/1", [Ask(big, 20), Ask(small, 20)], T0)
    assert isinstance(refused, Refused)
    assert refused.account is small
    assert [each.used for each in ledger.look([small, big], T0)] == [0, 0]
    assert ledger.reserve("r1/1", [Ask(big, 20), Ask(small, 10)], T0) is None
    assert ledger.open_holds() == 1
    ledger.settle("r1/1", [15, 5], T0)
    assert [each.spent for each in ledger.look([small, big], T0)] == [5, 15]


def test_one_account_asked_twice_has_room_for_both_or_neither() -> None:
    ledger, account = MemoryLedger(), month()
    refused = ledger.reserve("r1/1", [Ask(account, 60), Ask(account, 60)], T0)
    assert isinstance(refused, Refused)
    assert ledger.look([account], T0)[0].held == 0
    assert ledger.reserve("r1/2", [Ask(account, 60), Ask(account, 40)], T0) is None


def test_the_account_that_has_room_last_refuses() -> None:
    ledger = MemoryLedger()
    soon = Account("limit/rate/requests/", "requests", "bucket", 60, period_ms=MINUTE, burst=1)
    ledger.reserve("r1/1", [Ask(soon, 1), Ask(month(), 100)], T0)
    refused = ledger.reserve("r2/1", [Ask(soon, 1), Ask(month(), 1)], T0)
    assert isinstance(refused, Refused)
    assert (refused.account.key, refused.used, refused.retry_after_ms) == (month().key, 100, 60 * MINUTE)


def test_a_reload_with_another_limit_goes_on_with_what_is_counted() -> None:
    ledger = MemoryLedger()
    ledger.reserve("r1/1", [Ask(month(limit=100), 60)], T0)
    assert ledger.reserve("r2/1", [Ask(month(limit=50), 1)], T0) is not None
    assert ledger.reserve("r3/1", [Ask(month(limit=61), 1)], T0) is None


def test_another_shape_begins_anew_and_open_holds_end_where_they_began() -> None:
    ledger = MemoryLedger()
    bucket = Account("limit/rate/tokens/", "tokens", "bucket", 60, period_ms=MINUTE, burst=60)
    sliding = Account("limit/rate/tokens/", "tokens", "rolling", 60, period_ms=MINUTE)
    ledger.reserve("r1/1", [Ask(bucket, 60)], T0)
    assert ledger.reserve("r2/1", [Ask(sliding, 60)], T0) is None
    ledger.settle("r1/1", [60], T0)
    assert ledger.look([sliding], T0)[0].used == 60


def test_an_old_name_is_counted_on_under_both() -> None:
    ledger, old = MemoryLedger(), month("support")
    new = month("team", was=old.key)
    ledger.reserve("r1/1", [Ask(old, 40)], T0)
    assert ledger.look([new], T0)[0].held == 40
    assert ledger.reserve("r2/1", [Ask(new, 40)], T0) is None
    ledger.settle("r1/1", [30], T0)  # begun under the plan before
    assert ledger.reserve("r3/1", [Ask(old, 10)], T0) is None
    assert ledger.reserve("r4/1", [Ask(new, 21)], T0) is not None
    assert ledger.reserve("r4/1", [Ask(new, 20)], T0) is None
    assert [(account.key, row.used) for account, row in ledger.rows(T0)] == [(new.key, 100)]


def test_once() -> None:
    ledger = MemoryLedger()
    assert [ledger.once("alert", MINUTE, T0 + at) for at in (0, 1, MINUTE - 1, MINUTE)] == [
        True, False, False, True
    ]  # fmt: skip
    assert ledger.once("alert", MINUTE, T0 - 100 * MINUTE)


# --- memory -------------------------------------------------------------------------------------------------


def passes(ledger: MemoryLedger, number: int, at: int) -> None:
    """One more partition, used in a window of a minute."""
    account = Account(
        f"budget/b/every-{at // MINUTE}/{number}",
        "cost",
        "window",
        10,
        ends_ms=(at // MINUTE + 1) * MINUTE,
    )
    assert ledger.reserve(f"p{number}", [Ask(account, 1)], at) is None
    ledger.settle(f"p{number}", [1], at)


def test_ended_windows_are_forgotten_after_a_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger, kept = MemoryLedger(), []
    monkeypatch.setattr(module, "GRACE_MS", 10 * MINUTE)
    for number in range(3_000):
        passes(ledger, number, T0 + number * MINUTE // 10)
        kept.append(len(ledger._entries))
    assert max(kept) < 500  # ten minutes' worth are 100


def test_with_many_accounts_ended_windows_go_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MANY", 100)
    ledger = MemoryLedger()
    for number in range(3_000):
        passes(ledger, number, T0 + number * MINUTE // 10)
    assert len(ledger._entries) <= 130


def test_blank_accounts_are_forgotten() -> None:
    ledger = MemoryLedger()
    for number in range(3_000):
        place = Account(f"limit/l/concurrent/{number}", "concurrent", "places", 1)
        bucket = Account(f"limit/l/requests/{number}", "requests", "bucket", 60, period_ms=MINUTE, burst=60)
        assert ledger.reserve(f"p{number}", [Ask(place, 1), Ask(bucket, 1)], T0 + number * 100) is None
        ledger.settle(f"p{number}", [1, 1], T0 + number * 100)
    assert len(ledger._entries) < 200


def test_an_account_is_not_forgotten_while_a_hold_is_open() -> None:
    ledger, account = MemoryLedger(), month("free")
    ledger.reserve("r1/1", [Ask(account, 0)], T0)
    for number in range(100):
        passes(ledger, number, T0)
    ledger.settle("r1/1", [7], T0)
    assert ledger.look([account], T0)[0].spent == 7


def test_beyond_the_most_a_new_account_is_refused_and_a_known_one_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MOST", 5)
    ledger = MemoryLedger()
    for number in range(5):
        passes(ledger, number, T0)
    refused = ledger.reserve("r1/1", [Ask(month("new"), 1)], T0)
    assert isinstance(refused, Refused)
    assert refused.why == "store"
    passes(ledger, 3, T0)


def test_a_clock_that_goes_over_an_end_and_back_finds_what_was_used() -> None:
    ledger, account = MemoryLedger(), month()
    ledger.reserve("r1/1", [Ask(account, 100)], T0)
    ledger.settle("r1/1", [100], T0)
    for number in range(100):  # a year ahead, where the next windows are used
        passes(ledger, number, T0 + 365 * 24 * 60 * MINUTE)
    assert ledger.reserve("r2/1", [Ask(account, 1)], T0 + 1) is not None
    assert GRACE_MS > 60 * MINUTE


# --- time ---------------------------------------------------------------------------------------------------


def test_reserve_and_settle_of_two_accounts_take_microseconds() -> None:
    ledger = MemoryLedger()
    money, rate = (
        month(limit=10**15),
        Account("limit/l/tokens/", "tokens", "bucket", 10**9, period_ms=MINUTE, burst=10**9),
    )
    best = float("inf")
    for _ in range(5):
        begin = time.thread_time()
        for number in range(2_000):
            asks = [Ask(money, 1_000), Ask(rate, 500)]
            ledger.reserve(f"r{number}/1", asks, T0 + number)
            ledger.settle(f"r{number}/1", (700, 300), T0 + number)
        best = min(best, (time.thread_time() - begin) / 2_000)
    assert best < 30e-6  # 3 to 6 us on a quiet machine
