"""A token bucket: `burst` at once, `limit` flow back in a period (`policies.accounts`: how shapes differ).

It counts what is missing, times the period in ms, so that all of it is whole numbers.
"""

from __future__ import annotations

from engine.policies.accounts import SKEW_MS, Kept, Terms
from engine.policies.using import Using


class BucketCounter(Using):
    """Implements `engine.policies.accounts.Counter`."""

    __slots__ = ("_at_ms", "_burst", "_limit", "_owed", "_period_ms")

    def __init__(self, terms: Terms, at_start: bool = False) -> None:
        super().__init__(at_start)
        self._owed = self._at_ms = self._period_ms = 0
        self.follow(terms)

    def follow(self, terms: Terms) -> None:
        if self._period_ms not in (0, terms.period_ms):
            self._owed = -(-self._owed * terms.period_ms // self._period_ms)
        self._limit, self._period_ms, self._burst = terms.limit, terms.period_ms, terms.burst

    def fits(self, amount: int, now_ms: int) -> bool:
        if self._owed:
            self._flow(now_ms)
        return self._owed + (self.held + amount) * self._period_ms <= self._burst * self._period_ms

    def find(self, held: int, used: int, now_ms: int) -> None:
        """What was too much of it flows back as if it had been used: nobody knows how much of it has."""
        self.lost = max(0, self.lost - held)
        if used > held:
            self._use(used - held, now_ms)

    def wait_ms(self, amount: int, now_ms: int) -> int | None:
        self._flow(now_ms)
        over = self._owed - (self._burst - self.held - amount) * self._period_ms
        if amount > self._burst or self._limit <= 0:
            return None
        return max(0, -(-over // self._limit))

    def spent(self, now_ms: int) -> int:
        self._flow(now_ms)
        return -(-self._owed // self._period_ms)

    def left(self, now_ms: int) -> int:
        return max(0, self._burst - self.held - self.spent(now_ms))

    def resets_ms(self, now_ms: int) -> int | None:
        self._flow(now_ms)
        return -(-self._owed // self._limit) if self._owed and self._limit > 0 else None

    def blank(self, now_ms: int) -> bool:
        return not self.held and not self.spent(now_ms)

    def kept(self) -> Kept:
        spent = -(-self._owed // self._period_ms)
        return (spent, self.held, self.lost, self._at_ms, f"{self._owed}/{self._period_ms}")

    def restore(self, kept: Kept) -> None:
        _, self.held, self.lost, self._at_ms, text = kept
        owed, _, period = text.partition("/")
        self._owed = int(owed)
        if int(period) != self._period_ms:
            self._owed = -(-self._owed * self._period_ms // int(period))

    def _use(self, amount: int, now_ms: int) -> None:
        if amount:
            self._flow(now_ms)
            self._owed += amount * self._period_ms

    def _spare(self, amount: int, taken_ms: int, now_ms: int) -> None:
        """As much as has not flowed back by itself: without it the bucket might have been full since."""
        flowed = self._limit * max(0, now_ms - taken_ms)
        self._flow(now_ms)
        self._owed = max(0, self._owed - max(0, amount * self._period_ms - flowed))

    def _flow(self, now_ms: int) -> None:
        gone = now_ms - self._at_ms
        if gone > 0:
            self._owed = max(0, self._owed - gone * self._limit)
            self._at_ms = now_ms
        elif gone < -SKEW_MS:
            self._at_ms = now_ms
        if self.lost * self._period_ms > self._owed:
            self.lost = -(-self._owed // self._period_ms)
