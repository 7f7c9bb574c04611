"""`engine bench outage`: its worlds in virtual time, small, and when a vendor is asked again."""

from __future__ import annotations

import pytest

from engine.bench.outage.bench import Options, bench
from engine.bench.outage.world import Fault, play


@pytest.mark.parametrize("failure", ["server", "overloaded", "connect", "rate_limited"])
@pytest.mark.parametrize("route", ["fallback", "balance", "alone"])
def test_an_outage_multiplies_nothing(route: str, failure: str) -> None:
    fault = Fault(failure, 2.0, 22.0)  # type: ignore[arg-type] # a word of the list above
    count = play(route, fault, rate=50, seconds=50, seed=3)
    assert count.attempts < count.requests / 2
    assert count.last_failed < 43, "it is asked again"


def test_the_budget_holds_alone() -> None:
    """Of 4,000 requests to two targets that fail each makes its first attempt, and 200 make more."""
    count = play("budget-alone", Fault("server", 0.0, 20.0), rate=200, seconds=20, seed=3)
    assert count.requests == 4_000
    assert 4_200 <= count.attempts <= 4_240


def test_a_partial_fault_is_not_seen_by_clients() -> None:
    count = play("partial-fallback", Fault("server", 0.0, 20.0, share=0.3), rate=200, seconds=20, seed=3)
    assert count.answered / count.requests > 0.998
    assert 1.3 < count.attempts / count.requests < 1.5


def test_silence_is_limited_by_the_calls_own_time() -> None:
    count = play("fallback", Fault("timeout", 0.0, 60.0), rate=20, seconds=60, seed=3)
    assert count.attempts < count.requests


def test_the_report() -> None:
    report = bench(Options(rate=20, outage=2, partial=20, smoke=True))
    assert report.ok
    assert not report.judged
    assert len(report.rows) == 24
