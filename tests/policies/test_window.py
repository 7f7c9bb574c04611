"""Counts of the last while, beside a plain list of what happened."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.policies.window import SLOTS, CallWindow

WINDOW = 1_000


def test_what_is_too_old_falls_away() -> None:
    window = CallWindow(WINDOW)
    window.add(False, 0)
    window.add(True, 950)
    window.turn(999)
    assert (window.calls, window.failed, window.share) == (2, 1, 0.5)
    window.turn(1_000)
    assert (window.calls, window.failed, window.share) == (1, 0, 0.0)
    window.turn(1_900)
    assert (window.calls, window.failed, window.share) == (0, 0, 0.0)


def test_a_run_lasts_until_a_call_goes_well_or_nothing_is_left() -> None:
    window = CallWindow(WINDOW)
    for _ in range(3):
        window.add(False, 0)
    assert window.run == 3
    window.add(True, 0)
    assert window.run == 0
    window.add(False, 0)
    window.turn(10 * WINDOW)
    assert window.run == 0


def test_forgetting() -> None:
    window = CallWindow(WINDOW)
    window.add(False, 5)
    window.forget()
    assert (window.calls, window.failed, window.run) == (0, 0, 0)


@given(st.lists(st.tuples(st.booleans(), st.integers(-50, 700)), max_size=60))
def test_it_counts_what_a_list_would(steps: list[tuple[bool, int]]) -> None:
    """A clock that goes back stands still."""
    window, ended, now, latest = CallWindow(WINDOW), [], 0, 0
    for ok, passed in steps:
        now = max(0, now + passed)
        window.add(ok, now)
        latest = max(latest, now)
        ended.append((latest // (WINDOW // SLOTS), ok))
        kept = [good for slot, good in ended if slot > latest // (WINDOW // SLOTS) - SLOTS]
        assert (window.calls, window.failed) == (len(kept), kept.count(False))
