"""The retry budget: a partial fault never empties it, an outage does, and it finds its way back."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.policies.retry_budget import CAPACITY, REFILL, RetryBudget


def test_repeating_in_place_leaves_half_for_moving_on() -> None:
    budget = RetryBudget()
    drawn = 0
    while budget.has(0, in_place=True):
        budget.draw()
        drawn += 1
    assert drawn == CAPACITY / 2
    while budget.has(0, in_place=False):
        budget.draw()
        drawn += 1
    assert drawn == CAPACITY
    budget.give_back()
    assert budget.held(0) == 1
    budget.refill()
    assert budget.held(0) == 1 + REFILL
    assert not budget.has(0, in_place=True)


def test_time_gives_a_little() -> None:
    budget = RetryBudget()
    for _ in range(int(CAPACITY)):
        assert budget.has(0, in_place=False)
        budget.draw()
    assert not budget.has(999, in_place=False)
    assert budget.has(1_000, in_place=False)
    assert budget.held(10**9) == CAPACITY


def attempts(rate: float, fail: float, seconds: int, extra: int, targets: int) -> tuple[float, float]:
    """Attempts a request, and the least that was left, where calls fail at random."""
    rng, budget, made, least, asked = Random(7), RetryBudget(), 0, CAPACITY, int(rate * seconds)
    for number in range(asked):
        now = int(number * 1000 / rate)
        for call in range((extra + 1) * targets):
            if call:
                if not budget.has(now, in_place=call % (extra + 1) != 0):
                    continue
                budget.draw()
            made += 1
            if rng.random() >= fail:
                budget.refill()
                break
        least = min(least, budget.held(now))
    return made / asked, least


def test_an_outage_empties_it_once() -> None:
    mean, least = attempts(200, 1.0, 60, extra=2, targets=2)
    assert mean <= 1.03
    assert least < 1


@pytest.mark.parametrize("fail", [0.05, 0.3, 0.45])
def test_nor_that_of_a_deployment_that_gets_only_what_others_failed_at(fail: float) -> None:
    rng, budget, least = Random(7), RetryBudget(), CAPACITY
    for _ in range(20_000):
        if budget.has(0, in_place=False):
            budget.draw()
            if rng.random() >= fail:
                budget.refill()
        least = min(least, budget.held(0))
    assert least > CAPACITY / 2


@pytest.mark.parametrize("fail", [0.05, 0.3, 0.45])
def test_a_partial_fault_never_empties_it(fail: float) -> None:
    _, least = attempts(200, fail, 60, extra=2, targets=2)
    assert least > CAPACITY / 2


@given(st.lists(st.sampled_from(["draw", "in_place", "refill", "give_back", "time"]), max_size=300))
def test_it_stays_between_nothing_and_full(steps: list[str]) -> None:
    budget, now = RetryBudget(), 0
    for step in steps:
        if step == "time":
            now += 700
        elif step == "refill":
            budget.refill()
        elif step == "give_back":
            budget.give_back()
        elif budget.has(now, in_place=step == "in_place"):
            budget.draw()
        assert 0 <= budget.held(now) <= CAPACITY
