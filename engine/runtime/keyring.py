"""The client keys that a process knows, by the hash of each: who shows this one?

A look-up costs the same whatever is shown: the hash of it is made, looked for as a whole, and compared in
constant time with what was found, or with one that nobody has. Unknown, expired and refused are one answer.
"""

from __future__ import annotations

import hmac
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from engine.keys.hashing import PUBLIC, digest
from engine.plan.people import Client
from engine.runtime.views import Key, Texts
from engine.state.keys import StoredKey


@dataclass(frozen=True, slots=True)
class Entry:
    """One key. expires: epoch seconds from which on it is nobody's."""

    digest: bytes
    key: Key
    expires: float = math.inf


#: What is compared where nothing is found.
_NOBODY: Final = Entry(os.urandom(32), Key(), 0.0)


class Keyring:
    """Keys under one secret.

    Args:
        entries: the keys.
        secret: what their hashes are made under.
    """

    __slots__ = ("_by_digest", "secret")

    def __init__(self, entries: Iterable[Entry] = (), secret: bytes = PUBLIC) -> None:
        self.secret = secret
        self._by_digest: Mapping[bytes, Entry] = {entry.digest: entry for entry in entries}

    def __len__(self) -> int:
        return len(self._by_digest)

    def find(self, shown: bytes, more: Mapping[bytes, Entry], now: float) -> Key | None:
        """Who shows this; None: nobody. `more`: keys that are kept elsewhere. `now`: epoch seconds."""
        made = digest(shown, self.secret)
        found = self._by_digest.get(made) or more.get(made) or _NOBODY
        good = hmac.compare_digest(found.digest, made) & (now < found.expires)
        return found.key if good else None


def in_git(clients: Iterable[Client]) -> list[Entry]:
    """The keys of a plan as entries. Such a key's id is its name."""
    return [
        Entry(bytes.fromhex(digest), key, math.inf if each.expires is None else each.expires)
        for each in clients
        for key in (_key(each),)
        for digest in each.digests
    ]


def _key(client: Client) -> Key:
    return Key(
        id=client.name,
        name=client.name,
        org=client.org,
        tags=Texts(client.tags),
        groups=client.groups,
        models=client.models,
        limits=client.limits,
        budgets=client.budgets,
        ips=client.ips,
    )


def of_store(stored: StoredKey) -> Entry:
    """A key of the state store as an entry."""
    said = stored.said
    key = Key(
        id=stored.id,
        name=stored.name,
        org=said.org,
        tags=Texts(said.tags),
        groups=said.groups,
        models=said.models,
        limits=said.limits,
        budgets=said.budgets,
        ips=said.ips,
    )
    return Entry(stored.digest, key, math.inf if stored.ends is None else stored.ends)
