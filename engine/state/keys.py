"""Client keys that live in the state store: what is kept of one, and the way to it.

Of the key itself its hash is kept and nothing else. A client's id stays the same when its key is rotated, so
that budgets and limits that count by `key.id` count on. Times are epoch seconds.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, Protocol, Self

log = logging.getLogger("engine.state")


@dataclass(frozen=True, slots=True)
class Said:
    """What a key says of who has it; as `plan.people.Client`."""

    org: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    groups: tuple[str, ...] = ()
    models: tuple[str, ...] | None = None
    limits: tuple[str, ...] = ()
    budgets: tuple[str, ...] = ()
    ips: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Without what is not said."""
        return {name: value for name, value in asdict(self).items() if value not in ("", (), {}, None)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `as_json` wrote; what a later version may have added is no fault."""
        known: dict[str, Any] = {}
        for name in {each.name for each in fields(cls)} & data.keys():
            known[name] = tuple(data[name]) if isinstance(data[name], list) else data[name]
        return cls(**known)


@dataclass(frozen=True, slots=True)
class StoredKey:
    """One key of a client. digest: 32 bytes. expires, revoked: from when on it is nobody's; None: not."""

    digest: bytes
    id: str
    name: str
    said: Said
    created: int
    expires: int | None = None
    revoked: int | None = None

    def state(self, now: float) -> Literal["good", "expired", "revoked"]:
        """What it is at this time."""
        if self.revoked is not None and self.revoked <= now:
            return "revoked"
        return "expired" if self.expires is not None and self.expires <= now else "good"

    @property
    def ends(self) -> int | None:
        """From when on it is nobody's, whatever the reason."""
        ends = [at for at in (self.expires, self.revoked) if at is not None]
        return min(ends) if ends else None

    def but(self, *, revoked: int) -> Self:
        """The same, revoked from then on."""
        return replace(self, revoked=revoked)

    def text(self) -> str:
        """As JSON, but for its digest."""
        told = {"id": self.id, "name": self.name, "said": self.said.as_json(), "created": self.created}
        return json.dumps({**told, "expires": self.expires, "revoked": self.revoked})

    @classmethod
    def read(cls, digest: bytes, text: str | bytes) -> Self:
        """What `text` wrote."""
        data = json.loads(text)
        told = {name: data[name] for name in ("id", "name", "created", "expires", "revoked")}
        return cls(digest=digest, said=Said.from_json(data["said"]), **told)


def readable(rows: Iterable[tuple[bytes, str | bytes]]) -> list[StoredKey]:
    """The keys of these rows. One that cannot be read is nobody's, and keeps nobody from the others."""
    keys: list[StoredKey] = []
    for digest, text in rows:
        try:
            keys.append(StoredKey.read(digest, text))
        except (ValueError, TypeError, KeyError, AttributeError):
            log.error("a client key of the state store cannot be read; it lets nobody in")
    return keys


def new_id() -> str:
    """An id for a client, unlike every other."""
    return "client-" + secrets.token_hex(6)


class KeysFault(Exception):
    """What was asked of the keys cannot be done. The text says why, for whoever asked."""


class KeyStore(Protocol):
    """The keys of all processes that share a state store. Every method may raise OSError: it is not there."""

    async def version(self) -> object:
        """Another value than before where another process made or changed a key since; cheap. None: what is
        open is not what is there any more.
        """
        ...

    async def every(self) -> list[StoredKey]:
        """All of them, those that are no longer good too."""
        ...

    async def add(self, key: StoredKey, proof: bytes) -> None:
        """A key of a new client. `proof`: of the secret that its hash is made under.

        Raises:
            KeysFault: a client of that name has a good key, or the others' hashes are made under another
                secret.
        """
        ...

    async def replace(self, old: Sequence[StoredKey], new: StoredKey, proof: bytes) -> None:
        """Another key for a client, while these get the ends that they have here. Raises as `add`."""
        ...

    async def revoke(self, keys: Sequence[StoredKey], at: int) -> None:
        """These are nobody's from `at` on."""
        ...

    async def proof(self) -> bytes | None:
        """Of the secret that hashes here are made under; None: there are no keys."""
        ...

    async def close(self) -> None: ...


def taken(name: str) -> KeysFault:
    """There is a client of that name already."""
    return KeysFault(
        f"the client `{name}` has a good key already: `engine keys rotate {name}` makes it another, "
        f"`engine keys revoke {name}` takes it away"
    )


OTHER_SECRET = (
    "the keys in this store were made under another `keys_secret`: serve and make keys with that one, or "
    "revoke them all and begin anew"
)
