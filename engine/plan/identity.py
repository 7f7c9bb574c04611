"""Who is known by a token of an identity provider, or by a certificate: what a plan says of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Take:
    """A text out of a token's claims.

    path: the way down to it: names of claims, positions in lists. values: what counts as which text, the
    first that is there wins; None: what stands there, as it is.
    """

    path: tuple[str | int, ...]
    values: tuple[tuple[str, str], ...] | None = None


@dataclass(frozen=True, slots=True)
class Issuer:
    """An identity provider whose tokens are taken.

    name: its name in the workspace. issuer: the text that its tokens have as `iss`. audience: a token is for
    at least one of these. jwks: where its keys are, a URL or `file:PATH`; None: where it says itself.
    org, tags, groups: of all its tokens; the takes: of each.
    max_age_ms: of a token since it was issued; None: its end alone counts.
    keep_ms: how long keys are good that could not be fetched again.
    subjects, tokens: whose `sub` or `jti` is refused.
    """

    name: str
    issuer: str
    audience: tuple[str, ...]
    algorithms: tuple[str, ...]
    jwks: str | None = None
    org: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    groups: tuple[str, ...] = ()
    take_name: Take | None = None
    take_org: Take | None = None
    take_groups: Take | None = None
    take_tags: Mapping[str, Take] = field(default_factory=dict)
    leeway_ms: int = 30_000
    max_age_ms: int | None = None
    refresh_ms: int = 600_000
    keep_ms: int = 86_400_000
    subjects: tuple[str, ...] = ()
    tokens: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Certificate:
    """Whose certificates are somebody's. kind: `uri`, `dns`, `email` or `cn`; pattern: maybe with `*`."""

    name: str
    kind: str
    pattern: str
    org: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    groups: tuple[str, ...] = ()
