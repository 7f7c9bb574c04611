"""Windows in time zones: their names and bounds at daylight-saving changes, and that they tile all time."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.plan.money import Window
from engine.policies.calendar import window_of

HOUR = 3_600_000
ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",  # half an hour of daylight saving
    "Africa/Cairo",  # its midnight is skipped in spring
    "America/Havana",  # its midnight comes twice in autumn
    "Asia/Kathmandu",
    "Pacific/Apia",  # had no 30th of December 2011
)


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


@pytest.mark.parametrize(
    ("zone", "kind", "at", "name", "starts", "hours"),
    [
        ("Europe/Berlin", "day", "2026-03-29T12:00+02:00", "2026-03-29", "2026-03-29T00:00+01:00", 23),
        ("Europe/Berlin", "day", "2026-10-25T02:30+01:00", "2026-10-25", "2026-10-25T00:00+02:00", 25),
        ("Europe/Berlin", "day", "2026-03-28T23:00Z", "2026-03-29", "2026-03-29T00:00+01:00", 23),
        ("Europe/Berlin", "day", "2026-03-28T22:59:59.999Z", "2026-03-28", "2026-03-28T00:00+01:00", 24),
        ("America/New_York", "day", "2026-11-01T01:30-05:00", "2026-11-01", "2026-11-01T00:00-04:00", 25),
        (
            "Australia/Lord_Howe",
            "day",
            "2026-04-05T01:45+10:30",
            "2026-04-05",
            "2026-04-05T00:00+11:00",
            24.5,
        ),
        (
            "Australia/Lord_Howe",
            "day",
            "2026-10-04T12:00+11:00",
            "2026-10-04",
            "2026-10-04T00:00+10:30",
            23.5,
        ),
        ("Africa/Cairo", "day", "2026-04-24T05:00+03:00", "2026-04-24", "2026-04-24T00:00+02:00", 23),
        ("America/Havana", "day", "2026-11-01T00:30-05:00", "2026-11-01", "2026-11-01T00:00-04:00", 25),
        ("Pacific/Apia", "day", "2011-12-31T05:00+14:00", "2011-12-31", "2011-12-31T00:00+14:00", 24),
        ("Europe/Berlin", "week", "2026-10-25T12:00+01:00", "2026-W43", "2026-10-19T00:00+02:00", 7 * 24 + 1),
        ("UTC", "week", "2027-01-01T00:00Z", "2026-W53", "2026-12-28T00:00Z", 7 * 24),
        ("UTC", "month", "2028-02-29T23:59Z", "2028-02", "2028-02-01T00:00Z", 29 * 24),
        ("UTC", "month", "2026-12-31T23:59Z", "2026-12", "2026-12-01T00:00Z", 31 * 24),
        ("America/New_York", "month", "2026-12-01T04:59Z", "2026-11", "2026-11-01T00:00-04:00", 30 * 24 + 1),
        ("Europe/Berlin", "quarter", "2026-12-31T22:59Z", "2026-Q4", "2026-10-01T00:00+02:00", 92 * 24 + 1),
        ("Europe/Berlin", "quarter", "2026-12-31T23:00Z", "2027-Q1", "2027-01-01T00:00+01:00", 90 * 24 - 1),
    ],
)
def test_calendar_windows(zone: str, kind: str, at: str, name: str, starts: str, hours: float) -> None:
    found = window_of(Window(kind), ms(at), ZoneInfo(zone))  # type: ignore[arg-type] # from the table
    assert found == (name, ms(starts), ms(starts) + round(hours * HOUR))


def test_a_fixed_length_counts_from_the_epoch_and_a_rolling_one_never_ends() -> None:
    six = 6 * HOUR
    at = ms("2026-12-01T07:00Z")
    assert window_of(Window("every", six), at, UTC) == (
        f"every-{six}-{at // six}",
        ms("2026-12-01T06:00Z"),
        ms("2026-12-01T12:00Z"),
    )
    assert window_of(Window("rolling", six), at, UTC) == (f"rolling-{six}", at - six, None)


@given(
    zone=st.sampled_from(ZONES),
    kind=st.sampled_from(["day", "week", "month", "quarter"]),
    at=st.integers(ms("2005-01-01T00:00Z"), ms("2060-01-01T00:00Z")),
)
def test_windows_tile_all_time(zone: str, kind: str, at: int) -> None:
    window, tz = Window(kind), ZoneInfo(zone)  # type: ignore[arg-type] # from the list
    name, starts, ends = window_of(window, at, tz)
    assert ends is not None
    assert starts <= at < ends
    assert window_of(window, starts, tz) == window_of(window, ends - 1, tz) == (name, starts, ends)
    after, before = window_of(window, ends, tz), window_of(window, starts - 1, tz)
    assert after[1] == ends
    assert before[2] == starts
    assert len({name, after[0], before[0]}) == 3
