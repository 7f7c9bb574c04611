"""The client keys that a process knows, by the hash of each: who shows this one?

A look-up costs the same whatever is shown: the hash of it is made and looked for as a whole, then compared in
constant time with what was found, or with another key of the table, which is as far away in memory. Unknown,
expired and refused are one answer.
"""

from __future__ import annotations

import hmac
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from engine.keys.hashing import PUBLIC, Hasher
from engine.plan.people import Client
from engine.runtime.views import Key, Texts
from engine.state.keys import StoredKey


@dataclass(frozen=True, slots=True)
class Entry:
    """One key. expires: epoch seconds from which on it is nobody's."""

    digest: bytes
    key: Key
    expires: float = math.inf


class Table:
    """Keys by their hashes."""

    __slots__ = ("_all", "_by_digest")

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._by_digest = {entry.digest: entry for entry in entries}
        self._all = tuple(self._by_digest.values()) or (Entry(os.urandom(32), Key(), 0.0),)

    def __len__(self) -> int:
        return len(self._by_digest)

    def find(self, digest: bytes) -> Entry:
        """The key of this hash; any other where there is none."""
        other = int.from_bytes(digest[:7], "big") % len(self._all)
        found = self._by_digest.get(digest)
        return self._all[other] if found is None else found


EMPTY: Final = Table()


class Keyring:
    """The keys of a plan, and the secret that its hashes, and those kept elsewhere, are made under."""

    __slots__ = ("_digest", "empty", "secret", "table")

    def __init__(self, entries: Iterable[Entry] = (), secret: bytes = PUBLIC) -> None:
        self.secret = secret
        self.table = Table(entries)
        self.empty = not len(self.table)  # asked for every request
        self._digest = Hasher(secret).digest

    def __len__(self) -> int:
        return len(self.table)

    def find(self, shown: bytes, more: Table, now: float) -> Key | None:
        """Who shows this; None: nobody. `more`: keys that are kept elsewhere. `now`: epoch seconds."""
        made = self._digest(shown)
        mine, other = self.table.find(made), more.find(made)
        is_mine, is_other = hmac.compare_digest(mine.digest, made), hmac.compare_digest(other.digest, made)
        found = other if is_other else mine
        return found.key if (is_mine | is_other) & (now < found.expires) else None


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
