"""Which ledger a workspace's `state:` names, opened."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from engine.state.ledger import Ledger
from engine.state.memory_ledger import MemoryLedger
from engine.state.store_fault import StoreFault

if TYPE_CHECKING:
    from engine.state.redis.store import RedisStore


async def open_ledger(
    address: str,
    root: Path,
    wall: Callable[[], float] = time.time,
    store: RedisStore | None = None,
) -> Ledger:
    """The ledger of a state store.

    Args:
        address: as engine.yaml has it: `memory`, `sqlite:PATH`, `redis://HOST:PORT/0`.
        root: the workspace's folder, from which a relative path starts.
        wall: epoch seconds.
        store: of a Redis: that one, which stays the caller's; None: one of its own, without a password.

    Raises:
        StoreFault: it cannot be made or opened as it is.
    """
    kind, _, place = address.partition(":")
    if kind == "memory":
        return MemoryLedger()
    if kind == "sqlite":
        # Deferred: who counts in memory needs no SQLite.
        from engine.state.sqlite_ledger import SqliteLedger

        return await asyncio.to_thread(lambda: SqliteLedger(_path(place, root), wall))
    if is_redis(address):
        # Deferred: who has one host needs no Redis.
        from engine.state.redis.open import open_redis, open_redis_ledger
        from engine.state.scoped_ledger import ScopedLedger

        opened = await open_redis(address) if store is None else store
        return ScopedLedger(await open_redis_ledger(opened, root, owns=store is None))
    raise StoreFault(f"{address} is no state store: write memory, sqlite:PATH or redis://HOST:PORT/0")


def is_redis(address: str) -> bool:
    """Whether it is a store of several hosts."""
    return address.startswith(("redis:", "rediss:", "redis+unix:"))


def _path(place: str, root: Path) -> Path:
    return root / Path(place).expanduser()
