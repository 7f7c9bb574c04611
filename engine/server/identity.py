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
from engine.runtime.keyring import Entry, Keyring
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

    sources: asked in this order where it is no client key. stored: the keys of the state store, by digest.
    closed: somebody has a key there, or had one: nobody is anonymous any more.
    """

    __slots__ = ("_now", "closed", "sources", "stored")

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self.sources: tuple[Source, ...] = ()
        self.stored: Mapping[bytes, Entry] = {}
        self.closed = False

    def who(
        self, head: Mapping[bytes, bytes], scope: Mapping[str, Any], snapshot: Snapshot
    ) -> Key | Awaitable[Key]:
        """Whose request this is.

        Raises:
            RequestError: 401, nobody's; 400, it shows two credentials.
        """
        ring = snapshot.keyring or _NO_RING
        if not (ring or self.closed or self.sources):
            return ANONYMOUS
        credential = shown(head)
        found = ring.find(credential, self.stored, self._now())
        if found is not None:
            return found
        if self.sources:
            return self._others(credential, head, scope)
        raise refused()

    async def _others(self, credential: bytes, head: Mapping[bytes, bytes], scope: Mapping[str, Any]) -> Key:
        for source in self.sources:
            found = source.find(credential, head, scope)
            if found is not None and not isinstance(found, Key):
                found = await found
            if found is not None:
                return found
        raise refused()


def refused() -> RequestError:
    """The answer to whoever may not come in."""
    return RequestError(REFUSED, status=401, code="invalid_key")
