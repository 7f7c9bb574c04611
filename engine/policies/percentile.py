"""Percentiles of the last calls' latencies: what `hedge: {after: p95}` waits for.

A window of the newest calls, not a decaying sketch: it forgets a slow hour after so many calls, and a
percentile of it is exact. It is sorted when it is asked, which is once a hedged request.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

#: Calls that are kept, and the fewest of which a percentile says something.
WINDOW = 200
FEWEST = 20


@dataclass(slots=True)
class Window:
    """The latencies of a deployment's last calls, in ms."""

    values: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))

    def observe(self, latency_ms: float) -> None:
        """Take in one call that answered."""
        self.values.append(latency_ms)

    def read(self, share: float) -> float:
        """The least latency that this share of the calls did not exceed; NaN while there are too few.

        `share` is in (0, 1].
        """
        if len(self.values) < FEWEST:
            return math.nan
        ordered = sorted(self.values)
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
