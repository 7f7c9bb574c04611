"""What workers tell of themselves as one document."""

from __future__ import annotations

from typing import Any

import pytest

from engine.control.together import together


@pytest.mark.parametrize(
    ("told", "one"),
    [
        ([{"in_flight": 2}, {"in_flight": 3}], {"in_flight": 5}),
        ([{"provider": "p"}, {"provider": "p"}], {"provider": "p"}),
        ([{"latency_ms": 10.0}, {"latency_ms": None}, {"latency_ms": 20.0}], {"latency_ms": 15.0}),
        ([{"latency_ms": None}, {"latency_ms": None}], {"latency_ms": None}),
        ([{"breaker": "open"}, {"breaker": "closed"}], {"breaker": ["open", "closed"]}),
        ([{"missing": None}, {"missing": None}], {"missing": None}),
        ([{"a": {"open": 1}}, {"b": {"open": 2}}], {"a": {"open": 1}, "b": {"open": 2}}),
        ([{"in_flight": 4}], {"in_flight": 4}),
    ],
)
def test_together(told: list[dict[str, Any]], one: dict[str, Any]) -> None:
    assert together(told) == one
