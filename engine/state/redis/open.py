"""Opens what a `state: redis://...` names: the store, once a process, and the ledger over it."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from pathlib import Path
from typing import Final

from engine.state.redis.address import Address, parse
from engine.state.redis.connection import missing
from engine.state.redis.journal import Journal
from engine.state.redis.ledger import RedisLedger
from engine.state.redis.store import RedisStore
from engine.state.store_fault import StoreFault

log = logging.getLogger("engine.state")

#: What was told to the store, below the workspace.
JOURNAL: Final = Path(".engine/redis.db")


async def open_redis(address: str, settles: bool = True, deadline_ms: int | None = None) -> RedisStore:
    """The store. One that is away now is no fault: it is looked for, and accounts do as they say meanwhile.

    Args:
        address: as `engine.state.redis.address` says.
        settles: where the store is new, all have told what they hold when this returns.
        deadline_ms: of a call; None: that of calls that clients wait for.

    Raises:
        StoreFault: it is no address, or the client library is missing.
    """
    store = await RedisStore.open(_usable(address), deadline_ms=deadline_ms)
    if settles:  # so that no first request is refused
        await asyncio.sleep(store.link.settling_ms() / 1000)
    return store


async def open_redis_ledger(store: RedisStore, root: Path, owns: bool = False) -> RedisLedger:
    """A ledger over it. root: the workspace, in which it keeps its journal, if it can."""
    return await RedisLedger.open(store, await asyncio.to_thread(_journal, root / JOURNAL), owns=owns)


def _usable(address: str) -> Address:
    """Raises StoreFault where it is no address, or one that this process cannot use."""
    lacking = missing()
    if lacking is not None:
        raise StoreFault(lacking)
    try:
        parsed = parse(address)
        parsed.login()
    except ValueError as error:
        raise StoreFault(f"state: {error}") from None
    return parsed


def _journal(path: Path) -> Journal | None:
    try:
        return Journal(path)
    except (OSError, sqlite3.Error) as error:
        log.warning(
            "%s cannot be written (%s): after a restart this host cannot tell a store that has lost its data "
            "what it had told it before",
            path,
            error,
        )
        return None
