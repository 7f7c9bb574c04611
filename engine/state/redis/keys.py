"""Client keys in Redis or Valkey, for all hosts that share it.

A hash from each key's digest to what is known of it, a version that counts changes, and the proof of the
secret that the digests are made under. Whoever follows them asks for the version, which is one small call.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Final

from engine.state.keys import OTHER_SECRET, KeysFault, StoredKey, readable, taken
from engine.state.redis.connection import Away, Command
from engine.state.redis.scripts import Script
from engine.state.redis.store import RedisStore
from engine.state.store_fault import StoreAway

#: One hash tag, so that a cluster keeps them in one place.
ALL: Final = "engine:{keys}:all"
PROOF: Final = "engine:{keys}:proof"
VERSION: Final = "engine:{keys}:version"

PUT: Final = Script("keys")

#: Keys that are read at a time: a call has a deadline of milliseconds.
_AT_ONCE: Final = 500
#: Tries of what a person asked for, and the time between two, in seconds.
_TRIES: Final = 20
_AGAIN_S: Final = 0.1


class RedisKeys:
    """Implements `state.keys.KeyStore`. It owns the store that it is given."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store
        self._seen = False

    async def version(self) -> object:
        [version] = await self._call(("GET", VERSION))
        if version is None and self._seen:
            raise StoreAway("the state store has lost the client keys; those that were known stay known")
        self._seen = version is not None
        return version or b"0"

    async def every(self) -> list[StoredKey]:
        found: dict[bytes, StoredKey] = {}
        cursor: Any = b"0"
        while True:
            [(cursor, flat)] = await self._call(("HSCAN", ALL, cursor, "COUNT", _AT_ONCE))
            pairs = zip(flat[::2], flat[1::2], strict=True)
            for key in readable((bytes.fromhex(digest.decode()), text) for digest, text in pairs):
                found[key.digest] = key
            if cursor == b"0":
                return sorted(found.values(), key=lambda key: (key.name, key.digest))

    async def add(self, key: StoredKey, proof: bytes) -> None:
        await self._put([key], proof, key.name)

    async def replace(self, old: Sequence[StoredKey], new: StoredKey, proof: bytes) -> None:
        await self._put([new, *old], proof)

    async def _put(self, keys: Sequence[StoredKey], proof: bytes, name: str = "") -> None:
        rows = [word for key in keys for word in (key.digest.hex(), key.text())]
        said: list[str | int] = [proof.hex(), int(time.time()), name, *rows]
        [done] = await self._surely(("EVAL", PUT.text, 3, ALL, PROOF, VERSION, *said))
        if done == b"taken":
            raise taken(name)
        if done == b"secret":
            raise KeysFault(OTHER_SECRET)

    async def revoke(self, keys: Sequence[StoredKey], at: int) -> None:
        rows = [word for key in keys for word in (key.digest.hex(), key.but(revoked=at).text())]
        await self._surely(("HSET", ALL, *rows), ("INCR", VERSION))

    async def proof(self) -> bytes | None:
        [proof] = await self._call(("GET", PROOF))
        return None if proof is None else bytes.fromhex(proof.decode())

    async def close(self) -> None:
        await self._store.close()

    async def _call(self, *commands: Command) -> list[Any]:
        try:
            return await self._store.link.call(*commands)
        except Away as away:
            raise StoreAway(f"the state store cannot be asked: {away}") from None

    async def _surely(self, *commands: Command) -> list[Any]:
        """The same, again for a while where it is away: what is sent may be sent twice."""
        for left in reversed(range(_TRIES)):
            try:
                return await self._call(*commands)
            except StoreAway:
                if not left:
                    raise
                await asyncio.sleep(_AGAIN_S)
        raise AssertionError("unreachable")
