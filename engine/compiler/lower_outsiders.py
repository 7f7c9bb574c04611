"""`keys.jwt` and `keys.mtls` as the plan's `Issuer`s and `Certificate`s."""

from __future__ import annotations

from collections.abc import Iterator

from engine.plan.identity import Certificate, Issuer
from engine.spec.keys import Keys
from engine.spec.outsiders import CertificateRule, Claims, Revoked, TokenIssuer

_NO_CLAIMS = Claims()
_NOBODY = Revoked()


def issuers(keys: Keys) -> Iterator[Issuer]:
    """In the order of their names."""
    for name, spec in sorted((keys.jwt or {}).items()):
        yield _issuer(name, spec)


def certificates(keys: Keys) -> Iterator[Certificate]:
    """In the order of their names."""
    for name, spec in sorted((keys.mtls or {}).items()):
        yield _certificate(name, spec)


def _issuer(name: str, spec: TokenIssuer) -> Issuer:
    claims, revoked = spec.claims or _NO_CLAIMS, spec.revoked or _NOBODY
    return Issuer(
        name=name,
        issuer=spec.issuer,
        audience=spec.audience,
        algorithms=spec.algorithms,
        jwks=spec.jwks,
        org=spec.org or "",
        tags=dict(sorted((spec.tags or {}).items())),
        groups=spec.groups or (),
        take_name=claims.name,
        take_org=claims.org,
        take_groups=claims.groups,
        take_tags=dict(sorted((claims.tags or {}).items())),
        leeway_ms=spec.leeway,
        max_age_ms=spec.max_age,
        refresh_ms=spec.refresh,
        keep_ms=spec.keep,
        subjects=revoked.subjects or (),
        tokens=revoked.tokens or (),
    )


def _certificate(name: str, spec: CertificateRule) -> Certificate:
    kind, pattern = spec.name
    return Certificate(
        name=name,
        kind=kind,
        pattern=pattern,
        org=spec.org or "",
        tags=dict(sorted((spec.tags or {}).items())),
        groups=spec.groups or (),
    )
