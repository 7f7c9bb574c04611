"""The token cache of one upstream: one lease for one scheme and credential, for all its deployments."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from engine.upstream.protocol import HttpCall, HttpReply, Transport, TransportError

if TYPE_CHECKING:
    from engine.upstream.schemes.errand import Errand
    from engine.upstream.schemes.tokens import Clock, Lease


class TokenCache:
    """Leases by name. transport: what tokens are fetched over; None: none are, as in a preview."""

    def __init__(self, transport: Transport | None = None, clock: Clock = time.time) -> None:
        self._transport = transport
        self.clock = clock
        self._leases: dict[str, Lease[Any]] = {}

    @cached_property
    def errand(self) -> Errand:
        """Makes the calls. Deferred: who shows a key in its place makes none."""
        from engine.upstream.schemes.errand import Errand

        return Errand(self._transport or _Offline())

    def lease(self, key: str, make: Callable[[], Lease[Any]]) -> Lease[Any]:
        """The lease of a scheme with a credential; `make` makes the first."""
        found = self._leases.get(key)
        if found is None:
            found = self._leases[key] = make()
        return found

    async def close(self) -> None:
        """End the fetches that are under way."""
        for lease in self._leases.values():
            await lease.close()


class _Offline:
    async def send(self, call: HttpCall) -> HttpReply:
        raise TransportError("connect", "nothing is sent from here")

    async def close(self) -> None:
        """Nothing is open."""
