"""Who asks: a request's credential as the `Key` that routes, policies, budgets and limits read.

Asked before a byte of the body is read. Where nobody has a key (none in the plan, none in the store, no other
source of identities) everybody is anonymous; such a process listens on loopback addresses only. As soon as
there is one, whoever shows none, or one that is unknown, expired or revoked, gets the same 401.

    key = identities.who(head, scope, snapshot)
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol

from engine.errors import RequestError
from engine.policies.networks import Networks, client_address
from engine.runtime.keyring import EMPTY, Keyring, Table
from engine.runtime.snapshot import Snapshot
from engine.runtime.views import ANONYMOUS, Key
from engine.server.credential import shown

#: One text for all of it: whoever tries keys learns nothing from it.
REFUSED: Final = (
    "this path asks for a client key that is known and good: `authorization: Bearer KEY`, or the header that "
    "your SDK has for keys"
)

_NO_RING: Final = Keyring()


class Source(Protocol):
    """Another way to be somebody than a client key: a token of an identity provider, a certificate."""

    def find(
        self, shown: bytes, head: Mapping[bytes, bytes], scope: Mapping[str, Any]
    ) -> Key | Awaitable[Key | None] | None:
        """Who this is; None: not for this source to say, or nobody. `shown` is empty where nothing is."""
        ...


class Identities:
    """One process's ways to know who asks.

    sources: asked in this order where it is no client key. stored: the keys of the state store.
    closed: somebody has a key there, or had one: nobody is anonymous any more. trusted: the proxies whose
    word on a client's address counts.
    """

    __slots__ = ("_now", "closed", "sources", "stored", "trusted")

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self.sources: tuple[Source, ...] = ()
        self.stored: Table = EMPTY
        self.closed = False
        self.trusted = Networks(())

    def who(
        self, head: Mapping[bytes, bytes], scope: Mapping[str, Any], snapshot: Snapshot
    ) -> Key | Awaitable[Key]:
        """Whose request this is.

        Raises:
            RequestError: 401, nobody's; 400, it shows two credentials.
        """
        ring = _NO_RING if snapshot.keyring is None else snapshot.keyring
        if ring.empty and not self.closed and not self.sources:
            return ANONYMOUS
        credential = shown(head)
        found = ring.find(credential, self.stored, self._now())
        if found is not None:
            return self._from_here(found, head, scope, snapshot)
        for source in self.sources:
            outsider = source.find(credential, head, scope)
            if isinstance(outsider, Key):
                return self._from_here(outsider, head, scope, snapshot)
            if outsider is not None:
                return self._later(outsider, head, scope, snapshot)
        raise refused()

    async def _later(
        self,
        outsider: Awaitable[Key | None],
        head: Mapping[bytes, bytes],
        scope: Mapping[str, Any],
        snapshot: Snapshot,
    ) -> Key:
        """The first source that has to ask somebody is the only one for what is shown."""
        found = await outsider
        if found is None:
            raise refused()
        return self._from_here(found, head, scope, snapshot)

    def _from_here(
        self, key: Key, head: Mapping[bytes, bytes], scope: Mapping[str, Any], snapshot: Snapshot
    ) -> Key:
        """The key, where its request may come from where it does. Raises RequestError (401)."""
        ranges = snapshot.person(key).ips
        if ranges:
            peer = scope.get("client")
            told = head.get(b"x-forwarded-for")
            address = client_address(
                None if peer is None else peer[0],
                None if told is None else told.decode("latin-1"),
                self.trusted,
            )
            if not all(address in networks for networks in ranges):
                raise refused()
        return key


def refused() -> RequestError:
    """The answer to whoever may not come in."""
    return RequestError(REFUSED, status=401, code="invalid_key")
