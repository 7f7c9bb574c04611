"""Which window of a budget a moment is in: a day, week, month or quarter of a time zone, or a fixed length.

A calendar window begins at its first day's midnight in the zone and ends at the next one's, so a day may have
23, 24 or 25 hours. A midnight that the clock skips is the moment of the skip, one that comes twice the first
of the two: windows follow one another without a gap, and every moment is in exactly one.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, tzinfo

from engine.plan.money import Window


def window_of(window: Window, wall_ms: int, zone: tzinfo) -> tuple[str, int, int | None]:
    """The window that a moment is in: its name, and where it begins and ends, in epoch ms.

    Names are those of the dates (`2026-12-01`, `2026-W49`, `2026-12`, `2026-Q4`), so that they stay the same
    where the zone changes. A rolling one has one name and no end.
    """
    if window.kind == "rolling":
        assert window.ms is not None
        return (f"rolling-{window.ms}", wall_ms - window.ms, None)
    if window.kind == "every":
        assert window.ms is not None
        number = wall_ms // window.ms
        return (f"every-{window.ms}-{number}", number * window.ms, (number + 1) * window.ms)
    first = datetime.fromtimestamp(wall_ms // 1000, zone).date()
    if window.kind == "day":
        name, last = first.isoformat(), first + timedelta(days=1)
    elif window.kind == "week":
        first -= timedelta(days=first.weekday())
        year, week, _ = first.isocalendar()
        name, last = f"{year}-W{week:02}", first + timedelta(days=7)
    elif window.kind == "month":
        first = first.replace(day=1)
        name, last = f"{first.year}-{first.month:02}", _months_on(first, 1)
    else:
        quarter = (first.month - 1) // 3
        first = first.replace(month=3 * quarter + 1, day=1)
        name, last = f"{first.year}-Q{quarter + 1}", _months_on(first, 3)
    return name, _midnight(first, zone), _midnight(last, zone)


def _months_on(first: date, months: int) -> date:
    month = first.month - 1 + months
    return date(first.year + month // 12, month % 12 + 1, 1)


def _midnight(day: date, zone: tzinfo) -> int:
    """When a day begins. Of a midnight that is skipped or comes twice, `fold=0` means what was said above."""
    moment = datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
    return round(moment.timestamp() * 1000)
