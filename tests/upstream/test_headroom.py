"""What is left of a vendor's quotas, as a share."""

from __future__ import annotations

import math

import pytest

from engine.plan.vendors import Headroom
from engine.upstream.headroom import HeadroomSeen

HEADERS = {
    "requests": Headroom("x-left-requests", "x-reset-requests", "x-limit-requests"),
    "tokens": Headroom("x-left-tokens", None, None),
}


@pytest.mark.parametrize(
    ("headers", "share"),
    [
        ({}, math.nan),
        ({"x-left-requests": "25", "x-limit-requests": "100"}, 0.25),
        ({"x-left-requests": "200", "x-limit-requests": "100"}, 1.0),
        ({"x-left-requests": "0", "x-limit-requests": "100", "x-reset-requests": "60s"}, 0.0),
        ({"x-left-requests": "0", "x-limit-requests": "100", "x-reset-requests": "0s"}, 1.0),
        ({"x-left-tokens": "500"}, math.nan),
        ({"x-left-tokens": "0"}, 0.0),
        ({"x-left-requests": "50", "x-limit-requests": "100", "x-left-tokens": "0"}, 0.0),
    ],
)
def test_the_tightest_counts(headers: dict[str, str], share: float) -> None:
    seen = HeadroomSeen(HEADERS)
    seen.read("d", headers)
    assert seen.share("d") == pytest.approx(share, nan_ok=True)
    assert math.isnan(seen.share("other"))
