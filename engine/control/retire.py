"""The end of a plan: closed when its last request has ended, then freed some at a time.

Letting go of a plan of twenty thousand routes frees some hundred thousand objects, in one go: the loop would
stand still for as long. So its parts are held here until the plan itself is gone, and dropped in slices.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from engine.control import slices
from engine.runtime.snapshot import Snapshot

#: So many objects are dropped between two looks at the clock: a bound route takes a tenth of a millisecond.
_STEP: Final = 32


async def retire(snapshot: Snapshot) -> None:
    """Drain a snapshot and let go of it. The caller must hold it no longer."""
    await snapshot.drain()
    parts: list[Any] = []
    await slices.run(_collected(snapshot, parts))
    del snapshot
    await slices.run(_dropped(parts))


def _collected(snapshot: Snapshot, parts: list[Any]) -> Iterator[None]:
    for some in snapshot.held():
        parts.extend(some)
        yield


def _dropped(parts: list[Any]) -> Iterator[None]:
    while parts:
        del parts[-_STEP:]
        yield
