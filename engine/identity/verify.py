"""Is a token good? Its signature by PyJWT; its claims by RFC 7519 and RFC 8725, here, with `now` as given.

Times are numbers, as the RFC says: a text that reads like one is none.
"""

from __future__ import annotations

import math
from typing import Any, Final

import orjson

from engine.identity.key_set import KeySet, KeySetFault
from engine.identity.token import Token
from engine.plan.identity import Issuer

Claims = dict[str, Any]

#: Longest `sub`; OpenID Connect allows 255 characters.
_SUBJECT_MAX: Final = 1024


class Refused(Exception):
    """A token is no good. `why`: a word for figures; never told to whoever showed it, and nothing of it."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class UnknownKey(Refused):
    """It may be good, and be signed with a key that has come since the keys were fetched."""

    def __init__(self) -> None:
        super().__init__("key")


def verified(token: Token, issuer: Issuer, keys: KeySet, now: float) -> tuple[Claims, float]:
    """A good token's claims, and the epoch second from which on it is none.

    Raises:
        Refused: it is not good.
        UnknownKey: no key fits it.
    """
    if token.algorithm not in issuer.algorithms:
        raise Refused("algorithm")
    # Before any arithmetic: an old token, or one for somebody else, costs nothing.
    until = check_claims(token.claims, issuer, now)
    key = keys.find(token.kid, token.algorithm)
    if key is None:
        raise UnknownKey
    # Deferred: as in `key_set`.
    from jwt import PyJWS, PyJWTError

    try:
        decoded = PyJWS().decode_complete(token.text, key.made(token.algorithm), algorithms=[token.algorithm])
    except (PyJWTError, KeySetFault, ValueError):
        raise Refused("signature") from None
    signed = orjson.loads(decoded["payload"])
    if signed != token.claims:  # what was checked above is what was signed
        raise Refused("signature")
    return signed, until


def check_claims(claims: Any, issuer: Issuer, now: float) -> float:
    """When claims end, epoch seconds. Raises Refused where they are not for here and now."""
    leeway = issuer.leeway_ms / 1000
    if claims.get("iss") != issuer.issuer:
        raise Refused("issuer")
    if not _is_for(claims.get("aud"), issuer.audience):
        raise Refused("audience")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= _SUBJECT_MAX:
        raise Refused("subject")
    if "cnf" in claims:  # good only together with a key that its bearer shows: a bearer of it alone stole it
        raise Refused("bound")
    until = _time(claims, "exp", required=True) + leeway
    if now >= until:
        raise Refused("expired")
    if _time(claims, "nbf", 0.0) > now + leeway:
        raise Refused("early")
    issued = _time(claims, "iat", 0.0, required=issuer.max_age_ms is not None)
    if issued > now + leeway:
        raise Refused("early")
    if issuer.max_age_ms is not None:
        until = min(until, issued + issuer.max_age_ms / 1000 + leeway)
        if now >= until:
            raise Refused("old")
    if subject in issuer.subjects or (issuer.tokens and _revoked(claims.get("jti"), issuer.tokens)):
        raise Refused("revoked")
    return until


def _is_for(audience: Any, ours: tuple[str, ...]) -> bool:
    if isinstance(audience, str):
        return audience in ours
    return isinstance(audience, list) and any(isinstance(each, str) and each in ours for each in audience)


def _time(claims: Any, name: str, missing: float = 0.0, *, required: bool = False) -> float:
    value = claims.get(name)
    if value is None and name not in claims and not required:
        return missing
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise Refused("times")
    return float(value)


def _revoked(token: Any, revoked: tuple[str, ...]) -> bool:
    """A token without a `jti` cannot be told from one that was revoked."""
    return not isinstance(token, str) or token in revoked
