"""Who may begin, who waits, who is turned away: places, and a bounded queue by priority, fair between keys.

A pure state machine: no clock, no task. Whoever waits is an opaque value (`W`); the driver wakes it.

| event | places free, nobody waits | no place, or somebody waits |
|---|---|---|
| `take` | a place: True | False |
| `join`, queue not full | - | waits, behind those of its priority and key |
| `join`, queue full | - | see below |
| `leave` (gave up) | - | out of the queue |
| `free` (a place is given back) | one place more | the place goes to the next |
| `resize` | places and queue from now on | as many as have a place now are the next |

The next is of the highest priority; within a priority the keys take turns, one place each; within a key
the first come is the first served. So a key that floods the queue waits for itself.

A full queue turns away the one whose going is fairest: the newest of the key with the most waiting in the
lowest priority, where that is lower than the newcomer's, or where its key has more waiting than the
newcomer's would have with it; else the newcomer. Nobody of a higher priority is ever turned away for one
of a lower.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

#: Priorities are whole numbers from here ...
LOWEST = 0
#: ... to here; what lies beyond counts as the nearest.
HIGHEST = 9
#: Of a request that says none.
USUAL = 5

W = TypeVar("W", bound=Hashable)


def priority_of(value: float) -> int:
    """A number as a priority: whole, and within the range."""
    if not value > LOWEST:  # NaN too
        return LOWEST
    return HIGHEST if value >= HIGHEST else int(value)


class Place(NamedTuple):
    """Where somebody stands in the queue."""

    priority: int
    key: str


@dataclass(slots=True)
class Joined(Generic[W]):
    """What became of a newcomer. `turned_away`: who had to go for it, if it may wait."""

    waits: bool
    turned_away: W | None = None


#: key -> those of it that wait, in the order they came. The keys stand in the order of their turns.
_Level = OrderedDict[str, OrderedDict[W, None]]


@dataclass(slots=True)
class Line(Generic[W]):
    """The places of one thing, and who waits for one.

    most: places. queue: how many may wait. open: places taken.
    """

    most: int
    queue: int = 0
    open: int = 0
    _places: dict[W, Place] = field(default_factory=dict)
    _levels: dict[int, _Level[W]] = field(default_factory=dict)

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._places)

    def take(self) -> bool:
        """A place at once, where one is free and nobody waits for it."""
        if self.open >= self.most or self._places:
            return False
        self.open += 1
        return True

    def join(self, who: W, priority: int, key: str) -> Joined[W]:
        """Wait for a place, once `take` gave none."""
        if self.queue == 0:
            return Joined(False)
        gone: W | None = None
        if len(self._places) >= self.queue:
            gone = self._least(priority, key)
            if gone is None:
                return Joined(False)
            self.leave(gone)
        self._places[who] = Place(priority, key)
        level = self._levels.setdefault(priority, OrderedDict())
        level.setdefault(key, OrderedDict())[who] = None
        return Joined(True, gone)

    def leave(self, who: W) -> bool:
        """Give up waiting. False where it does not wait (any more): then a place may be its own."""
        place = self._places.pop(who, None)
        if place is None:
            return False
        level = self._levels[place.priority]
        of_key = level[place.key]
        del of_key[who]
        if not of_key:
            del level[place.key]
            if not level:
                del self._levels[place.priority]
        return True

    def free(self) -> W | None:
        """Give a place back. Who has it now, if somebody waited."""
        self.open -= 1
        if self.open < 0:
            raise AssertionError("more places were given back than were taken")
        return next(self._promoted(), None)

    def resize(self, most: int, queue: int) -> list[W]:
        """Other bounds from now on; who has a place now that did not. Nobody who waits is turned away."""
        self.most, self.queue = most, queue
        return list(self._promoted())

    def _promoted(self) -> Iterator[W]:
        """Hand free places to those who wait."""
        while self._places and self.open < self.most:
            level = self._levels[max(self._levels)]
            key, of_key = next(iter(level.items()))
            who = next(iter(of_key))
            level.move_to_end(key)  # its turn is over
            self.leave(who)
            self.open += 1
            yield who

    def _least(self, priority: int, key: str) -> W | None:
        """Who goes, for one of this priority and key to wait; None: the newcomer."""
        lowest = min(self._levels)
        if lowest > priority:
            return None
        level = self._levels[lowest]
        greediest = max(level, key=lambda each: len(level[each]))
        if lowest == priority and len(level[greediest]) <= len(level.get(key, ())) + 1:
            return None
        return next(reversed(level[greediest]))
