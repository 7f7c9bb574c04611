"""Picking one of several: by weight, in turn, the better of two drawn at random, or by an order.

What is not known is NaN. How that counts follows one rule: what asking would find out (latency, open calls,
what is left of a quota) counts as the best, so that it gets known; what nobody vouches for (cost, quality)
counts as the worst.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

#: A load beyond all that were measured, in ms.
_CROWDED: Final = 1e12


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


def load(latency_ms: float, in_flight: float) -> float:
    """How long one more call would take there: each open call counts as one before it (peak EWMA's load).

    Unknown while nobody has been asked. Unknown, and already being asked: more than anything known, so that a
    crowd does not go where one call would tell.
    """
    if not math.isnan(latency_ms):
        return latency_ms * (in_flight + 1)
    return math.nan if in_flight < 1 else _CROWDED + in_flight


def cheapest_first(values: Sequence[float]) -> list[int]:
    """Indices by value, equal ones in their order; unknown (NaN) comes last: nobody vouches for it."""
    return sorted(range(len(values)), key=lambda i: math.inf if math.isnan(values[i]) else values[i])


def best_first(values: Sequence[float]) -> list[int]:
    """Indices by value, the highest first, equal ones in their order; unknown (NaN) comes last."""
    return sorted(range(len(values)), key=lambda i: math.inf if math.isnan(values[i]) else -values[i])


def most_left_first(shares: Sequence[float], draw: float) -> list[int]:
    """Indices by what is left of a quota (0 to 1), the most first; unknown (NaN) counts as all of it.

    Equal ones begin at a place that `draw` (in [0, 1)) says, so that they share the traffic.
    """
    count = len(shares)
    begin = int(draw * count)
    around = [(begin + step) % count for step in range(count)]
    return sorted(around, key=lambda i: -1.0 if math.isnan(shares[i]) else -shares[i])


def mixed(
    weights: tuple[float, float, float],
    qualities: Sequence[float],
    costs: Sequence[float],
    loads: Sequence[float],
) -> list[float]:
    """A score for each member, from its quality, its cost and its speed by these weights.

    A quality is from 0 to 1; a cost counts 1 for the cheapest and falls as it rises, and so does a load.
    """
    quality, cost, speed = weights
    cheapest, quickest = _least(costs), _least(loads)
    return [
        quality * (0.0 if math.isnan(q) else q)
        + cost * (0.0 if math.isnan(c) else _share(cheapest, c))
        + speed * (1.0 if math.isnan(t) else _share(quickest, t))
        for q, c, t in zip(qualities, costs, loads, strict=True)
    ]


def _least(values: Sequence[float]) -> float:
    return min((value for value in values if not math.isnan(value)), default=math.nan)


def _share(least: float, value: float) -> float:
    """1 for the least, a half for twice as much."""
    return 1.0 if value <= least else least / value


def _known(value: float) -> float:
    return -1.0 if math.isnan(value) else value
