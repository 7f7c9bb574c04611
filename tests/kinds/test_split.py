"""`split`: who goes where, and that nobody is moved."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import pytest

from engine.policies.shares import WHOLE, arm_at, lay_out, point, points_of


def old_and_new(kit: Any, **options: Any) -> Any:
    return kit.split(("old", kit.use("old")), ("new", kit.use("new")), **{"shares": (None, 0.05), **options})


def test_chance_without_sticky(kit: Any) -> None:
    random = Random(7)
    seen: Counter[str] = Counter()
    node = old_and_new(kit, shares=(None, 0.2))
    for _ in range(4_000):
        hand = kit.Hand(draws=(random.random(),))
        hand.walk(node)
        seen.update(hand.called)
    assert seen["new"] / 4_000 == pytest.approx(0.2, abs=0.02)


def test_a_user_has_one_arm(kit: Any) -> None:
    node = old_and_new(kit, shares=(None, 0.5), sticky="key.id")
    for user in range(50):
        hand = kit.Hand(values={"key.id": f"u{user}"}, draws=(0.1, 0.9))
        hand.walk(node)
        hand.walk(node)
        assert len(set(hand.called)) == 1
        own = arm_at(lay_out(points_of((None, 0.5))), point("canary", f"u{user}"))
        assert hand.called[0] == ("old", "new")[own]
        assert hand.variants == hand.called


def test_no_value_is_chance(kit: Any) -> None:
    hand = kit.Hand(values={"key.id": ""}, draws=(0.52, 0.9))
    node = old_and_new(kit, sticky="key.id")
    hand.walk(node)
    hand.walk(node)
    assert hand.called == ["new", "old"]


def test_who_is_once_on_a_growing_arm_stays(kit: Any) -> None:
    ramp = ((100, (None, 0.2)), (200, (None, 0.6)), (300, (0.0, None)))
    node = old_and_new(kit, sticky="key.id", ramp=ramp)
    shares = []
    before: set[int] = set()
    for now in (0.0, 100.0, 250.0, 300.0):
        on_new = set()
        for user in range(1_000):
            hand = kit.Hand(values={"key.id": f"u{user}"}, now=now)
            hand.walk(node)
            if hand.called == ["new"]:
                on_new.add(user)
        assert before <= on_new
        before = on_new
        shares.append(len(on_new) / 1_000)
    assert shares == [pytest.approx(share, abs=0.04) for share in (0.05, 0.2, 0.6, 1.0)]


def test_unhealth_moves_nobody(kit: Any) -> None:
    hand = kit.Hand({"new": ["server"]}, draws=(0.51,))
    outcome = hand.walk(old_and_new(kit))
    assert (outcome.ok, outcome.failure, hand.called) == (False, "server", ["new"])


def test_an_arm_may_say_where_its_users_go(kit: Any) -> None:
    arm = kit.fallback(kit.use("new"), kit.use("old"))
    hand = kit.Hand({"new": ["server"]}, draws=(0.51,))
    outcome = hand.walk(kit.split(("old", kit.use("old")), ("new", arm), shares=(None, 0.05)))
    assert (outcome.ok, hand.called, hand.variants) == (True, ["new", "old"], ["new"])


def test_a_failure_goes_on_in_a_chain_around_it(kit: Any) -> None:
    """Whoever stands after the split takes over: an overload leaves the arm at once."""
    hand = kit.Hand({"new": ["overloaded"]}, draws=(0.51,))
    hand.walk(kit.fallback(kit.split(("old", kit.use("old")), ("new", kit.use("new", retry_extra=2)),
                                     shares=(None, 0.05)), kit.use("last")))  # fmt: skip
    assert hand.called == ["new", "last"]


def test_the_rest_knows_the_arms(kit: Any) -> None:
    """A timeout is not repeated where a split after it has somebody to ask: one with a share."""
    after = kit.split(("old", kit.use("old")), ("new", kit.use("new")), shares=(1.0, 0.0))
    for unfit, called in (({}, ["a", "old"]), ({"old": "unsupported"}, ["a", "a"])):
        hand = kit.Hand({"a": ["timeout"]}, unfit=unfit)
        hand.walk(kit.fallback(kit.use("a", retry_extra=1), after))
        assert hand.called == called


def test_the_record_says_the_share(kit: Any) -> None:
    hand = kit.Hand(values={"key.id": "u1"})
    node = old_and_new(kit, shares=(None, 0.0025), sticky="key.id")
    hand.walk(node)
    assert hand.variants == ["old"]
    assert WHOLE == 1_000_000


def test_the_rest_knows_the_users_arm(kit: Any) -> None:
    """Where a hash decides, only that arm counts as somebody left."""
    after = old_and_new(kit, sticky="key.id")
    for unfit, called in (
        ({}, ["a", "old"]),
        ({"new": "unsupported"}, ["a", "old"]),
        ({"old": "unsupported"}, ["a", "a"]),
    ):
        hand = kit.Hand({"a": ["timeout"]}, unfit=unfit, values={"key.id": "u1"})
        hand.walk(kit.fallback(kit.use("a", retry_extra=1), after))
        assert hand.called == called
