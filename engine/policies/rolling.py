"""Counts what was used in the last period, whenever one looks (`policies.accounts` says how shapes differ).

What was used counts in its slot, a sixtieth of the period; a slot counts until all of it is too old. So it
may count for a sixtieth of the period too long, and never too short.
"""

from __future__ import annotations

from typing import Final

from engine.policies.accounts import SKEW_MS, Kept, Terms
from engine.policies.using import Using

SLOTS: Final = 60


class RollingCounter(Using):
    """Implements `engine.policies.accounts.Counter`."""

    __slots__ = ("_limit", "_period_ms", "_slot_ms", "_slots", "_spent")

    def __init__(self, terms: Terms, at_start: bool = False) -> None:
        self._slots: dict[int, int] = {}  # by number, the oldest first
        super().__init__(at_start)
        self._spent = self._period_ms = self._slot_ms = 0
        self.follow(terms)

    def follow(self, terms: Terms) -> None:
        """Of another period, what is counted keeps its age, give or take a slot."""
        old_ms, self._slot_ms = self._slot_ms, max(1, terms.period_ms // SLOTS)
        self._limit, self._period_ms = terms.limit, terms.period_ms
        if old_ms not in (0, self._slot_ms):
            slots, self._slots = self._slots, {}
            for slot, amount in slots.items():  # counted as used at the end of its old slot
                index = ((slot + 1) * old_ms - 1) // self._slot_ms
                self._slots[index] = self._slots.get(index, 0) + amount

    def fits(self, amount: int, now_ms: int) -> bool:
        if self._slots:
            self._turn(now_ms)
        return self._spent + self.held + amount <= self._limit

    def find(self, held: int, used: int, now_ms: int) -> None:
        """Counts as used now, and no longer as used when it was lost, as far as that still counts."""
        self.lost = max(0, self.lost - held)
        for slot in list(self._slots):
            held -= self._take_back(slot, held)
        self._use(used, now_ms)

    def wait_ms(self, amount: int, now_ms: int) -> int | None:
        if amount > self._limit:
            return None
        self._turn(now_ms)
        over = self._spent + self.held + amount - self._limit
        for slot, used in self._slots.items():
            if over <= 0:
                break
            over -= used
            if over <= 0:
                return self._ages_ms(slot, now_ms)
        # What is held is settled at some time, and counts a period from then.
        return 0 if over <= 0 else self._period_ms + self._slot_ms

    def spent(self, now_ms: int) -> int:
        self._turn(now_ms)
        return self._spent

    def left(self, now_ms: int) -> int:
        return max(0, self._limit - self.spent(now_ms) - self.held)

    def resets_ms(self, now_ms: int) -> int | None:
        self._turn(now_ms)
        return self._ages_ms(next(iter(self._slots)), now_ms) if self._slots else None

    def blank(self, now_ms: int) -> bool:
        return not self.held and not self.spent(now_ms)

    def kept(self) -> Kept:
        slots = " ".join(f"{slot}:{used}" for slot, used in self._slots.items())
        return (self._spent, self.held, self.lost, self._slot_ms, slots)

    def restore(self, kept: Kept) -> None:
        self._spent, self.held, self.lost = kept[:3]
        pairs = (pair.split(":") for pair in kept[4].split())
        self._slots = {int(slot): int(used) for slot, used in pairs}
        if kept[3] not in (0, self._slot_ms):
            terms = Terms(self._limit, None, self._period_ms)
            self._slot_ms = kept[3]
            self.follow(terms)

    def _ages_ms(self, slot: int, now_ms: int) -> int:
        return max(0, (slot + 1) * self._slot_ms + self._period_ms - now_ms)

    def _use(self, amount: int, now_ms: int) -> None:
        if amount:
            self._turn(now_ms)
            last = next(reversed(self._slots), 0)
            slot = max(now_ms // self._slot_ms, last)  # out of turn by a little: in the newest
            self._slots[slot] = self._slots.get(slot, 0) + amount
            self._spent += amount

    def _spare(self, amount: int, taken_ms: int, now_ms: int) -> None:
        self._take_back(taken_ms // self._slot_ms, amount)

    def _take_back(self, slot: int, amount: int) -> int:
        """As much of it as the slot still has; how much that was."""
        used = self._slots.get(slot, 0)
        gone = min(amount, used)
        if gone:
            self._spent -= gone
            self._slots[slot] = used - gone
            if used == gone:
                del self._slots[slot]
        return gone

    def _turn(self, now_ms: int) -> None:
        """Let go of slots that are wholly too old; those of the future are of now."""
        slots, oldest = self._slots, (now_ms - self._period_ms) // self._slot_ms
        while slots:
            first = next(iter(slots))
            if first >= oldest:
                break
            self._spent -= slots.pop(first)
        newest = (now_ms + SKEW_MS) // self._slot_ms
        if slots and next(reversed(slots)) > newest:
            now = now_ms // self._slot_ms
            late = sum(slots.pop(slot) for slot in list(slots) if slot >= now)
            slots[now] = late
        if self.lost > self._spent:
            self.lost = self._spent
