"""Picking one of several: by weight, in turn, or the better of two drawn at random."""

from __future__ import annotations

import math
from collections.abc import Sequence


def weighted(weights: Sequence[float], draw: float) -> int:
    """Index drawn with a chance proportional to its weight; `draw` is uniform in [0, 1).

    Members of weight 0 are drawn only when nobody else is left, then with equal chances.
    """
    total = math.fsum(weights)
    if total <= 0:
        return int(draw * len(weights))
    point = draw * total
    last = 0
    for index, weight in enumerate(weights):
        if weight <= 0:
            continue
        if point < weight:
            return index
        point -= weight
        last = index
    return last  # a rounding error away from the end


def two(count: int, first: float, second: float) -> tuple[int, int]:
    """Two different indices below `count` (at least 2) from two uniform draws."""
    a = int(first * count)
    b = int(second * (count - 1))
    return a, b if b < a else b + 1


def better(values: Sequence[float], a: int, b: int) -> int:
    """The index with the lower value; unknown (NaN) counts as the lowest, so that it gets known."""
    return b if _known(values[b]) < _known(values[a]) else a


def cheapest_first(values: Sequence[float]) -> list[int]:
    """Indices by value, equal ones in their order; unknown (NaN) comes last: nobody vouches for it."""
    return sorted(range(len(values)), key=lambda i: math.inf if math.isnan(values[i]) else values[i])


def _known(value: float) -> float:
    return -1.0 if math.isnan(value) else value
