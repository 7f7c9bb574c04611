"""Backoff and the lists of failure classes; the in-place rule itself is tested with `use`."""

from __future__ import annotations

from typing import Any

import pytest

from engine.policies import failures
from engine.policies.backoff import CAP_MS, full_jitter
from engine.policies.retry import LONGEST_BESIDE_OTHERS_MS, LONGEST_DELAY_MS, in_place


@pytest.mark.parametrize(
    ("base", "retry", "draw", "ms"),
    [(200, 0, 0.5, 100), (200, 3, 0.5, 800), (200, 0, 0.0, 0), (0, 5, 0.9, 0), (1_000, 60, 0.5, CAP_MS // 2)],
)
def test_full_jitter(base: int, retry: int, draw: float, ms: int) -> None:
    assert full_jitter(base, retry, draw) == ms


def test_the_group_is_spread_out() -> None:
    assert failures.moving(("transient",)) == set(failures.GROUPS["transient"])
    assert failures.retried(None) == set(failures.GROUPS["transient"])


def test_the_default_of_failures() -> None:
    stays = {"content_policy", "bad_request", "cancelled", "invalid_output"}
    assert failures.moving(None) == set(failures.CLASSES) - stays


def test_some_never_move() -> None:
    assert failures.moving(failures.CLASSES) == set(failures.CLASSES) - {"bad_request", "cancelled"}


@pytest.mark.parametrize(
    ("failure", "told", "verdict"),
    [
        ("server", {"should_retry": False}, "leave"),
        ("server", {"should_retry": True}, "backoff"),
        ("timeout", {"should_retry": True}, "backoff"),
        ("overloaded", {"should_retry": True, "delay_ms": 5}, "vendor"),
        ("rate_limited", {"delay_ms": LONGEST_BESIDE_OTHERS_MS}, "vendor"),
        ("rate_limited", {"delay_ms": LONGEST_BESIDE_OTHERS_MS + 1}, "leave"),
        ("overloaded", {"delay_ms": LONGEST_BESIDE_OTHERS_MS + 1}, "leave"),
        ("server", {"should_retry": True, "delay_ms": LONGEST_BESIDE_OTHERS_MS + 1}, "leave"),
        ("auth", {"rotates": True}, "rotate"),
        ("auth", {"should_retry": True}, "leave"),
    ],
)
def test_what_the_vendor_says_goes_first(failure: str, told: dict[str, Any], verdict: str) -> None:
    listed = failures.retried(None)
    assert in_place(failure, listed=listed, named=(), other_left=True, **told) == verdict


@pytest.mark.parametrize("others", [{"other_left": False}, {"named": ("rate_limited",)}])
def test_only_who_has_no_choice_or_says_so_waits_long(others: dict[str, Any]) -> None:
    told = {"listed": failures.retried(None), "named": (), "other_left": True, **others}
    assert in_place("rate_limited", delay_ms=LONGEST_DELAY_MS, **told) == "vendor"
    assert in_place("rate_limited", delay_ms=LONGEST_DELAY_MS + 1, **told) == "leave"


@pytest.mark.parametrize("failure", failures.CLASSES)
def test_what_is_not_listed_is_never_repeated(failure: str) -> None:
    verdict = in_place(failure, listed=frozenset(), named=(), other_left=False, delay_ms=0)
    assert verdict == "leave"
