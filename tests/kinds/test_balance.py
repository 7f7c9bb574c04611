"""`balance`: who is asked, and who next."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import pytest

ALL_RANKS = ["weight", "round_robin", "in_flight", "latency", "cost", "quality", "headroom"]


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
    assert set(hand.measured) == {("a", "c")}
    assert hand.called == ["c"]


def test_open_calls_count_as_time(kit: Any) -> None:
    """Ten calls open at a quick one: a slower one answers sooner."""
    measures = {"latency": {"a": 100.0, "b": 500.0}, "in_flight": {"a": 10.0, "b": 0.0}}
    hand = kit.Hand(draws=(0.0, 0.0), measures=measures)
    hand.walk(kit.balance(kit.use("a"), kit.use("b"), rank="latency"))
    assert hand.called == ["b"]


def test_a_crowd_does_not_go_to_the_unknown(kit: Any) -> None:
    measures = {"latency": {"a": 100.0}, "in_flight": {"a": 5.0, "b": 1.0}}
    hand = kit.Hand(draws=(0.0, 0.0), measures=measures)
    hand.walk(kit.balance(kit.use("a"), kit.use("b"), rank="latency"))
    assert hand.called == ["a"]


def test_the_unknown_is_tried_to_become_known(kit: Any) -> None:
    hand = kit.Hand(draws=(0.0, 0.99), measures={"latency": {"a": 0.5}, "in_flight": {"a": 0.0, "b": 0.0}})
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


def members(kit: Any, names: str = "abc", **options: Any) -> Any:
    return kit.balance(*(kit.use(name) for name in names), **options)


ORDERS: list[tuple[str, dict[str, dict[str, float]], str]] = [
    ("quality", {"quality": {"a": 0.2, "c": 0.9}}, "cab"),
    ("headroom", {"headroom": {"a": 0.1, "b": 0.9, "c": 0.5}}, "bca"),
    ("headroom", {"headroom": {"a": 0.1, "c": 0.5}}, "bca"),
    ("cost", {"cost": {"a": 3.0, "b": 1.0, "c": 2.0}}, "bca"),
]


@pytest.mark.parametrize(("rank", "measures", "order"), ORDERS)
def test_an_order(kit: Any, rank: str, measures: dict[str, dict[str, float]], order: str) -> None:
    hand = kit.Hand({name: ["server"] for name in "abc"}, measures=measures, draws=(0.0,))
    hand.walk(members(kit, rank=rank))
    assert "".join(hand.called) == order


def test_equal_headroom_is_shared(kit: Any) -> None:
    first = []
    for draw in (0.0, 0.4, 0.9):
        hand = kit.Hand(draws=(draw,))
        hand.walk(members(kit, rank="headroom"))
        first += hand.called
    assert first == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("score", "order"),
    [((1.0, 0.0, 0.0), "bca"), ((0.0, 1.0, 0.0), "acb"), ((0.0, 0.0, 1.0), "cab"), ((0.5, 0.5, 0.0), "abc")],
)
def test_a_score_mixes(kit: Any, score: tuple[float, float, float], order: str) -> None:
    measures = {
        "quality": {"a": 0.3, "b": 0.9, "c": 0.4},
        "cost": {"a": 10.0, "b": 40.0, "c": 20.0},
        "latency": {"a": 200.0, "b": 400.0, "c": 100.0},
        "in_flight": {"a": 0.0, "b": 0.0, "c": 0.0},
    }
    hand = kit.Hand({name: ["server"] for name in "abc"}, measures=measures)
    hand.walk(members(kit, rank="score", score=kit.Score(*score)))
    assert "".join(hand.called) == order


def test_a_score_by_expression(kit: Any) -> None:
    seen: list[dict[str, Any]] = []

    def by(view: dict[str, Any]) -> float | None:
        seen.append(view)
        return view.get("cost")

    score = kit.Score(by=kit.when("deployment.cost"), reads=("cost",))
    hand = kit.Hand(
        {name: ["server"] for name in "abc"}, values={"deployment.cost": by},
        measures={"cost": {"a": 1e9, "c": 2e9}},
    )  # fmt: skip
    hand.walk(members(kit, rank="score", score=score))
    assert hand.called == ["c", "a", "b"]
    assert [view.get("cost") for view in seen] == [1.0, None, 2.0]
    assert seen[0] | {"cost": 1.0} == {
        "name": "a", "provider": "acme", "model": "model-a", "region": "eu", "residency": "eu", "cost": 1.0,
    }  # fmt: skip


# --- sticky


def test_a_value_stays_where_it_was_answered(kit: Any) -> None:
    node = members(kit, sticky=kit.sticky())
    hand = kit.Hand(values={"key.id": "u1"})
    for _ in range(3):
        assert hand.walk(node).ok
    assert hand.called == ["c", "c", "c"]
    assert list(hand.kept_ms.values()) == [60_000]


def test_no_value_is_not_sticky(kit: Any) -> None:
    hand = kit.Hand(values={"key.id": ""}, draws=(0.9, 0.0))
    for _ in range(2):
        hand.walk(members(kit, sticky=kit.sticky()))
    assert hand.called == ["c", "a"]
    assert hand.kept == {}


def test_a_failure_moves_the_home(kit: Any) -> None:
    node = members(kit, sticky=kit.sticky())
    hand = kit.Hand({"c": ["ok", "server"]}, values={"key.id": "u1"}, draws=(0.0,))
    for _ in range(3):
        assert hand.walk(node).ok
    assert hand.called == ["c", "c", "a", "a"]


def test_what_only_this_request_needs_does_not_move_the_home(kit: Any) -> None:
    node = members(kit, sticky=kit.sticky())
    hand = kit.Hand(values={"key.id": "u1"}, draws=(0.0,))
    hand.walk(node)
    hand.skip["c"] = "unsupported"
    hand.walk(node)
    hand.skip.clear()
    hand.walk(node)
    assert hand.called == ["c", "a", "c"]


def test_a_home_that_is_gone_is_forgotten(kit: Any) -> None:
    hand = kit.Hand(values={"key.id": "u1"})
    hand.walk(members(kit, sticky=kit.sticky()))
    hand.walk(members(kit, "ab", sticky=kit.sticky()))
    assert hand.called == ["c", "b"]


def test_an_ordered_balance_is_sticky_too(kit: Any) -> None:
    node = members(kit, rank="cost", sticky=kit.sticky())
    hand = kit.Hand(values={"key.id": "u1"}, measures={"cost": {"a": 1.0, "b": 2.0, "c": 3.0}})
    hand.walk(node)
    hand.measures = {"cost": {"a": 9.0, "b": 2.0, "c": 3.0}}
    hand.walk(node)
    assert hand.called == ["a", "a"]


def test_nothing_is_kept_of_a_failure(kit: Any) -> None:
    hand = kit.Hand({name: ["server"] for name in "abc"}, values={"key.id": "u1"})
    assert not hand.walk(members(kit, sticky=kit.sticky())).ok
    assert hand.kept == {}


def test_processes_agree_on_the_first(kit: Any) -> None:
    """Nothing is shared between two workers but the hash; weights are its shares."""
    node = members(kit, weights=(1, 1, 8), sticky=kit.sticky())
    seen: Counter[str] = Counter()
    for user in range(500):
        workers = [kit.Hand(values={"key.id": f"u{user}"}, draws=(draw,)) for draw in (0.1, 0.9)]
        for hand in workers:
            hand.walk(node)
        assert workers[0].called == workers[1].called
        seen.update(workers[0].called)
    assert seen["c"] / 500 == pytest.approx(0.8, abs=0.05)
