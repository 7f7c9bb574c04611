"""The pause of one deployment under one credential after it was told to slow down.

| what happens | cooling |
|---|---|
| 429 with a delay | for as long as the vendor said |
| 429 without one, the first two in a row | no: a retry after a backoff may do |
| 429 without one, the third in a row | for `BASE_MS` |
| the same again | twice as long each time, up to `LONGEST_MS` |
| a call goes well | as long as before, for it may have begun before; the count in a row begins anew |

A delay that is shorter than what is left of an earlier one does not shorten it.
"""

from __future__ import annotations

from typing import Final

#: So many refusals in a row without a delay are no accident.
IN_A_ROW: Final = 3
BASE_MS: Final = 1_000
LONGEST_MS: Final = 30_000
#: Timers may fire this much early; who waited a delay out is let in.
TOLERANCE_MS: Final = 5


class Cooldown:
    """One deployment's, under one credential."""

    __slots__ = ("_row", "_until")

    def __init__(self) -> None:
        self._row = 0
        self._until = 0

    def limited(self, now_ms: int, delay_ms: int | None) -> None:
        """The vendor said 429, and perhaps when to come back."""
        self._row += 1
        if delay_ms is None:
            if self._row < IN_A_ROW:
                return
            delay_ms = min(BASE_MS << min(self._row - IN_A_ROW, 20), LONGEST_MS)
        self._until = max(self._until, now_ms + delay_ms)

    def went_well(self) -> None:
        """A call was answered."""
        self._row = 0

    def left_ms(self, now_ms: int) -> int:
        """For how long it cools; 0: not at all."""
        left = self._until - now_ms
        return left if left > TOLERANCE_MS else 0
