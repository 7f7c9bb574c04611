"""What a fault is: a name, what it does, whom it serves, and how it is played."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from engine.bench.faults.exchange import Exchange, Link

Play = Callable[[Exchange], Awaitable[None]]
AtAccept = Callable[[Link], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Fault:
    """One row of the table.

    serves: ids of the fault matrix (`U4`) and of the failover scenarios (`S06`) that need it.
    play: answers a request. early: is played as soon as the headers are there, the body unread.
    accept: answers a connection before anything came on it; such a fault holds for a whole provider.
    """

    name: str
    what: str
    serves: tuple[str, ...]
    play: Play | None = None
    early: bool = False
    accept: AtAccept | None = None


def table(*rows: Fault) -> dict[str, Fault]:
    """Rows by their names."""
    named = {row.name: row for row in rows}
    assert len(named) == len(rows), "two faults of one name"
    return named


def fault(name: str, what: str, serves: str, play: Play, *, early: bool = False) -> Fault:
    """A row, the ids as words of one text."""
    return Fault(name, what, tuple(serves.split()), play, early)
