"""`use`: one target and the only retry loop of the process."""

from __future__ import annotations

from typing import Any

import pytest

TRANSIENT = ("rate_limited", "overloaded", "timeout", "connect", "server", "cut", "full")


def test_an_answer_ends_it(kit: Any) -> None:
    hand = kit.Hand()
    outcome = hand.walk(kit.use("a", retry_extra=3))
    assert outcome.ok
    assert outcome.reply == "from a"
    assert hand.called == ["a"]


@pytest.mark.parametrize("failure", ["connect", "server", "cut", "rate_limited", "overloaded", "timeout"])
def test_the_only_target_is_asked_again_after_a_backoff(kit: Any, failure: str) -> None:
    hand = kit.Hand({"a": [failure, "ok"]}, draws=(0.25,))
    outcome = hand.walk(kit.use("a", retry_extra=1, retry_failures=TRANSIENT, retry_backoff_ms=400))
    assert outcome.ok
    assert hand.called == ["a", "a"]
    assert hand.waits == [100]


@pytest.mark.parametrize(
    "failure",
    [
        "auth",
        "not_found",
        "context_length",
        "content_policy",
        "invalid_output",
        "quota_exhausted",
        "unsupported",
    ],
)
def test_what_would_fail_the_same_way_is_not_asked_again(kit: Any, failure: str) -> None:
    hand = kit.Hand({"a": [failure, "ok"]})
    outcome = hand.walk(kit.use("a", retry_extra=2, retry_failures=(*TRANSIENT, failure)))
    assert outcome.failure == failure
    assert hand.called == ["a"]
    assert hand.waits == []


@pytest.mark.parametrize("failure", ["bad_request", "cancelled"])
def test_some_are_never_repeated_whatever_is_listed(kit: Any, failure: str) -> None:
    hand = kit.Hand({"a": [failure, "ok"]})
    outcome = hand.walk(kit.use("a", retry_extra=2, retry_failures=(failure,), retry_named=(failure,)))
    assert outcome.failure == failure
    assert hand.called == ["a"]


@pytest.mark.parametrize(
    ("failure", "named", "other_left", "called"),
    [
        ("timeout", False, True, 1),
        ("timeout", False, False, 2),
        ("timeout", True, True, 2),
        ("overloaded", False, True, 1),
        ("overloaded", False, False, 2),
        ("overloaded", True, True, 2),
        (("overloaded", 300), False, True, 2),
        ("server", False, True, 2),
        (("rate_limited", 300), False, True, 2),
        ("rate_limited", False, True, 2),
    ],
)
def test_the_in_place_rule(kit: Any, failure: Any, named: bool, other_left: bool, called: int) -> None:
    name = failure if isinstance(failure, str) else failure[0]
    first = kit.use("a", retry_extra=1, retry_failures=TRANSIENT, retry_named=(name,) if named else ())
    hand = kit.Hand({"a": [failure, failure]})
    hand.walk(kit.fallback(first, kit.use("b")) if other_left else kit.fallback(first))
    assert hand.called.count("a") == called
    assert ("b" in hand.called) is other_left


def test_a_target_that_cannot_serve_does_not_count_as_left(kit: Any) -> None:
    chain = kit.fallback(kit.use("a", retry_extra=1), kit.use("b"), failures=("transient",))
    hand = kit.Hand({"a": ["timeout", "ok"]}, unfit={"b": "context_length"})
    assert hand.walk(chain).ok
    assert hand.called == ["a", "a"]


def test_a_failure_that_does_not_move_on_leaves_nobody(kit: Any) -> None:
    chain = kit.fallback(kit.use("a", retry_extra=1), kit.use("b"), failures=("server",))
    hand = kit.Hand({"a": ["timeout", "ok"]})
    assert hand.walk(chain).ok
    assert hand.called == ["a", "a"]


def test_the_vendors_delay_is_waited_out(kit: Any) -> None:
    hand = kit.Hand({"a": [("rate_limited", 2_000), "ok"]})
    assert hand.walk(kit.use("a", retry_extra=1)).ok
    assert hand.waits == [2_000]


def test_a_delay_that_does_not_fit_leaves_the_target(kit: Any) -> None:
    hand = kit.Hand({"a": [("rate_limited", 60_000), "ok"]}, fits_ms=10_000)
    outcome = hand.walk(kit.fallback(kit.use("a", retry_extra=1), kit.use("b")))
    assert outcome.deployment == "b"
    assert hand.called == ["a", "b"]


def test_backoff_doubles_with_full_jitter_and_a_cap(kit: Any) -> None:
    hand = kit.Hand({"a": ["server"]}, draws=(0.5, 0.5, 0.5, 0.999))
    hand.walk(kit.use("a", retry_extra=4, retry_backoff_ms=10_000))
    assert hand.waits == [5_000, 10_000, 15_000, 29_970]


def test_the_default_backoff(kit: Any) -> None:
    hand = kit.Hand({"a": ["server", "ok"]}, draws=(0.5,))
    hand.walk(kit.use("a", retry_extra=1))
    assert hand.waits == [100]


def test_what_cannot_serve_is_skipped_without_a_call(kit: Any) -> None:
    hand = kit.Hand(unfit={"a": "unsupported"})
    outcome = hand.walk(kit.use("a"))
    assert (outcome.tried, outcome.failure, hand.called) == (False, "unsupported", [])
    assert hand.notes == [("a", "skipped")]


def test_no_lease_no_call(kit: Any) -> None:
    hand = kit.Hand({"a": ["full"]})
    outcome = hand.walk(kit.use("a"))
    assert (outcome.tried, outcome.failure, outcome.retry_after_ms) == (False, "full", 700)
    assert hand.called == []


def test_no_lease_for_the_retry_keeps_the_calls_own_error(kit: Any) -> None:
    hand = kit.Hand({"a": ["server", "full"]})
    outcome = hand.walk(kit.use("a", retry_extra=1))
    assert (outcome.tried, outcome.failure) == (True, "server")


def test_calls_are_a_ceiling_over_retries(kit: Any) -> None:
    hand = kit.Hand({"a": ["server"]}, calls=2)
    outcome = hand.walk(kit.use("a", retry_extra=9))
    assert hand.called == ["a", "a"]
    assert outcome.failure == "server"


def test_calls_used_up_before_the_first(kit: Any) -> None:
    hand = kit.Hand(calls=0)
    outcome = hand.walk(kit.use("a"))
    assert (outcome.tried, outcome.failure) == (False, "full")
