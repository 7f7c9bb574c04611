"""Peak EWMA."""

from __future__ import annotations

import math

import pytest

from engine.policies.ewma import HALF_LIFE_MS, PeakEwma

HALF = int(HALF_LIFE_MS)


def test_unknown_until_seen() -> None:
    assert math.isnan(PeakEwma().read(0))


def test_a_peak_counts_at_once() -> None:
    seen = PeakEwma()
    seen.observe(100, 0)
    seen.observe(2_000, 1)
    assert seen.read(1) == 2_000


def test_it_comes_down_with_time_not_with_calls() -> None:
    busy, idle = PeakEwma(), PeakEwma()
    for seen in (busy, idle):
        seen.observe(2_000, 0)
    for _ in range(1_000):
        busy.observe(100, 0)
    assert busy.read(0) == 2_000
    busy.observe(100, HALF)
    assert busy.read(HALF) == pytest.approx(1_050)
    assert idle.read(HALF) == pytest.approx(1_000)


def test_a_clock_that_stands_still_is_no_fault() -> None:
    seen = PeakEwma()
    seen.observe(100, 50)
    assert seen.read(40) == 100
