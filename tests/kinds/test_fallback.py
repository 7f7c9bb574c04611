"""`fallback`: the first that answers; `failures` says what moves on."""

from __future__ import annotations

from typing import Any

import pytest


def test_the_first_that_answers(kit: Any) -> None:
    hand = kit.Hand({"a": ["server"], "b": ["auth"]})
    outcome = hand.walk(kit.fallback(kit.use("a"), kit.use("b"), kit.use("c")))
    assert outcome.deployment == "c"
    assert hand.called == ["a", "b", "c"]


@pytest.mark.parametrize("failure", ["bad_request", "content_policy", "cancelled"])
def test_some_failures_stop_by_default(kit: Any, failure: str) -> None:
    hand = kit.Hand({"a": [failure]})
    outcome = hand.walk(kit.fallback(kit.use("a"), kit.use("b")))
    assert outcome.failure == failure
    assert hand.called == ["a"]
    assert ("chain", "stopped") in hand.notes


@pytest.mark.parametrize(
    "failure",
    ["rate_limited", "quota_exhausted", "overloaded", "timeout", "connect", "server", "auth", "permission",
     "not_found", "context_length", "unsupported", "cut"],
)  # fmt: skip
def test_the_others_move_on_by_default(kit: Any, failure: str) -> None:
    hand = kit.Hand({"a": [failure]})
    assert hand.walk(kit.fallback(kit.use("a"), kit.use("b"))).deployment == "b"


def test_content_policy_moves_on_where_it_is_named(kit: Any) -> None:
    hand = kit.Hand({"a": ["content_policy"]})
    outcome = hand.walk(kit.fallback(kit.use("a"), kit.use("b"), failures=("content_policy",)))
    assert outcome.deployment == "b"


@pytest.mark.parametrize("failure", ["bad_request", "cancelled"])
def test_two_never_move_on_even_where_they_are_named(kit: Any, failure: str) -> None:
    hand = kit.Hand({"a": [failure]})
    assert not hand.walk(kit.fallback(kit.use("a"), kit.use("b"), failures=(failure,))).ok
    assert hand.called == ["a"]


def test_only_what_is_named_moves_on(kit: Any) -> None:
    hand = kit.Hand({"a": ["auth"]})
    outcome = hand.walk(kit.fallback(kit.use("a"), kit.use("b"), failures=("transient",)))
    assert outcome.failure == "auth"


def test_a_skipped_target_never_stops_the_chain(kit: Any) -> None:
    hand = kit.Hand(unfit={"a": "permission"})
    outcome = hand.walk(kit.fallback(kit.use("a"), kit.use("b"), failures=("server",)))
    assert outcome.deployment == "b"


def test_a_calls_own_error_wins_over_skips_around_it(kit: Any) -> None:
    hand = kit.Hand({"b": ["server"], "c": ["full"]}, unfit={"a": "unsupported"})
    outcome = hand.walk(kit.fallback(kit.use("a"), kit.use("b"), kit.use("c")))
    assert (outcome.failure, outcome.deployment, outcome.tried) == ("server", "b", True)


def test_the_last_calls_error_wins_over_earlier_ones(kit: Any) -> None:
    hand = kit.Hand({"a": ["server"], "b": ["overloaded"]})
    assert hand.walk(kit.fallback(kit.use("a"), kit.use("b"))).failure == "overloaded"


@pytest.mark.parametrize(
    ("unfit", "failure"),
    [
        ({"a": "context_length", "b": "context_length"}, "context_length"),
        ({"a": "context_length", "b": "unsupported"}, "full"),
    ],
)
def test_all_skipped(kit: Any, unfit: dict[str, str], failure: str) -> None:
    hand = kit.Hand(unfit=unfit)
    outcome = hand.walk(kit.fallback(kit.use("a"), kit.use("b")))
    assert (outcome.tried, outcome.failure) == (False, failure)


def test_chains_in_chains(kit: Any) -> None:
    """What the inner chain does not move on for, the outer one may."""
    inner = kit.fallback(kit.use("a"), kit.use("b"), id="inner", failures=("server",))
    hand = kit.Hand({"a": ["auth"]})
    assert hand.walk(kit.fallback(inner, kit.use("c"))).deployment == "c"
    assert hand.called == ["a", "c"]


def test_a_timeout_leaves_for_the_outer_chain(kit: Any) -> None:
    inner = kit.fallback(kit.use("a", retry_extra=1), id="inner")
    hand = kit.Hand({"a": ["timeout"]})
    hand.walk(kit.fallback(inner, kit.use("b")))
    assert hand.called == ["a", "b"]


def test_a_graphs_own_answer_is_final(kit: Any) -> None:
    hand = kit.Hand({"a": ["server"]})
    outcome = hand.walk(kit.fallback(kit.use("a"), kit.reject(), kit.use("b")))
    assert (outcome.final, outcome.code, hand.called) == (True, "not_allowed", ["a"])


def test_reject_is_no_target_to_leave_for(kit: Any) -> None:
    """A timeout would be retried in place where only a `reject` is left."""
    hand = kit.Hand({"a": ["timeout", "ok"]})
    assert hand.walk(kit.fallback(kit.use("a", retry_extra=1), kit.reject())).ok


def test_calls_used_up_ends_with_the_last_error(kit: Any) -> None:
    hand = kit.Hand({"a": ["server"], "b": ["server"]}, calls=2)
    outcome = hand.walk(kit.fallback(kit.use("a"), kit.use("b"), kit.use("c")))
    assert (outcome.failure, hand.called) == ("server", ["a", "b"])
