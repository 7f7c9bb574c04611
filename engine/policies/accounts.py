"""How an amount is counted: in a window, over the last while, in a bucket that refills, or in places.

| shape   | counts what is reserved   | counts what was used       | frees it                              |
|---------|---------------------------|----------------------------|---------------------------------------|
| window  | until it is closed        | in the window of its begin | when the window ends                  |
| rolling | until it is closed        | from when it is settled on | a period later, by whole slots        |
| bucket  | until it is closed        | from when it is settled on | evenly, so much in a period           |
| places  | until it is closed        | not at all                 | at once                               |

With `at_start` (requests), rolling and bucket count from when it is reserved on: that much is known then.
So whatever moment between reserve and settle the use itself is seen at, no stretch of a period's length holds
more than the limit (of a bucket: than its burst and what flowed back meanwhile).

A clock that jumps forward frees at most one window's worth. One that goes back frees nothing: what was used
in what is now the future counts as used now, so it is free again a period later, and nothing is blocked for
ever. A step back of up to `SKEW_MS` is two readers of one clock out of turn, and taken as no step at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

SKEW_MS: Final = 1_000

#: What a store keeps of a counter: spent, held, lost, since when, and as text what has more digits than a
#: store's numbers: slots, and of a bucket what is missing times the period, over the period.
Kept = tuple[int, int, int, int, str]


@dataclass(frozen=True, slots=True)
class Terms:
    """What a plan says of an account, as its counter needs it: amounts in the measure's unit, times in ms."""

    limit: int
    ends_ms: int | None = None
    period_ms: int = 0
    burst: int = 0


class Counter(Protocol):
    """One account's count. Nothing here checks but `fits`: what was used may be more than what was held."""

    held: int
    lost: int

    def follow(self, terms: Terms) -> None:
        """Count by these terms from now on; what is counted stays."""
        ...

    def fits(self, amount: int, now_ms: int) -> bool: ...

    def take(self, amount: int, now_ms: int) -> None: ...

    def close(self, held: int, used: int, taken_ms: int, now_ms: int) -> None:
        """Of `held`, taken at `taken_ms`, this much was used."""
        ...

    def lose(self, held: int, taken_ms: int, now_ms: int) -> None:
        """Nobody will ever say how much of it was used: all of it."""
        ...

    def find(self, held: int, used: int, now_ms: int) -> None:
        """What was lost is known after all."""
        ...

    def wait_ms(self, amount: int, now_ms: int) -> int | None:
        """When an amount that does not fit may fit, in ms from now; None: never, or nobody knows."""
        ...

    def spent(self, now_ms: int) -> int: ...

    def left(self, now_ms: int) -> int: ...

    def resets_ms(self, now_ms: int) -> int | None:
        """When all, or the oldest slot, is free again; None: it is, or it never is by itself."""
        ...

    def blank(self, now_ms: int) -> bool:
        """Whether a new counter would count the same."""
        ...

    def kept(self) -> Kept: ...

    def restore(self, kept: Kept) -> None: ...


class WindowCounter:
    """Used is used until the window ends."""

    __slots__ = ("_ends_ms", "_limit", "_spent", "held", "lost")

    def __init__(self, terms: Terms) -> None:
        self._spent = self.held = self.lost = 0
        self.follow(terms)

    def follow(self, terms: Terms) -> None:
        self._limit, self._ends_ms = terms.limit, terms.ends_ms

    def fits(self, amount: int, now_ms: int) -> bool:
        return self._spent + self.held + amount <= self._limit

    def take(self, amount: int, now_ms: int) -> None:
        self.held += amount

    def close(self, held: int, used: int, taken_ms: int, now_ms: int) -> None:
        self.held -= held
        self._spent += used

    def lose(self, held: int, taken_ms: int, now_ms: int) -> None:
        self.close(held, held, taken_ms, now_ms)
        self.lost += held

    def find(self, held: int, used: int, now_ms: int) -> None:
        self._spent += used - held
        self.lost -= held

    def wait_ms(self, amount: int, now_ms: int) -> int | None:
        return None if amount > self._limit else self.resets_ms(now_ms)

    def spent(self, now_ms: int) -> int:
        return self._spent

    def left(self, now_ms: int) -> int:
        return max(0, self._limit - self._spent - self.held)

    def resets_ms(self, now_ms: int) -> int | None:
        return None if self._ends_ms is None else max(0, self._ends_ms - now_ms)

    def blank(self, now_ms: int) -> bool:
        return not (self._spent or self.held)

    def kept(self) -> Kept:
        return (self._spent, self.held, self.lost, 0, "")

    def restore(self, kept: Kept) -> None:
        self._spent, self.held, self.lost = kept[:3]


class PlacesCounter:
    """So many at a time; given back is free."""

    __slots__ = ("_limit", "held", "lost")

    def __init__(self, terms: Terms) -> None:
        self.held = self.lost = 0
        self.follow(terms)

    def follow(self, terms: Terms) -> None:
        self._limit = terms.limit

    def fits(self, amount: int, now_ms: int) -> bool:
        return self.held + amount <= self._limit

    def take(self, amount: int, now_ms: int) -> None:
        self.held += amount

    def close(self, held: int, used: int, taken_ms: int, now_ms: int) -> None:
        self.held -= held

    def lose(self, held: int, taken_ms: int, now_ms: int) -> None:
        """Whose process has died is not there any more."""
        self.held -= held

    def find(self, held: int, used: int, now_ms: int) -> None:
        pass

    def wait_ms(self, amount: int, now_ms: int) -> int | None:
        return None

    def spent(self, now_ms: int) -> int:
        return 0

    def left(self, now_ms: int) -> int:
        return max(0, self._limit - self.held)

    def resets_ms(self, now_ms: int) -> int | None:
        return None

    def blank(self, now_ms: int) -> bool:
        return not self.held

    def kept(self) -> Kept:
        return (0, self.held, 0, 0, "")

    def restore(self, kept: Kept) -> None:
        self.held = kept[1]
