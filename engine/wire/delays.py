"""How vendors write a delay: seconds, milliseconds, `1m2.5s`, an HTTP date, RFC 3339, a Unix time."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import re2

#: A longer delay is cut to this: nobody waits a day.
CAP_MS: Final = 86_400_000
#: A number beyond it is no delay but a moment: seconds since 1970, or milliseconds.
_EPOCH_S: Final = 1_000_000_000
_EPOCH_MS: Final = 1_000_000_000_000

_DURATION: Final = re2.compile(
    r"^(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?$"
)
_MILLISECONDS: Final = re2.compile(r"(?:[-_]ms|Ms)$")


def in_milliseconds(name: str) -> bool:
    """Whether a header or field of this name gives milliseconds: `retry-after-ms`, `retryAfterMs`."""
    return _MILLISECONDS.search(name) is not None


def delay_ms(value: Any, *, now: float, milliseconds: bool = False) -> float | None:
    """The delay in ms from `now` (epoch seconds), negative for a past moment; None for what is no delay."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    text = str(value).strip()
    try:
        number = float(text)
    except ValueError:
        return _written(text, now)
    if text.lstrip("+-")[:1].isalpha():  # `nan`, `inf`: words that Python reads, and no delay
        return None
    if number >= _EPOCH_MS:
        return number - now * 1000
    if number >= _EPOCH_S and not milliseconds:
        return (number - now) * 1000
    return min(number, float(CAP_MS)) * (1 if milliseconds else 1000)


def _written(text: str, now: float) -> float | None:
    parts = _DURATION.match(text) if text else None
    if parts is not None:
        days, hours, minutes, seconds, millis = (float(part) if part else 0.0 for part in parts.groups())
        return (((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1000 + millis
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            moment = read(text)
            zoned = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
            return (zoned.timestamp() - now) * 1000
        except (ValueError, TypeError, OverflowError):
            continue
    return None
