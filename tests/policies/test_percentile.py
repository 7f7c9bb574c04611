"""Percentiles of the last calls."""

from __future__ import annotations

import math

import pytest

from engine.policies.percentile import FEWEST, WINDOW, Window


def window(values: list[float]) -> Window:
    made = Window()
    for value in values:
        made.observe(value)
    return made


def test_too_few_say_nothing() -> None:
    assert math.isnan(window([5.0] * (FEWEST - 1)).read(0.5))
    assert window([5.0] * FEWEST).read(0.5) == 5.0


@pytest.mark.parametrize(("share", "expected"), [(0.01, 1), (0.5, 50), (0.95, 95), (0.99, 99), (1.0, 100)])
def test_shares(share: float, expected: float) -> None:
    assert window([float(n) for n in range(100, 0, -1)]).read(share) == expected


def test_only_the_last_count() -> None:
    assert window([9_000.0] * 500 + [1.0] * WINDOW).read(1.0) == 1.0
