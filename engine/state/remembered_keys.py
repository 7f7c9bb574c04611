"""Client keys of a store that may be away: what was read last is remembered on this host.

So a sidecar that starts while the store is away lets in whom it would have, and nobody else. The file is its
owner's; hashes of keys stand in it, and no key.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from engine.state.keys import KeyStore, StoredKey

#: Where they are remembered, below the workspace.
COPY: Final = Path(".engine/known-keys.json")


class RememberedKeys:
    """Implements `state.keys.KeyStore` over another one, which it owns."""

    def __init__(self, store: KeyStore, copy: Path) -> None:
        self._store = store
        self._copy = copy
        self._known: list[StoredKey] | None = None
        self._proof: bytes | None = None

    async def version(self) -> object:
        """Once `remembered`, where the store is away and nothing has been read yet; then it raises."""
        try:
            return await self._store.version()
        except OSError:
            if self._known is None and await asyncio.to_thread(self._remember):
                return "remembered"
            raise

    async def every(self) -> list[StoredKey]:
        try:
            keys, proof = await self._store.every(), await self._store.proof()
        except OSError:
            if self._known is None:
                raise
            return self._known
        self._known, self._proof = keys, proof
        with contextlib.suppress(OSError):  # without it, only a start while the store is away is refused
            await asyncio.to_thread(self._keep)
        return keys

    async def proof(self) -> bytes | None:
        try:
            return await self._store.proof()
        except OSError:
            if self._known is None:
                raise
            return self._proof

    async def add(self, key: StoredKey, proof: bytes) -> None:
        await self._store.add(key, proof)

    async def replace(self, old: Sequence[StoredKey], new: StoredKey, proof: bytes) -> None:
        await self._store.replace(old, new, proof)

    async def revoke(self, keys: Sequence[StoredKey], at: int) -> None:
        await self._store.revoke(keys, at)

    async def close(self) -> None:
        await self._store.close()

    def _keep(self) -> None:
        keys = {key.digest.hex(): key.text() for key in self._known or ()}
        told = {"proof": None if self._proof is None else self._proof.hex(), "keys": keys}
        folder = self._copy.parent
        folder.mkdir(parents=True, exist_ok=True)
        ignored = folder / ".gitignore"
        if folder.name == ".engine" and not ignored.exists():
            ignored.write_text("*\n")
        part = self._copy.with_name(f"{self._copy.name}.{os.getpid()}")
        descriptor = os.open(part, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(told, file)
        part.replace(self._copy)

    def _remember(self) -> bool:
        """Whether it is known here what the store had last."""
        try:
            told: Any = json.loads(self._copy.read_bytes())
            keys = [StoredKey.read(bytes.fromhex(digest), text) for digest, text in told["keys"].items()]
            self._proof = None if told["proof"] is None else bytes.fromhex(told["proof"])
        except (OSError, ValueError, KeyError, TypeError):
            return False
        self._known = keys
        return True
