"""How the calls of the last while ended: counts in ten slots that fall away one after the other.

A call counts in the slot of the moment at which it ended. The oldest slot falls away whole, so what is
counted reaches back nine to ten tenths of the window. `run` is the number of failures since the last call
that went well, whatever slot they are in.
"""

from __future__ import annotations

from typing import Final

SLOTS: Final = 10


class CallWindow:
    """Ended calls and failed ones among them. Times in ms; a clock that goes back stands still."""

    __slots__ = ("_calls", "_failed", "_slot", "_slot_ms", "calls", "failed", "run")

    def __init__(self, window_ms: int) -> None:
        self._slot_ms = max(1, window_ms // SLOTS)
        self._calls = [0] * SLOTS
        self._failed = [0] * SLOTS
        self._slot = 0
        self.calls = 0
        self.failed = 0
        self.run = 0

    def add(self, ok: bool, now_ms: int) -> None:
        """One more call has ended."""
        if now_ms // self._slot_ms > self._slot:
            self.turn(now_ms)
        index = self._slot % SLOTS
        self._calls[index] += 1
        self.calls += 1
        if ok:
            self.run = 0
        else:
            self._failed[index] += 1
            self.failed += 1
            self.run += 1

    def turn(self, now_ms: int) -> None:
        """Let go of what is too old."""
        slot = now_ms // self._slot_ms
        gone = slot - self._slot
        if gone <= 0:
            return
        for each in range(self._slot + 1, self._slot + 1 + min(gone, SLOTS)):
            index = each % SLOTS
            self.calls -= self._calls[index]
            self.failed -= self._failed[index]
            self._calls[index] = self._failed[index] = 0
        self._slot = slot
        if not self.calls:
            self.run = 0

    def forget(self) -> None:
        """Begin anew."""
        self._calls = [0] * SLOTS
        self._failed = [0] * SLOTS
        self.calls = self.failed = self.run = 0

    @property
    def share(self) -> float:
        """Failed ones among the calls; 0 of none."""
        return self.failed / self.calls if self.calls else 0.0
