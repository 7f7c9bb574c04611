"""Setting a deployment aside because its peers do better: outlier ejection.

Peers are the members of one `balance`. The breaker judges a deployment by itself; this one sees that it fails
clearly more often than those that get the same requests, long before half of its calls fail.

| state | what happens | becomes |
|---|---|---|
| in | a call fails, its share of failures is clearly above its peers', and the cap allows it | out |
| in | the same, but as many are out as may be | in |
| out | its time is over | in; its calls are counted anew |

Clearly: both sides have ended `LEAST_CALLS` calls in the window, the difference is at least `LEAST_GAP`, and
chance would not make it (`SIGMAS` standard errors of two shares). At most half of the peers are out at a time
(of two or three one). It is out for `BASE_MS` the first time and as much longer each time again, up to
`LONGEST_MS`; a stay of ten times `BASE_MS` inside makes it a first time again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

LEAST_CALLS: Final = 20
LEAST_GAP: Final = 0.1
SIGMAS: Final = 4.0
BASE_MS: Final = 10_000
LONGEST_MS: Final = 60_000
#: Most of the peers that are out at a time.
CAP: Final = 0.5


class Ejection:
    """One deployment's."""

    __slots__ = ("_times", "_until")

    def __init__(self) -> None:
        self._until = 0
        self._times = 0

    def left_ms(self, now_ms: int) -> int:
        """For how long it is still out; 0: it is in."""
        return max(0, self._until - now_ms)

    def eject(self, now_ms: int) -> None:
        """Set it aside, where `outlying` and `room` say so."""
        if now_ms - self._until >= 10 * BASE_MS:
            self._times = 0
        self._times += 1
        self._until = now_ms + min(BASE_MS * self._times, LONGEST_MS)


def outlying(calls: int, failed: int, peers: Iterable[tuple[int, int]]) -> bool:
    """Whether these calls fail clearly more often than the peers' (calls, failed) together."""
    theirs, bad = 0, 0
    for ended, lost in peers:
        theirs += ended
        bad += lost
    if calls < LEAST_CALLS or theirs < LEAST_CALLS:
        return False
    gap = failed / calls - bad / theirs
    both = (failed + bad) / (calls + theirs)
    error = math.sqrt(both * (1.0 - both) * (1.0 / calls + 1.0 / theirs))
    return gap >= LEAST_GAP and gap >= SIGMAS * error


def room(group: int, out: int) -> bool:
    """Whether one more of a group of this many may be set aside, where so many are."""
    return out + 1 <= group * CAP
