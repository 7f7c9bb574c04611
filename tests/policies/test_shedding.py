"""How pressed a process is, and whom it refuses: the table of `policies/shedding.py`."""

from __future__ import annotations

import math

import pytest

from engine.policies.shedding import RECENT, WINDOW, Lateness, late_pressure, refused, share_pressure


@pytest.mark.parametrize(
    ("used", "at", "pressure"),
    [
        (0.5, 0.95, 0.0),
        (0.95, 0.95, 0.0),
        (0.97, 0.95, 0.5),
        (0.99, 0.95, 1.0),
        (1.2, 0.95, 1.0),
        (math.nan, 0.95, 0.0),
        (1.0, 1.0, 0.0),
    ],
)
def test_a_share_of_a_limit(used: float, at: float, pressure: float) -> None:
    assert share_pressure(used, at) == pytest.approx(pressure)


@pytest.mark.parametrize(("late", "pressure"), [(0, 0.0), (500, 0.0), (750, 0.5), (1_000, 1.0), (9_000, 1.0)])
def test_a_late_loop(late: float, pressure: float) -> None:
    assert late_pressure(late, 500) == pressure


def test_one_pause_is_not_standing() -> None:
    lateness = Lateness()
    for late in [0.0] * WINDOW + [900.0] * (WINDOW - 1):
        lateness.look(late)
    assert (lateness.standing, lateness.worst) == (0.0, 900.0)
    lateness.look(700.0)
    assert lateness.standing == 700.0


def test_few_looks_say_nothing() -> None:
    lateness = Lateness()
    assert (lateness.standing, lateness.worst) == (0.0, 0.0)
    for _ in range(WINDOW - 1):
        lateness.look(900.0)
    assert lateness.standing == 0.0


def test_the_worst_is_forgotten() -> None:
    lateness = Lateness()
    lateness.look(-3.0)  # a timer may fire early
    lateness.look(900.0)
    for _ in range(RECENT):
        lateness.look(1.0)
    assert lateness.worst == 1.0


@pytest.mark.parametrize(
    ("pressure", "draw", "gone"), [(0, 0, False), (0.5, 0.49, True), (0.5, 0.5, False), (1, 0.999, True)]
)
def test_who_is_refused(pressure: float, draw: float, gone: bool) -> None:
    assert refused(pressure, draw) is gone
