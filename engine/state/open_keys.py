"""Where client keys are kept, by a workspace's `state:`: beside what is counted."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from engine.state.keys import KeyStore

#: The keys' file, beside the ledger's.
FILE: Final = "keys.db"


#: How long a call to a Redis may take: nobody's request waits for it.
_PATIENT_MS: Final = 500


def keys_file(address: str, root: Path) -> Path | None:
    """The file of a `sqlite:PATH` store; None: keys are not kept in a file there."""
    kind, _, place = address.partition(":")
    return (root / Path(place).expanduser()).parent / FILE if kind == "sqlite" else None


def keeps_keys(address: str) -> bool:
    """Whether there is a place for keys: memory is gone with its process."""
    return address != "memory"


async def open_keys(address: str, root: Path, *, make: bool = False) -> KeyStore | None:
    """The keys of a state store.

    Args:
        address: as engine.yaml has it.
        root: the workspace's folder, from which a relative path starts.
        make: whether a file is made where there is none.

    Returns:
        None where there are none: of `memory`, and where a file is not there and not to be made.

    Raises:
        OSError: it cannot be opened as it is; the text says why and what to do.
    """
    path = keys_file(address, root)
    if path is not None:
        # Deferred: who has no keys there needs no SQLite.
        from engine.state.sqlite_keys import SqliteKeys

        try:
            return await asyncio.to_thread(lambda: SqliteKeys(path, make=make))
        except FileNotFoundError:
            return None
    if not keeps_keys(address):
        return None
    # Deferred: who has one host needs no Redis.
    from engine.state.redis.keys import RedisKeys
    from engine.state.redis.open import open_redis
    from engine.state.remembered_keys import COPY, RememberedKeys

    keys = RedisKeys(await open_redis(address, settles=False, deadline_ms=_PATIENT_MS))
    return keys if make else RememberedKeys(keys, root / COPY)
