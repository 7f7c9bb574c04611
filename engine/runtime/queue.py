"""Places of deployments and routes: who has one, who waits, and how waiting ends.

The rules are `policies/admission`'s. Here those who wait are futures, which a place, a timer (`wait`, or the
request's deadline) or somebody fairer ends; a request whose client leaves gives up in the same moment. A
place that was handed over to one who has just left goes on to the next.

Lines hang on names, so they outlive reloads: a plan with other bounds applies them when the next one comes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Literal, NamedTuple

from engine.plan.types import Concurrent
from engine.policies.admission import Line
from engine.runtime.clock import Clock

#: How a wait ends: with a place, for somebody fairer, by `wait`, by the request's deadline.
_End = Literal["place", "turned_away", "waited", "deadline"]

#: `full` is told to come back after this long: a place may be given back at any time.
RETRY_MS: Final = 1_000

#: Gives (priority, key) of whoever would wait; asked only then.
Turn = Callable[[], tuple[int, str]]


class Refused(NamedTuple):
    """No place. reason: `full` or `timeout`; why: in words, for the record and the client.

    at_once: there was no waiting.
    """

    reason: str
    why: str
    retry_after_ms: int | None = RETRY_MS
    at_once: bool = False


@dataclass(slots=True)
class Seen:
    """What happened in a line, for metrics. Waits that ended, in number and seconds; refusals by why."""

    waits: int = 0
    waited_s: float = 0.0
    refused: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Entry:
    bounds: Concurrent
    line: Line[asyncio.Future[_End]]
    seen: Seen = field(default_factory=Seen)


class Lines:
    """The lines of one sort of thing (deployments, routes), by name."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._entries: dict[str, _Entry] = {}

    def take(self, name: str, bounds: Concurrent) -> bool:
        """A place at once, where one is free and nobody waits for it; `leave` must give it back.

        Args:
            name: of the deployment or route.
            bounds: what the plan says of it.
        """
        entry = self._entries.get(name)
        if entry is None:
            entry = self._entries[name] = _Entry(bounds, Line(bounds.most, bounds.queue))
        elif entry.bounds != bounds:
            entry.bounds = bounds
            _wake(entry.line.resize(bounds.most, bounds.queue), entry.line)
        return entry.line.take()

    async def wait(self, name: str, turn: Turn, deadline: float | None) -> Refused | None:
        """Wait for a place, once `take` gave none. None: it is taken, and `leave` must give it back.

        Args:
            name: of the deployment or route.
            turn: priority and key of whoever waits.
            deadline: of the request, in ms on the clock.
        """
        entry = self._entries[name]
        line, bounds = entry.line, entry.bounds
        future: asyncio.Future[_End] = asyncio.get_running_loop().create_future()
        joined = line.join(future, *turn())
        if joined.turned_away is not None and not joined.turned_away.done():
            joined.turned_away.set_result("turned_away")
        if not joined.waits:
            return _refused(entry, "full", f"{name}: {_taken(entry)}")._replace(at_once=True)
        began = self._clock.now_ms()
        end: _End = "waited"
        until = began + bounds.wait_ms
        if deadline is not None and deadline < until:
            until, end = deadline, "deadline"
        timer = self._clock.timer(until - began, partial(_expire, line, future, end))
        try:
            ended = await future
        except BaseException:
            # Cancelled. A place may have been handed over in the same turn of the loop: it goes on.
            if not line.leave(future) and not future.cancelled() and future.result() == "place":
                _give_back(line)
            raise
        finally:
            timer.cancel()
            waited = self._clock.now_ms() - began
            entry.seen.waits += 1
            entry.seen.waited_s += waited / 1000
        if ended == "place":
            return None
        if ended == "deadline":
            why = f"{name}: the deadline passed while waiting for a place"
            return _refused(entry, ended, why, reason="timeout")
        if ended == "turned_away":
            return _refused(entry, ended, f"{name}: the queue is full, and others go first")
        return _refused(entry, ended, f"{name}: no place within {waited:.0f} ms; {_taken(entry)}")

    def leave(self, name: str) -> None:
        """Give a place back; the next in line has it at once."""
        _give_back(self._entries[name].line)

    def open(self, name: str) -> int:
        """Places taken."""
        entry = self._entries.get(name)
        return 0 if entry is None else entry.line.open

    def waiting(self, name: str) -> int:
        """How many wait."""
        entry = self._entries.get(name)
        return 0 if entry is None else entry.line.waiting

    def seen(self) -> dict[str, Seen]:
        """What happened, by name."""
        return {name: entry.seen for name, entry in self._entries.items()}


def _expire(line: Line[asyncio.Future[_End]], future: asyncio.Future[_End], end: _End) -> None:
    if not future.done():
        line.leave(future)
        future.set_result(end)


def _give_back(line: Line[asyncio.Future[_End]]) -> None:
    who = line.free()
    while who is not None and who.done():  # it was cancelled in this turn of the loop
        who = line.free()
    if who is not None:
        who.set_result("place")


def _wake(promoted: list[asyncio.Future[_End]], line: Line[asyncio.Future[_End]]) -> None:
    """Tell those who have a place now."""
    for who in promoted:
        if who.done():
            _give_back(line)
        else:
            who.set_result("place")


def _taken(entry: _Entry) -> str:
    places = f"all {entry.line.most} places are taken"
    return f"{places} and {entry.line.waiting} wait" if entry.line.queue else places


def _refused(entry: _Entry, why: str, words: str, reason: str = "full") -> Refused:
    counts = entry.seen.refused
    counts[why] = counts.get(why, 0) + 1
    return Refused(reason, words, None if reason == "timeout" else RETRY_MS)


class Queues:
    """All places of a process."""

    def __init__(self, clock: Clock) -> None:
        self.deployments = Lines(clock)
        self.routes = Lines(clock)
