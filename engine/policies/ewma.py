"""Peak EWMA: a latency that jumps up at once and comes down slowly.

A mean forgets a stall among a thousand quick answers; the peak form believes the worst it has just seen and
lets it decay with time, not with calls, so that a deployment nobody asks is forgiven as quickly as a busy one
(Finagle's load metric of that name).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

#: After this long half of an old peak is forgotten.
HALF_LIFE_MS = 5_000.0


@dataclass(slots=True)
class PeakEwma:
    """One deployment's latency in ms. NaN until the first observation."""

    value: float = math.nan
    at_ms: int = 0

    def observe(self, latency_ms: float, now_ms: int) -> None:
        """Take in one measurement."""
        if math.isnan(self.value) or latency_ms >= self.value:
            self.value = latency_ms
        else:
            keep = self._keep(now_ms)
            self.value = self.value * keep + latency_ms * (1.0 - keep)
        self.at_ms = now_ms

    def read(self, now_ms: int) -> float:
        """What it is worth now: decays while nobody asks, so that a slow one is tried again."""
        return self.value * self._keep(now_ms)

    def _keep(self, now_ms: int) -> float:
        return float(0.5 ** (max(0, now_ms - self.at_ms) / HALF_LIFE_MS))
