"""How much of a prompt is fed at once: as much as a cancel may wait for."""

from __future__ import annotations

import pytest

from engine.local.generation import LARGEST_SLICE, LONGEST_SLICE_S, SLICE, SMALLEST_SLICE, STEP, Pace

SMALL_STEP_S = 0.008  # the cache grows under a slice


def fed(fixed_s: float, growing_s: float, token_s: float, prompt: int) -> list[tuple[int, float]]:
    """(size, seconds) of each slice, where a slice costs a time of its own and a time a token."""
    pace, at, slices = Pace(), 0, []
    size = pace.first
    while at + size <= prompt:
        seconds = fixed_s + growing_s * at + token_s * size
        slices.append((size, seconds))
        at, size = at + size, pace.next(size, seconds)
    return slices


@pytest.mark.parametrize(
    ("fixed_s", "growing_s", "token_s", "prompt"),
    [(0.012, 13e-6, 0.0019, 2100), (0.006, 7e-6, 0.001, 2100), (0.012, 13e-6, 0.0019, 1000)],
    ids=["one slow core", "two", "short"],
)
def test_slices_are_long_but_not_too_long(
    fixed_s: float, growing_s: float, token_s: float, prompt: int
) -> None:
    slices = fed(fixed_s, growing_s, token_s, prompt)
    for size, seconds in slices[3:]:  # the first ones find out
        assert seconds < LONGEST_SLICE_S + SMALL_STEP_S
        assert size == LARGEST_SLICE or seconds + STEP * token_s > LONGEST_SLICE_S - SMALL_STEP_S
        assert size % STEP == 0


def test_a_quick_machine_feeds_the_most_and_a_very_slow_one_the_least() -> None:
    assert {size for size, _ in fed(0.001, 0, 0.0001, 1000)} == {SLICE, LARGEST_SLICE}
    assert {size for size, _ in fed(0.5, 0, 0.01, 1000)} == {SLICE, SMALLEST_SLICE}
