"""`balance`: who is asked, and who next."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import pytest

ALL_RANKS = ["weight", "round_robin", "in_flight", "latency", "cost"]


def test_weights_are_shares(kit: Any) -> None:
    random = Random(7)
    node = kit.balance(kit.use("a"), kit.use("b"), kit.use("c"), weights=(6, 3, 1))
    seen: Counter[str] = Counter()
    for _ in range(4_000):
        hand = kit.Hand(draws=(random.random(),))
        hand.walk(node)
        seen.update(hand.called)
    assert seen["a"] / 4_000 == pytest.approx(0.6, abs=0.03)
    assert seen["b"] / 4_000 == pytest.approx(0.3, abs=0.03)


@pytest.mark.parametrize("rank", ALL_RANKS)
def test_each_member_is_asked_once_until_one_answers(kit: Any, rank: str) -> None:
    names = ["a", "b", "c", "d"]
    node = kit.balance(*(kit.use(name) for name in names), rank=rank)
    random = Random(3)
    hand = kit.Hand({name: ["server"] for name in names}, draws=tuple(random.random() for _ in range(20)))
    outcome = hand.walk(node)
    assert sorted(hand.called) == names
    assert outcome.failure == "server"


@pytest.mark.parametrize("rank", ALL_RANKS)
def test_tries(kit: Any, rank: str) -> None:
    hand = kit.Hand({name: ["server"] for name in "abc"})
    hand.walk(kit.balance(kit.use("a"), kit.use("b"), kit.use("c"), rank=rank, tries=2))
    assert len(hand.called) == 2


def test_a_skipped_member_is_not_a_try(kit: Any) -> None:
    hand = kit.Hand({"b": ["server"]}, unfit={"a": "unsupported"})
    hand.walk(kit.balance(kit.use("a"), kit.use("b"), kit.use("c"), rank="round_robin", tries=1))
    assert hand.called == ["b"]


def test_round_robin_takes_turns(kit: Any) -> None:
    node = kit.balance(kit.use("a"), kit.use("b"), kit.use("c"), rank="round_robin")
    hand = kit.Hand()
    for _ in range(5):
        hand.walk(node)
    assert hand.called == ["a", "b", "c", "a", "b"]


def test_round_robin_goes_on_from_its_turn(kit: Any) -> None:
    hand = kit.Hand({"b": ["server"]})
    hand.turn = 1
    hand.walk(kit.balance(kit.use("a"), kit.use("b"), kit.use("c"), rank="round_robin"))
    assert hand.called == ["b", "c"]


def test_cheapest_first_unknown_last(kit: Any) -> None:
    hand = kit.Hand({name: ["server"] for name in "abc"}, measures={"a": 30.0, "c": 10.0})
    hand.walk(kit.balance(kit.use("a"), kit.use("b"), kit.use("c"), rank="cost"))
    assert hand.called == ["c", "a", "b"]


@pytest.mark.parametrize("rank", ["in_flight", "latency"])
def test_the_better_of_two(kit: Any, rank: str) -> None:
    hand = kit.Hand(draws=(0.0, 0.99), measures={"a": 9.0, "b": 1.0, "c": 2.0})
    hand.walk(kit.balance(kit.use("a"), kit.use("b"), kit.use("c"), rank=rank))
    assert hand.measured == [("a", "c")]
    assert hand.called == ["c"]


def test_the_unknown_is_tried_to_become_known(kit: Any) -> None:
    hand = kit.Hand(draws=(0.0, 0.99), measures={"a": 0.5})
    hand.walk(kit.balance(kit.use("a"), kit.use("b"), rank="latency"))
    assert hand.called == ["b"]


def test_a_member_that_is_a_graph_stands_for_its_first_target(kit: Any) -> None:
    nested = kit.fallback(kit.use("x"), kit.use("y"))
    hand = kit.Hand(measures={"a": 5.0, "x": 1.0})
    hand.walk(kit.balance(kit.use("a"), nested, kit.respond("hi"), rank="cost"))
    assert hand.measured == [("a", "x")]
    assert hand.called == ["x"]


def test_a_failure_that_does_not_move_on_stops(kit: Any) -> None:
    hand = kit.Hand({"a": ["bad_request"]})
    outcome = hand.walk(kit.balance(kit.use("a"), kit.use("b"), rank="round_robin"))
    assert (outcome.failure, hand.called) == ("bad_request", ["a"])


def test_a_timeout_leaves_for_another_member(kit: Any) -> None:
    hand = kit.Hand({"a": ["timeout"]})
    hand.walk(kit.balance(kit.use("a", retry_extra=1), kit.use("b"), rank="round_robin"))
    assert hand.called == ["a", "b"]


def test_the_last_try_is_retried_in_place(kit: Any) -> None:
    hand = kit.Hand({"a": ["timeout", "ok"]})
    hand.walk(kit.balance(kit.use("a", retry_extra=1), kit.use("b"), rank="round_robin", tries=1))
    assert hand.called == ["a", "a"]


def test_a_final_answer_ends_it(kit: Any) -> None:
    hand = kit.Hand()
    outcome = hand.walk(kit.balance(kit.respond("hi"), kit.use("a"), rank="round_robin"))
    assert (outcome.ok, outcome.reply, hand.called) == (True, "hi", [])
