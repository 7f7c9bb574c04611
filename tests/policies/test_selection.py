"""Picking one of several."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.policies.selection import (
    best_first,
    better,
    cheapest_first,
    load,
    mixed,
    most_left_first,
    two,
    weighted,
)

DRAW = st.floats(0, 1, exclude_max=True)


@pytest.mark.parametrize(
    ("weights", "draw", "index"),
    [
        ([1, 1], 0.0, 0),
        ([1, 1], 0.5, 1),
        ([3, 1], 0.74, 0),
        ([3, 1], 0.76, 1),
        ([0, 1], 0.0, 1),
        ([0, 0], 0.0, 0),
        ([0, 0], 0.9, 1),
        ([1, 0], 0.999999, 0),
    ],
)
def test_weighted(weights: list[float], draw: float, index: int) -> None:
    assert weighted(weights, draw) == index


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=8), DRAW)
def test_a_weight_of_zero_is_not_drawn_while_others_are_left(weights: list[float], draw: float) -> None:
    index = weighted(weights, draw)
    assert 0 <= index < len(weights)
    assert weights[index] > 0 or not any(weights)


def test_a_rounding_error_stays_inside() -> None:
    assert weighted([0.1] * 10, math.nextafter(1, 0)) == 9


@given(st.integers(2, 50), DRAW, DRAW)
def test_two_are_two(count: int, first: float, second: float) -> None:
    a, b = two(count, first, second)
    assert a != b
    assert 0 <= a < count
    assert 0 <= b < count


def test_two_reach_every_pair() -> None:
    steps = [i / 12 for i in range(12)]
    assert {two(4, x, y) for x in steps for y in steps} == {
        (a, b) for a in range(4) for b in range(4) if a != b
    }


@pytest.mark.parametrize(
    ("values", "best"), [([1, 2], 0), ([2, 1], 1), ([1, 1], 0), ([math.nan, 0], 0), ([0, math.nan], 1)]
)
def test_better(values: list[float], best: int) -> None:
    assert better(values, 0, 1) == best


def test_cheapest_first() -> None:
    assert cheapest_first([3, math.nan, 1, 1, math.nan]) == [2, 3, 0, 1, 4]


NAN = math.nan


@pytest.mark.parametrize(
    ("latency", "open_calls", "value"), [(100, 0, 100), (100, 4, 500), (NAN, 3, 1e12 + 3)]
)
def test_a_load_counts_open_calls(latency: float, open_calls: float, value: float) -> None:
    assert load(latency, open_calls) == value


def test_the_load_of_who_was_never_asked_is_unknown() -> None:
    assert math.isnan(load(NAN, 0))


@pytest.mark.parametrize(
    ("values", "order"), [([0.1, 0.9, 0.5], [1, 2, 0]), ([NAN, 0.0, NAN], [1, 0, 2]), ([1, 1], [0, 1])]
)
def test_best_first(values: list[float], order: list[int]) -> None:
    assert best_first(values) == order


@pytest.mark.parametrize(
    ("shares", "draw", "order"),
    [
        ([0.2, 0.9, 0.5], 0.0, [1, 2, 0]),
        ([0.2, NAN, 0.5], 0.0, [1, 2, 0]),
        ([0.5, 0.5, 0.5], 0.4, [1, 2, 0]),
        ([NAN, 0.0, 1.0], 0.9, [2, 0, 1]),
    ],
)
def test_most_left_first(shares: list[float], draw: float, order: list[int]) -> None:
    assert most_left_first(shares, draw) == order


def test_a_mix() -> None:
    found = mixed((0.5, 0.3, 0.2), [0.8, NAN, 1.0], [2.0, 1.0, NAN], [NAN, 100.0, 200.0])
    assert found == pytest.approx([0.4 + 0.15 + 0.2, 0.3 + 0.2, 0.5 + 0.1])
    assert mixed((0, 1, 0), [NAN, NAN], [0.0, 5.0], [NAN, NAN]) == [1.0, 0.0]
