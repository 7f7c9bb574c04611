"""How a budget stands, in words."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from engine.observe.standings import window_shown
from engine.plan.money import Window
from engine.policies.calendar import window_of

BERLIN = ZoneInfo("Europe/Berlin")
NOON = 1_764_586_800_000  # 2025-12-01T12:00:00+01:00


@pytest.mark.parametrize(
    ("window", "shown"),
    [
        (Window("month"), "2025-12"),
        (Window("week"), "2025-W49"),
        (Window("day"), "2025-12-01"),
        (Window("quarter"), "2025-Q4"),
        (Window("rolling", 86_400_000), "rolling 1d"),
        (Window("every", 21_600_000), "every 6h from 2025-12-01T07:00:00+01:00"),
    ],
)
def test_a_window_is_told_as_it_was_written(window: Window, shown: str) -> None:
    assert window_shown(window_of(window, NOON, BERLIN)[0], BERLIN) == shown
