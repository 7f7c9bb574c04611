"""The client keys of the state store, as this process knows them: read at the start, and again when changed.

Whether they changed is looked at every `POLL_S`, which costs next to nothing, so a key that was revoked by
another process opens nothing within a second. While the store cannot be asked, the keys that were known go on
being known, and that is told.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from engine.keys import hashing
from engine.observe.log import Log
from engine.runtime.keyring import EMPTY, Table, of_store
from engine.server.identity import Identities
from engine.state.keys import OTHER_SECRET, KeyStore
from engine.state.open_keys import open_keys
from engine.state.store_fault import StoreAway, StoreFault

#: Between two looks, in seconds.
POLL_S: Final = 0.4

Open = Callable[[], Awaitable[KeyStore | None]]


class StoredKeys:
    """Follows one store for one process's `identities`."""

    def __init__(self, identities: Identities, log: Log) -> None:
        self.identities = identities
        self._log = log
        self._open: Open = _nowhere
        self._secret: Callable[[], bytes] = lambda: hashing.PUBLIC
        self._store: KeyStore | None = None
        self._version: object = None
        self._why: str | None = None
        self._open_to_all = False  # nobody is anonymous only because the store could not be asked yet
        self._task: asyncio.Task[None] | None = None

    async def start(self, address: str, root: Path, secret: Callable[[], bytes]) -> None:
        """Read the keys, and follow them from here on.

        Of a store that is away now nobody knows whether it has keys: until it is there, nobody is anonymous.

        Args:
            address: of the state store, as engine.yaml has it.
            root: the workspace's folder.
            secret: what hashes are made under now.

        Raises:
            OSError: the keys cannot be read, and later will not do.
        """
        if address == "memory":
            return
        self._secret = secret
        self._open = lambda: open_keys(address, root)
        try:
            await self._look()
        except StoreAway as away:
            self._away(away)
            self._open_to_all = not self.identities.closed
            self.identities.closed = True
        self._task = asyncio.get_running_loop().create_task(self._follow(), name="client-keys")

    def again(self) -> None:
        """Read all of them anew: what their hashes are made under may be another secret."""
        self._version = None

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self._close()

    def told(self) -> dict[str, Any]:
        """For `/admin/status`: how many are good now, and why the store cannot be asked, if so."""
        return {"stored": len(self.identities.stored), "store": self._why or "ok"}

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(POLL_S)
            try:
                await self._look()
            except OSError as error:
                self._away(error)
            except Exception as error:  # noqa: BLE001 - whatever it is, revocations are looked for again
                self._away(OSError(f"the client keys cannot be read: {error!r}"))
            else:
                if self._why is not None:
                    self._log.info("client_keys_back")
                self._why = None

    def _away(self, error: OSError) -> None:
        if self._why is None:
            self._log.error("client_keys_away", why=str(error))
        self._why = str(error)

    async def _look(self) -> None:
        """Open the store once it is there; read it where it changed."""
        if self._store is None:
            self._store = await self._open()
            self._version = None
            if self._store is None:
                return
        version = await self._store.version()
        if version is None:  # another store stands in its place
            await self._close()
            self._take(EMPTY)
        elif version != self._version:
            proof = await self._store.proof()
            if proof is not None and proof != hashing.proof(self._secret()):
                raise StoreFault(OTHER_SECRET)
            every = await self._store.every()
            self._take(await asyncio.to_thread(lambda: Table(map(of_store, every))))
            self._version = version

    def _take(self, keys: Table) -> None:
        identities = self.identities
        identities.stored = keys
        identities.closed = bool(keys) or (identities.closed and not self._open_to_all)
        self._open_to_all = False
        self._log.info("client_keys", known=len(keys))

    async def _close(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            await store.close()


async def _nowhere() -> KeyStore | None:
    return None
