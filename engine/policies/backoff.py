"""How long to wait before the next call at the same target: exponential, capped, with full jitter.

Full jitter (a uniform draw between nothing and the bound) spreads a crowd of retrying clients best:
https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/.
"""

from __future__ import annotations

#: No wait that we choose ourselves is longer.
CAP_MS = 30_000


def full_jitter(base_ms: int, retry: int, draw: float) -> int:
    """Milliseconds before retry number `retry` (from 0); `draw` is uniform in [0, 1)."""
    bound = base_ms << min(retry, 20)
    return int(min(bound, CAP_MS) * draw)
