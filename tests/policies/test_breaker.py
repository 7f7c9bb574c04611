"""The circuit breaker: its table row by row, its measure, and a machine that never lets two trials in."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from engine.plan.types import Breaker
from engine.policies.breaker import (
    JITTER,
    LONGEST_PAUSE_MS,
    TRIAL_PATIENCE_MS,
    TRIAL_RETRY_MS,
    CircuitBreaker,
)

FIVE = Breaker(open_at=0.5, calls=4, window_ms=10_000, pause_ms=1_000)


def opened(at: int = 0, settings: Breaker = FIVE, draw: float = 0.0) -> CircuitBreaker:
    breaker = CircuitBreaker(settings)
    for _ in range(settings.calls):
        breaker.ended(False, at, draw)
    assert breaker.state == "open"
    return breaker


@pytest.mark.parametrize(
    ("calls", "becomes"),
    [
        pytest.param("xxx", "closed", id="fewer-calls-than-it-takes"),
        pytest.param("xxxx", "open", id="all-fail"),
        pytest.param("ooxx", "open", id="the-share-is-reached"),
        pytest.param("xxoo", "closed", id="never-after-a-call-that-went-well"),
        pytest.param("xxoox", "open", id="share-above"),
        pytest.param("oooox", "closed", id="share-below"),
        pytest.param("o" * 1000 + "xxx", "closed", id="three-after-many"),
        pytest.param("o" * 1000 + "xxxx", "open", id="an-outage-after-many"),
    ],
)
def test_the_measure(calls: str, becomes: str) -> None:
    breaker = CircuitBreaker(FIVE)
    told = [breaker.ended(call == "o", 0, 0.0) for call in calls]
    assert breaker.state == becomes
    assert told.count(True) == (becomes == "open")


def test_old_calls_do_not_count() -> None:
    breaker = CircuitBreaker(FIVE)
    for _ in range(3):
        breaker.ended(False, 0, 0.0)
    assert not breaker.ended(False, 10_000, 0.0)


def test_open_until_the_pause_is_over_then_one_trial() -> None:
    breaker = opened(at=100)
    assert breaker.wait_ms(100) == 1_000
    assert breaker.wait_ms(1_099) == 1
    assert breaker.wait_ms(1_100) is None
    trial = breaker.begin_trial(1_100)
    assert breaker.state == "half_open"
    assert breaker.wait_ms(1_100 + TRIAL_PATIENCE_MS - 1) == TRIAL_RETRY_MS
    breaker.trial_ended(trial, True, 2_000, 0.0)
    assert breaker.state == "closed"
    assert breaker.wait_ms(2_000) is None
    assert breaker.window.calls == 0


def test_a_cancelled_trial_gives_its_place_back() -> None:
    breaker = opened()
    first = breaker.begin_trial(1_000)
    breaker.trial_ended(first, None, 1_000, 0.0)
    assert (breaker.state, breaker.wait_ms(1_000)) == ("half_open", None)
    second = breaker.begin_trial(1_000)
    breaker.trial_ended(first, False, 1_000, 0.0)
    assert breaker.state == "half_open", "a trial that is over says nothing bad any more"
    breaker.trial_ended(second, False, 1_000, 0.0)
    assert breaker.wait_ms(1_000) == 2_000


def test_a_trial_that_says_nothing_does_not_keep_others_away_for_ever() -> None:
    breaker = opened()
    silent = breaker.begin_trial(1_000)
    now = 1_000 + TRIAL_PATIENCE_MS
    assert breaker.wait_ms(now) is None
    breaker.begin_trial(now)
    assert breaker.wait_ms(now) == TRIAL_RETRY_MS
    breaker.trial_ended(silent, True, now, 0.0)
    assert breaker.state == "closed", "it was only slow"


def test_pauses_double_up_to_the_longest_and_begin_anew_after_a_good_trial() -> None:
    breaker, now, pauses = opened(), 0, []
    for _ in range(7):
        pause = breaker.wait_ms(now)
        assert pause is not None
        pauses.append(pause)
        now += pause
        breaker.trial_ended(breaker.begin_trial(now), False, now, 0.0)
    assert pauses == [1_000, 2_000, 4_000, 8_000, 16_000, LONGEST_PAUSE_MS, LONGEST_PAUSE_MS]
    now += 60_000
    breaker.trial_ended(breaker.begin_trial(now), True, now, 0.0)
    for _ in range(4):
        breaker.ended(False, now, 0.0)
    assert breaker.wait_ms(now) == 1_000


@pytest.mark.parametrize(("pause", "draw", "waits"), [(1_000, 0.5, 900), (60_000, 0.0, 60_000)])
def test_jitter_and_a_first_pause_beyond_the_longest(pause: int, draw: float, waits: int) -> None:
    breaker = opened(settings=Breaker(0.5, 4, 10_000, pause), draw=draw)
    assert breaker.wait_ms(0) == waits
    breaker.trial_ended(breaker.begin_trial(0), False, 0, 0.0)
    assert breaker.wait_ms(0) == max(2 * pause if pause < LONGEST_PAUSE_MS else pause, 0)


def test_total_says_whether_anything_goes_well_there() -> None:
    outage, partial = opened(), CircuitBreaker(FIVE)
    for ok in (True, True, False, False):
        partial.ended(ok, 0, 0.0)
    assert (outage.total, partial.total) == (True, False)
    assert not outage.ended(True, 0, 0.0)
    assert not outage.total
    for _ in range(4):
        partial.ended(False, 0, 0.0)
    assert partial.total


def test_a_probe_that_went_well_closes_it() -> None:
    breaker = opened()
    trial = breaker.begin_trial(0)
    breaker.heal()
    breaker.trial_ended(trial, False, 0, 0.0)
    assert breaker.state == "closed"
    breaker.ended(False, 0, 0.0)
    breaker.heal()
    assert breaker.window.calls == 1, "of a closed one nothing is forgotten"


def test_other_settings_keep_what_was_seen_unless_the_window_is_another() -> None:
    breaker = CircuitBreaker(FIVE)
    breaker.ended(False, 0, 0.0)
    breaker.set(Breaker(0.9, 2, 10_000, 1_000))
    assert breaker.ended(False, 0, 0.0)
    breaker.set(Breaker(0.9, 2, 20_000, 1_000))
    assert (breaker.window.calls, breaker.state) == (0, "open")


@pytest.mark.parametrize(("share", "least", "most"), [(0.3, 0.0, 0.02), (0.7, 1.0, 1.0)])
def test_chance_does_not_open_it(share: float, least: float, most: float) -> None:
    """Of many processes that begin amid a fault, so many open within 300 calls of a default breaker."""
    rng = Random(1)
    found = 0
    for _ in range(400):
        breaker = CircuitBreaker(Breaker())
        found += any(breaker.ended(rng.random() >= share, 100 * i, 0.0) for i in range(300))
    assert least <= found / 400 <= most


class Machine(RuleBasedStateMachine):
    """Any order of calls, trials and probes."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker = CircuitBreaker(FIVE)
        self.now = 0
        self.out: list[int] = []  # trials that somebody has not ended

    @rule(ms=st.integers(0, 40_000))
    def time_passes(self, ms: int) -> None:
        self.now += ms

    @rule(ok=st.booleans(), draw=st.floats(0, 0.99))
    def a_call_ends(self, ok: bool, draw: float) -> None:
        before = self.breaker.state
        if self.breaker.ended(ok, self.now, draw):
            assert not ok
            assert (before, self.breaker.state) == ("closed", "open")
            assert self.breaker.wait_ms(self.now) >= FIVE.pause_ms * (1 - JITTER)
        else:
            assert self.breaker.state == before

    @precondition(lambda self: self.breaker.state != "closed")
    @rule()
    def somebody_asks(self) -> None:
        if self.breaker.wait_ms(self.now) is None:
            self.out.append(self.breaker.begin_trial(self.now))
            assert self.breaker.wait_ms(self.now) is not None, "only one"

    @precondition(lambda self: bool(self.out))
    @rule(which=st.integers(0, 50), ok=st.sampled_from([True, False, None]), draw=st.floats(0, 0.99))
    def a_trial_ends(self, which: int, ok: bool | None, draw: float) -> None:
        number = self.out.pop(which % len(self.out))
        latest = number == max([number, *self.out])
        before = self.breaker.state
        self.breaker.trial_ended(number, ok, self.now, draw)
        if not latest and not ok:
            assert self.breaker.state == before

    @rule()
    def a_probe_goes_well(self) -> None:
        self.breaker.heal()
        assert self.breaker.state == "closed"

    @invariant()
    def waits_are_bounded_and_closed_lets_all_in(self) -> None:
        wait = self.breaker.wait_ms(self.now)
        assert wait is None or 0 < wait <= LONGEST_PAUSE_MS
        if self.breaker.state == "closed":
            assert wait is None
            assert not self.breaker.total


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@given(st.lists(st.booleans(), max_size=80), st.integers(1, 10), st.sampled_from([0.1, 0.5, 1.0]))
def test_it_opens_exactly_by_its_measure(calls: list[bool], wanted: int, share: float) -> None:
    breaker = CircuitBreaker(Breaker(share, wanted, 10_000, 1_000))
    for index, ok in enumerate(calls, 1):
        seen = calls[:index]
        run = index - max((i for i, good in enumerate(seen, 1) if good), default=0)
        reached = seen.count(False) / index >= share and run >= max(1, wanted // 4)
        expected = not ok and index >= wanted and (run >= wanted or reached)
        assert breaker.ended(ok, 0, 0.0) == expected
        if expected:
            return
