"""Delays as vendors write them, in headers and in bodies."""

from __future__ import annotations

from typing import Any

import pytest

from engine.plan.vendors import Headroom, RetryAfter
from engine.upstream.headroom import HeadroomSeen
from engine.wire.delays import delay_ms
from engine.wire.failures import RETRY_AFTER, Classifier, retry_after_ms

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("value", "ms"),
    [
        ("34s", 34_000),
        ("1m2s", 62_000),
        ("6m0s", 360_000),
        ("1h2m3.5s", 3_723_500),
        ("250ms", 250),
        ("1d", 86_400_000),
        ("2", 2_000),
        (2.5, 2_500),
        ("1800000007", 7_000),
        ("1800000007000", 7_000),
        ("2027-01-15T08:00:09Z", 9_000),
        ("2027-01-15T09:00:09+01:00", 9_000),
        ("Fri, 15 Jan 2027 08:00:05 GMT", 5_000),
        ("2027-01-15T07:59:59Z", -1_000),
        ("soon", None),
        ("", None),
        (True, None),
        (None, None),
        ({}, None),
        ("nan", None),
    ],
)
def test_forms(value: Any, ms: float | None) -> None:
    found = delay_ms(value, now=NOW)
    assert found == ms if ms is None else found == pytest.approx(ms)


def test_a_delay_inside_an_error_body() -> None:
    places = (RetryAfter(path="error.details.*.retryDelay"), *RETRY_AFTER)
    body = {"error": {"details": [{"reason": "x"}, {"retryDelay": "34s"}]}}
    assert retry_after_ms({"retry-after": "2"}, body, places, NOW) == 34_000
    assert retry_after_ms({"retry-after": "2"}, {"error": {}}, places, NOW) == 2_000
    assert retry_after_ms({}, {"wait_ms": 250}, (RetryAfter(path="wait_ms"),), NOW) == 250
    told = Classifier((), None, places).parsed(429, {}, body)
    assert told["retry_after_ms"] == 34_000


def test_headroom_is_the_last_word() -> None:
    seen = HeadroomSeen(
        {"requests": Headroom("x-left", "x-resets", "x-limit"), "tokens": Headroom("x-tokens")}
    )
    seen.read("gpt", {"x-left": "9", "x-resets": "6m0s", "x-limit": "10", "x-tokens": "many"})
    seen.read("gpt", {"x-left": "8", "x-limit": "10"})
    seen.read("gpt", {"content-type": "text/plain"})
    seen.read("other", {"x-left": "-1", "x-tokens": "1000"})
    rows = {(deployment, what): (left.left, left.limit) for deployment, what, left in seen.rows()}
    assert rows == {("gpt", "requests"): (8.0, 10.0), ("other", "tokens"): (1000.0, None)}
