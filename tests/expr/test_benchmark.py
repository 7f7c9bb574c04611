"""The benchmark of templates runs, agrees with its reference, and says so."""

from __future__ import annotations

from engine.bench.templates import run


def test_a_smoke_run() -> None:
    report = run(smoke=True)
    assert report.void is None
    assert report.ok
    assert {row.name for row in report.rows} >= {"compiled to Python", "ratio"}
