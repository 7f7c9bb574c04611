"""Shares of a line: exact, and nobody leaves an arm that grows."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.policies.shares import WHOLE, Stretches, arm_at, change, lay_out, point, points_of


def owned(stretches: Stretches, arm: int) -> set[tuple[int, int]]:
    found, begin = set(), 0
    for end, owner in stretches:
        if owner == arm:
            found.add((begin, end))
        begin = end
    return found


def within(inner: Stretches, outer: Stretches, arm: int) -> bool:
    """Every point of the arm in `inner` is its own in `outer` too."""
    return all(any(a <= begin and end <= b for a, b in owned(outer, arm)) for begin, end in owned(inner, arm))


def sizes(stretches: Stretches, arms: int) -> tuple[int, ...]:
    return tuple(sum(end - begin for begin, end in owned(stretches, arm)) for arm in range(arms))


@pytest.mark.parametrize(
    ("shares", "points"),
    [
        ((None, 0.05), (950_000, 50_000)),
        ((0.95, 0.05), (950_000, 50_000)),
        ((None, None, None), (333_334, 333_333, 333_333)),
        ((1 / 3, 1 / 3, 1 / 3), (333_334, 333_333, 333_333)),
        ((1.0, None), (1_000_000, 0)),
        ((0.2, None, None), (200_000, 400_000, 400_000)),
    ],
)
def test_shares_add_up(shares: tuple[float | None, ...], points: tuple[int, ...]) -> None:
    assert points_of(shares) == points


def test_a_layout_of_two() -> None:
    assert lay_out((950_000, 50_000)) == ((500_000, 0), (550_000, 1), (1_000_000, 0))
    assert lay_out((1_000_000, 0)) == ((1_000_000, 0),)


#: Of three users of the route `assistant`.
POINTS = [940_286, 357_531, 567_423]

SHARES = st.lists(st.integers(0, 1000), min_size=2, max_size=6).filter(any)


def whole(weights: list[int]) -> tuple[int, ...]:
    return points_of([weight / sum(weights) for weight in weights])


@given(SHARES)
def test_a_layout_has_the_shares(weights: list[int]) -> None:
    points = whole(weights)
    stretches = lay_out(points)
    assert sizes(stretches, len(points)) == points
    assert stretches[-1][0] == WHOLE


@given(SHARES, st.data())
@settings(max_examples=200)
def test_who_is_on_a_growing_arm_stays(weights: list[int], data: st.DataObject) -> None:
    now = lay_out(whole(weights))
    have = whole(weights)
    for _ in range(3):
        size = len(weights)
        more = data.draw(st.lists(st.integers(0, 1000), min_size=size, max_size=size).filter(any))
        points = whole(more)
        new = change(now, points)
        assert sizes(new, size) == points
        for arm in range(size):
            assert within(now, new, arm) if points[arm] >= have[arm] else within(new, now, arm)
        now, have = new, points


@given(st.integers(0, WHOLE), st.integers(0, WHOLE))
def test_of_two_arms_it_holds_over_edits(a: int, b: int) -> None:
    low, high = sorted((a, b))
    assert within(lay_out((WHOLE - low, low)), lay_out((WHOLE - high, high)), 1)


def test_several_small_arms_grow_over_edits() -> None:
    before, after = lay_out(points_of((None, 0.05, 0.05))), lay_out(points_of((None, 0.1, 0.2)))
    assert within(before, after, 1)
    assert within(before, after, 2)


def test_points_are_spread_and_fixed() -> None:
    """The hash is part of what users were promised: it may not change with a version."""
    assert point("assistant", "user-1") == point("assistant", "user-1") != point("mini", "user-1")
    assert [point("assistant", f"user-{n}") for n in range(3)] == POINTS
    stretches = lay_out(points_of((None, 0.2)))
    inside = sum(arm_at(stretches, point("r", f"user-{n}")) for n in range(5_000))
    assert inside / 5_000 == pytest.approx(0.2, abs=0.02)
