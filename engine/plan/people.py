"""Who may ask, and what holds for them: client keys kept in Git, groups, and what policies require.

Times are epoch seconds. Names of budgets and limits are those of the plan's `money`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from engine.plan.identity import Certificate, Issuer
from engine.plan.types import Admit, Ceilings
from engine.plan.values import Expr, Secret

#: The group of keys that are in no other.
DEFAULT: Final = "default"


@dataclass(frozen=True, slots=True)
class Client:
    """A client key kept in Git, or made by hand: its hash, never the key.

    digests: 64 hexadecimal digits each, of the keys it has now. groups: beside those whose `when` holds.
    models: the only ones it may ask for, `*` may end one; None: all. ips: where it may come from; empty:
    anywhere.
    """

    name: str
    digests: tuple[str, ...]
    org: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    groups: tuple[str, ...] = ()
    models: tuple[str, ...] | None = None
    limits: tuple[str, ...] = ()
    budgets: tuple[str, ...] = ()
    expires: int | None = None
    ips: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Group:
    """Policy for people. `default` holds for keys that are in no other."""

    name: str
    when: Expr | None = None
    models: tuple[str, ...] | None = None
    limits: tuple[str, ...] = ()
    budgets: tuple[str, ...] = ()
    residency: tuple[str, ...] | None = None
    ips: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Floor:
    """What a policy requires of the requests whose key `when` holds for; None: of all.

    credentials: the only ones that may be shown; None: any. explicit: none from a provider file's defaults.
    """

    name: str
    when: Expr | None = None
    models: tuple[str, ...] | None = None
    residency: tuple[str, ...] | None = None
    budgets: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    admit: Admit | None = None
    per_request: Ceilings | None = None
    credentials: tuple[str, ...] | None = None
    explicit: bool = False


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag that keys may carry. values: the ones it may have; None: any text."""

    values: tuple[str, ...] | None = None
    required: bool = False


@dataclass(frozen=True, slots=True)
class People:
    """All of it. orgs: the declared ones; None: none are.

    must: tags that a policy or a credential asks about: whoever lacks one is refused, key or no key.
    secret: where the secret is read that hashes are made under; None: a public text.
    """

    clients: tuple[Client, ...] = ()
    groups: tuple[Group, ...] = ()
    floors: tuple[Floor, ...] = ()
    orgs: tuple[str, ...] | None = None
    tags: Mapping[str, Tag] = field(default_factory=dict)
    must: tuple[str, ...] = ()
    secret: Secret | None = None
    issuers: tuple[Issuer, ...] = ()
    certificates: tuple[Certificate, ...] = ()


@dataclass(frozen=True, slots=True)
class PeopleSegment:
    people: People
