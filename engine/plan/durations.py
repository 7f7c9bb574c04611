"""How long vendors say to wait, in the many ways that they say it, as seconds."""

from __future__ import annotations

import re
from typing import Any, Final

_PART: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|us|ns|s|m|h|d)")
_SECONDS: Final = {"ns": 1e-9, "us": 1e-6, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def seconds(value: Any) -> float | None:
    """`34`, `"34"`, `"34s"`, `"1m2.5s"`, `"250ms"` as seconds; absent for anything else, a date too."""
    if value.__class__ is int or value.__class__ is float:
        return float(value) if 0 <= value < 1e9 else None
    if not isinstance(value, str) or not value or len(value) > 40:
        return None
    text = value.strip().lower()
    if re.fullmatch(r"[0-9]+(?:\.[0-9]+)?", text):
        return float(text) if float(text) < 1e9 else None
    total, at = 0.0, 0
    for part in _PART.finditer(text):
        if part.start() != at:
            return None
        total += float(part[1]) * _SECONDS[part[2]]
        at = part.end()
    return total if at == len(text) and total < 1e9 else None
