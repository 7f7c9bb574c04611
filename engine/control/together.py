"""What several data workers tell of themselves, as one document.

Objects are merged key by key. Counts are summed; a latency is the mean of those that know one; what all say
is said once. What workers see differently (each has its own health and counters) is a list, one value a
worker in their order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

#: Fields that count what goes on now, or has happened.
_COUNTS: Final = frozenset(
    ("in_flight", "open", "waiting", "opened", "calls", "failed", "written", "dropped")
)
_MEANS: Final = frozenset(("latency_ms",))


def together(told: Sequence[Any], name: str = "") -> Any:
    """The values that workers tell under `name` as one; `told` has at least one."""
    if all(isinstance(each, dict) for each in told):
        keys = dict.fromkeys(key for each in told for key in each)
        return {key: together([each[key] for each in told if key in each], key) for key in keys}
    if name in _COUNTS:
        return sum(told)
    if name in _MEANS:
        known = [each for each in told if each is not None]
        return round(sum(known) / len(known), 1) if known else None
    first = told[0]
    return first if all(each == first for each in told) else list(told)
