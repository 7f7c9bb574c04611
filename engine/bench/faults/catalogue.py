"""The table of faults: every name that a script may use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from engine.bench.faults.bodies import BODIES
from engine.bench.faults.changing import CHANGING
from engine.bench.faults.fault import Fault
from engine.bench.faults.healthy import HEALTHY
from engine.bench.faults.sockets import SOCKETS
from engine.bench.faults.statuses import STATUSES
from engine.bench.faults.streams import STREAMS

FAULTS: Final[dict[str, Fault]] = HEALTHY | STATUSES | SOCKETS | STREAMS | BODIES | CHANGING


class UnknownFault(ValueError):
    """A script names what is not in the table."""


def script(text: str) -> tuple[Fault, ...]:
    """The faults that a text names, in order: `500,503,ok`. Raises UnknownFault.

    What stands behind a `#` tells scripts of the same faults apart and means nothing else.
    """
    names = [name.strip() for name in text.partition("#")[0].split(",")]
    unknown = [name for name in names if name not in FAULTS]
    if unknown:
        raise UnknownFault(f"no fault is called {unknown[0]!r}; `engine bench upstream --list` prints them")
    return tuple(FAULTS[name] for name in names)


def as_text(faults: Sequence[Fault]) -> str:
    """The table for people."""
    width = max(len(row.name) for row in faults)
    return "\n".join(f"  {row.name:<{width}}  {row.what}  ({' '.join(row.serves)})" for row in faults)
