"""Who goes on with a stream that broke: a walk driven by hand to its answer, then from where that broke."""

from __future__ import annotations

from typing import Any

import pytest

from engine.kinds import resume
from engine.kinds.effects import Outcome
from engine.plan.types import Node

TRANSIENT = ("rate_limited", "overloaded", "timeout", "connect", "server", "cut", "full")


def again(kit: Any, n: int = 1) -> dict[str, Any]:
    return {"retry_extra": n, "retry_failures": TRANSIENT}


def broken(hand: Any, node: Node, failure: str = "cut") -> Outcome:
    """Walk to an answer, and on from its end; the calls of the first walk are forgotten."""
    assert hand.walk(node).ok
    hand.called.clear()
    outcome: Outcome = hand.drive(resume.steps(resume.Broken(hand.attempts[-1], failure, "it broke"), hand))
    return outcome


def test_where_it_broke_goes_on_first(kit: Any) -> None:
    hand = kit.Hand()
    outcome = broken(hand, kit.fallback(kit.use("a", **again(kit)), kit.use("b")))
    assert (outcome.ok, hand.called) == (True, ["a"])
    assert [what for _, what in hand.notes] == ["cut", "retried"]
    assert hand.attempts[-1].retry == 1  # it was the one repeat that there is


@pytest.mark.parametrize(
    ("first", "called"),
    [(["ok", "ok"], ["a", "b"][:1]), (["server", "ok"], ["b"])],
    ids=["a repeat is left", "used up before the answer began"],
)
def test_repeats_are_counted_over_the_break(kit: Any, first: list[str], called: list[str]) -> None:
    hand = kit.Hand({"a": first})
    assert broken(hand, kit.fallback(kit.use("a", **again(kit)), kit.use("b"))).ok
    assert hand.called == called


def test_those_who_would_be_asked_next(kit: Any) -> None:
    """Inner chain, then the outer one; a graph in it stands for its targets in their order."""
    inner = kit.fallback(kit.use("a"), kit.use("b"), id="inner")
    spread = kit.balance(kit.use("d"), kit.use("e"))
    hand = kit.Hand({"b": ["server"], "c": ["bad_request"], "d": ["cut"]})
    assert broken(hand, kit.fallback(inner, kit.use("c"), spread)).ok
    assert hand.called == ["b", "c", "d", "e"]


def test_one_that_cannot_go_on_is_skipped_and_never_asked(kit: Any) -> None:
    hand = kit.Hand()
    chain = kit.fallback(kit.use("a", **again(kit, 2)), kit.use("b"), kit.use("c"))
    assert hand.walk(chain).ok
    hand.called.clear()
    hand.skip = {"a": "unsupported", "b": "unsupported"}
    outcome = hand.drive(resume.steps(resume.Broken(hand.attempts[-1], "cut", "it broke"), hand))
    assert (outcome.ok, hand.called) == (True, ["c"])


def test_nobody_left_fails_as_the_break_did(kit: Any) -> None:
    """What was said to the continuation (a refused prefill, say) is never told."""
    hand = kit.Hand({"b": ["bad_request"]})
    outcome = broken(hand, kit.fallback(kit.use("a"), kit.use("b")))
    assert (outcome.ok, outcome.failure, outcome.message) == (False, "cut", "it broke")
    assert hand.called == ["b"]


@pytest.mark.parametrize(("failure", "called"), [("cut", []), ("server", ["b"])])
def test_only_failures_that_move_on_move_on(kit: Any, failure: str, called: list[str]) -> None:
    hand = kit.Hand()
    broken(hand, kit.fallback(kit.use("a"), kit.use("b"), failures=("server",)), failure)
    assert hand.called == called


@pytest.mark.parametrize(("failure", "called"), [("timeout", ["b"]), ("cut", ["a"])])
def test_silence_leaves_the_target_at_once(kit: Any, failure: str, called: list[str]) -> None:
    hand = kit.Hand()
    assert broken(hand, kit.fallback(kit.use("a", **again(kit)), kit.use("b")), failure).ok
    assert hand.called == called


def test_a_second_break_goes_on_from_there(kit: Any) -> None:
    hand = kit.Hand()
    chain = kit.fallback(kit.use("a"), kit.use("b"), kit.use("c"), kit.use("d"))
    assert broken(hand, chain).ok
    assert hand.called == ["b"]
    assert hand.drive(resume.steps(resume.Broken(hand.attempts[-1], "cut", ""), hand)).ok
    assert hand.called == ["b", "c"]


def test_calls_of_a_request_are_limited_over_the_break(kit: Any) -> None:
    hand = kit.Hand({"b": ["server"]}, calls=2)
    outcome = broken(hand, kit.fallback(kit.use("a"), kit.use("b"), kit.use("c")))
    assert (outcome.ok, hand.called) == (False, ["b"])


def test_a_node_that_answers_by_itself_never_goes_on(kit: Any) -> None:
    hand = kit.Hand()
    chain = kit.fallback(kit.use("a"), kit.respond("Closed."), kit.use("b"))
    assert broken(hand, chain).ok
    assert hand.called == ["b"]


def test_the_vendors_delay_holds_for_a_break_too(kit: Any) -> None:
    hand = kit.Hand()
    assert hand.walk(kit.use("a", **again(kit))).ok
    broken_off = resume.Broken(hand.attempts[-1], "rate_limited", "slower", retry_after_ms=300)
    assert hand.drive(resume.steps(broken_off, hand)).ok
    assert hand.waits == [300]
