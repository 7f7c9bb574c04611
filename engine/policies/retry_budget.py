"""The retry budget of one route or one deployment: a bucket that bounds what is tried again.

| what happens | the bucket |
|---|---|
| an attempt after a request's first moves on to another target | gives 1, where it holds 1 |
| an attempt after a request's first repeats a call in place, or hedges | gives 1, if over half full |
| such an attempt was not made after all | gets its 1 back |
| a call is answered | gets `REFILL`, up to `CAPACITY` |
| a second passes | gets `PER_SECOND`, up to `CAPACITY` |

While most calls are answered it stays full: with less than half of the calls failing, what is answered
gives more than what is repeated takes, even at a deployment that gets nothing but what others failed at,
whose every call takes 1. In a total outage it empties once, however many ask. What moves on may use the
half that repeating may not, so that a target which fails for good cannot use up what leads away from it.
The little that time gives lets a route find its way back in which nothing went well for long.
"""

from __future__ import annotations

from typing import Final

CAPACITY: Final = 200.0
PER_SECOND: Final = 1.0
REFILL: Final = 2.0


class RetryBudget:
    """One bucket. Full at the beginning."""

    __slots__ = ("_at", "_held")

    def __init__(self) -> None:
        self._held = CAPACITY
        self._at = 0

    def has(self, now_ms: int, in_place: bool) -> bool:
        """Whether one more may be drawn."""
        return self.held(now_ms) >= (CAPACITY / 2 + 1 if in_place else 1)

    def draw(self) -> None:
        """Take 1, where `has` says so."""
        self._held -= 1.0

    def refill(self) -> None:
        """A call was answered."""
        if self._held < CAPACITY:
            self._held = min(CAPACITY, self._held + REFILL)

    def give_back(self) -> None:
        """What was drawn is not used."""
        self._held = min(CAPACITY, self._held + 1.0)

    def held(self, now_ms: int) -> float:
        """What it holds now."""
        if self._held >= CAPACITY:
            self._at = now_ms
        elif now_ms > self._at:
            self._held = min(CAPACITY, self._held + (now_ms - self._at) * PER_SECOND / 1000)
            self._at = now_ms
        return self._held
