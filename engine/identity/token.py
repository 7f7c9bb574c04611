"""A token's text taken apart: its header and claims as they stand there, before anybody has checked them.

Only the compact form of a signed token (RFC 7515) is read. What could make two readers see two things is
refused here: an extension that must be understood, a payload that is not encoded, a kind of token that is no
access or identity token. Of the header nothing counts but `alg` and `kid`: keys that a token brings along
(`jwk`, `x5c`) or names an address of (`jku`, `x5u`) are never looked at.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

#: Longest token. Tokens with hundreds of groups in them have 8 KB.
MAX_BYTES: Final = 16 * 1024
_KID_MAX: Final = 256

_SHAPE: Final = re.compile(rb"([A-Za-z0-9_-]{2,2048})\.([A-Za-z0-9_-]{2,})\.([A-Za-z0-9_-]{2,2048})")
#: `typ` of a token that stands for its bearer; others (`logout+jwt`, `dpop+jwt`) mean something else.
_TYPES: Final = frozenset({"jwt", "at+jwt", "application/jwt", "application/at+jwt"})


@dataclass(frozen=True, slots=True)
class Token:
    """What a token says of itself. kid: of the key it is signed with; None: it does not say."""

    text: bytes
    algorithm: str
    kid: str | None
    claims: Mapping[str, Any]


def looks_like_one(shown: bytes) -> bool:
    """Whether a credential could be a token at all: cheap, and true of nothing else that clients show."""
    return shown.startswith(b"ey") and shown.count(b".") == 2


def read_token(shown: bytes) -> Token | None:
    """The token, unchecked. None: it is none, or one that is never taken."""
    if len(shown) > MAX_BYTES:
        return None
    parts = _SHAPE.fullmatch(shown)
    if parts is None:
        return None
    header, claims = _object(parts[1]), _object(parts[2])
    if header is None or claims is None or "crit" in header or "b64" in header or "zip" in header:
        return None
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        return None
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str):
        return None
    if kid is not None and (not isinstance(kid, str) or len(kid) > _KID_MAX):
        return None
    return Token(shown, algorithm, kid, claims)


def _object(part: bytes) -> dict[str, Any] | None:
    try:
        value = orjson.loads(base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4)))
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
