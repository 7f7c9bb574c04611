"""What a token endpoint answers: the token, and when it ends."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from engine.upstream.schemes.failed import AuthFailed
from engine.upstream.schemes.tokens import Fetched
from engine.upstream.secrets import SecretValue

#: How long a token is taken to hold whose answer does not say.
UNSAID_S: Final = 300.0
_MOST: Final = 32 << 10


def token_of(
    body: Mapping[str, Any],
    now: float,
    whom: str,
    *,
    token: str = "access_token",
    expires_in: str = "expires_in",
    expires_at: str | None = None,
    lifetime: float | None = None,
) -> Fetched[SecretValue]:
    """The token of an answer. `token`, `expires_in` and `expires_at` are dotted paths into it.

    now: seconds since 1970. lifetime: seconds it holds where the answer does not say.

    Raises:
        AuthFailed: the answer holds no token that a header can carry.
    """
    value = _at(body, token)
    if not isinstance(value, str) or not value or len(value) > _MOST or not _visible(value):
        raise AuthFailed("server", f"{whom} answered without a usable token (`{token}`)")
    ends = moment(_at(body, expires_at)) if expires_at is not None else None
    if ends is None:
        seconds = number(_at(body, expires_in))
        ends = now + (seconds if seconds is not None else lifetime or UNSAID_S)
    return Fetched(SecretValue(value), ends)


def moment(value: Any) -> float | None:
    """A moment in seconds since 1970, from such a number or an RFC 3339 text; None where it is neither."""
    seconds = number(value)
    if seconds is not None:
        return seconds
    if not isinstance(value, str):
        return None
    try:
        read = datetime.fromisoformat(value)
    except ValueError:
        return None
    return (read if read.tzinfo is not None else read.replace(tzinfo=UTC)).timestamp()


def number(value: Any) -> float | None:
    """A number, or the text of one."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        read = float(value)
    except ValueError:
        return None
    return read if abs(read) < 1e12 else None


def _at(body: Any, path: str) -> Any:
    for key in path.split("."):
        body = body.get(key) if isinstance(body, Mapping) else None
    return body


def _visible(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text
