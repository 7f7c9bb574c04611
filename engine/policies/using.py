"""What buckets and rolling windows share: something is used at a moment, and comes free by itself later."""

from __future__ import annotations

from abc import ABC, abstractmethod


class Using(ABC):
    """Holds an amount until it is closed, and counts it as used from then on; at_start: from its taking.

    Who extends it says what using is, and what it means that less was used than was counted.
    """

    __slots__ = ("_at_start", "held", "lost")

    def __init__(self, at_start: bool) -> None:
        self.held = self.lost = 0
        self._at_start = at_start

    def take(self, amount: int, now_ms: int) -> None:
        if self._at_start:
            self._use(amount, now_ms)
        else:
            self.held += amount

    def close(self, held: int, used: int, taken_ms: int, now_ms: int) -> None:
        """Of `held`, taken at `taken_ms`, this much was used."""
        if not self._at_start:
            self.held -= held
            self._use(used, now_ms)
        elif used > held:
            self._use(used - held, now_ms)
        else:
            self._spare(held - used, taken_ms, now_ms)

    def lose(self, held: int, taken_ms: int, now_ms: int) -> None:
        """Nobody will ever say how much of it was used: all of it."""
        self.close(held, held, taken_ms, now_ms)
        self.lost += held

    @abstractmethod
    def _use(self, amount: int, now_ms: int) -> None:
        """Used now."""

    @abstractmethod
    def _spare(self, amount: int, taken_ms: int, now_ms: int) -> None:
        """Not used after all, and counted as used since then."""
