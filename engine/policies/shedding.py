"""When to refuse early, so that what is under way does not fail: how pressed a process is, whom it refuses.

Pressure is a share from 0 to 1 for each resource; the highest counts, and is the share of new requests that
are refused. It grows in a straight line, so that a process sheds as much as it must and does not swing
between all and nothing.

| resource | pressure 0 up to | pressure 1 from |
|---|---|---|
| a share of a limit (open files, memory) | `at` | four fifths of the way from `at` to the limit |
| lateness of the event loop | `at` | twice `at` |

The lateness that counts is the standing one: the least of the last `WINDOW` looks. One long pause (a
collection, a burst) passes; only a loop that is late every time has more to do than it can.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final

#: So many looks at the loop make its standing lateness.
WINDOW: Final = 5
#: And so many its worst, for metrics.
RECENT: Final = 100


def share_pressure(used: float, at: float) -> float:
    """Of a share of a limit, from 0 to 1; NaN (nobody knows) presses nobody."""
    return _line(used, at, at + (1 - at) * 0.8)


def late_pressure(standing_ms: float, at_ms: float) -> float:
    """Of an event loop that is late by so much."""
    return _line(standing_ms, at_ms, 2 * at_ms)


def _line(value: float, low: float, high: float) -> float:
    if math.isnan(value) or value <= low:
        return 0.0
    return 1.0 if value >= high else (value - low) / (high - low)


class Lateness:
    """How late the event loop was when it was last looked at, in ms."""

    __slots__ = ("_last", "_recent")

    def __init__(self) -> None:
        self._last: deque[float] = deque(maxlen=WINDOW)
        self._recent: deque[float] = deque(maxlen=RECENT)

    def look(self, late_ms: float) -> None:
        """It was looked at, so much later than meant."""
        late = max(0.0, late_ms)
        self._last.append(late)
        self._recent.append(late)

    @property
    def standing(self) -> float:
        """The least of the last looks; 0 until there were enough."""
        return min(self._last) if len(self._last) == WINDOW else 0.0

    @property
    def worst(self) -> float:
        """The most of the recent looks."""
        return max(self._recent, default=0.0)


def refused(pressure: float, draw: float) -> bool:
    """Whether a request is; `draw` is uniform in [0, 1)."""
    return draw < pressure
