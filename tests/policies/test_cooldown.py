"""Cooldown after rate limits."""

from __future__ import annotations

import pytest

from engine.policies.cooldown import LONGEST_MS, TOLERANCE_MS, Cooldown


@pytest.mark.parametrize(
    ("delays", "left"),
    [
        pytest.param([2_000], 2_000, id="as-long-as-the-vendor-said"),
        pytest.param([3_600_000], 3_600_000, id="however-long"),
        pytest.param([0], 0, id="a-past-date"),
        pytest.param([None], 0, id="once-without-a-delay"),
        pytest.param([None, None], 0, id="twice"),
        pytest.param([None, None, None], 1_000, id="the-third-in-a-row"),
        pytest.param([None] * 5, 4_000, id="doubles"),
        pytest.param([None] * 40, LONGEST_MS, id="up-to-the-longest"),
        pytest.param([5_000, 1_000], 5_000, id="a-shorter-one-does-not-shorten"),
    ],
)
def test_cooling(delays: list[int | None], left: int) -> None:
    cooling = Cooldown()
    for delay in delays:
        cooling.limited(100, delay)
    assert cooling.left_ms(100) == left


def test_who_waited_it_out_is_let_in_though_timers_are_early() -> None:
    cooling = Cooldown()
    cooling.limited(0, 2_000)
    assert cooling.left_ms(2_000 - TOLERANCE_MS) == 0
    assert cooling.left_ms(2_000 - TOLERANCE_MS - 1) > 0


def test_a_call_that_goes_well_ends_the_row() -> None:
    cooling = Cooldown()
    for _ in range(3):
        cooling.limited(0, None)
    cooling.went_well()
    assert cooling.left_ms(0) == 1_000
    for _ in range(2):
        cooling.limited(2_000, None)
    assert cooling.left_ms(2_000) == 0
