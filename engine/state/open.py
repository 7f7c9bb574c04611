"""Which ledger a workspace's `state:` names, opened."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from engine.state.ledger import Ledger
from engine.state.memory_ledger import MemoryLedger
from engine.state.store_fault import StoreFault


async def open_ledger(address: str, root: Path, wall: Callable[[], float] = time.time) -> Ledger:
    """The ledger of a state store.

    Args:
        address: as engine.yaml has it: `memory`, `sqlite:PATH`.
        root: the workspace's folder, from which a relative path starts.
        wall: epoch seconds.

    Raises:
        StoreFault: it cannot be made or opened as it is.
    """
    kind, _, place = address.partition(":")
    if kind == "memory":
        return MemoryLedger()
    if kind == "sqlite":
        # Deferred: who counts in memory needs no SQLite.
        from engine.state.scoped_ledger import ScopedLedger
        from engine.state.sqlite_ledger import SqliteLedger

        return ScopedLedger(await asyncio.to_thread(lambda: SqliteLedger(_path(place, root), wall)))
    raise StoreFault(f"{address} is no state store: write memory, sqlite:PATH or redis://HOST:PORT/0")


def _path(place: str, root: Path) -> Path:
    return root / Path(place).expanduser()
