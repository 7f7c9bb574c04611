"""A time as people write it on the command line: `7d` ago, or a date."""

from __future__ import annotations

import re
from datetime import datetime, tzinfo

from engine import units
from engine.usage.sums import UsageFault

_HELP = "write a time such as 7d or 24h, or a date such as 2026-12-01 or 2026-12-01T10:00"


def moment_ms(text: str, now_ms: int, zone: tzinfo) -> int:
    """Epoch ms of `7d` (so long before `now_ms`) or of a date, in `zone` where it names no offset.

    Raises:
        UsageFault: it is neither.
    """
    if re.fullmatch(r"[0-9.]+[a-z]+", text):
        try:
            return now_ms - units.duration(text)
        except units.UnitError as error:
            raise UsageFault(error.message, error.help) from None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageFault(f"{text!r} is no time", _HELP) from None
    return round((moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp() * 1000)
