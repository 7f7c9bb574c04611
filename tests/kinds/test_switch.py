"""`switch`, `reject` and `respond`."""

from __future__ import annotations

from typing import Any

import pytest

import engine.kinds.table as table
from engine.kinds.walk import BEHAVIOURS


@pytest.mark.parametrize(
    ("true", "called"), [(("x",), ["a"]), (("y",), ["b"]), (("x", "y"), ["a"]), ((), ["c"])]
)
def test_the_first_arm_that_holds(kit: Any, true: tuple[str, ...], called: list[str]) -> None:
    node = kit.switch(("x", kit.use("a")), ("y", kit.use("b")), otherwise=kit.use("c"))
    hand = kit.Hand(true=true)
    hand.walk(node)
    assert hand.called == called
    assert hand.notes == [("switch", "took")]


def test_a_failure_of_the_branch_is_the_switchs_own(kit: Any) -> None:
    hand = kit.Hand({"a": ["server"]}, true=("x",))
    outcome = hand.walk(kit.switch(("x", kit.use("a")), otherwise=kit.use("b")))
    assert (outcome.failure, hand.called) == ("server", ["a"])


def test_only_the_branch_that_is_taken_counts_as_left(kit: Any) -> None:
    """b would take the request, but this request's branch is c, which cannot."""
    later = kit.switch(("x", kit.use("b")), otherwise=kit.use("c"))
    hand = kit.Hand({"a": ["timeout", "ok"]}, unfit={"c": "unsupported"})
    assert hand.walk(kit.fallback(kit.use("a", retry_extra=1), later)).ok
    assert hand.called == ["a", "a"]


def test_reject(kit: Any) -> None:
    hand = kit.Hand()
    outcome = hand.walk(kit.reject("closed"))
    assert (outcome.ok, outcome.final, outcome.tried) == (False, True, False)
    assert (outcome.code, outcome.status, outcome.message) == ("closed", 403, "Not here.")


def test_respond(kit: Any) -> None:
    outcome = kit.Hand().walk(kit.respond("Closed until Monday."))
    assert (outcome.ok, outcome.final, outcome.tried) == (True, True, False)
    assert outcome.reply == "Closed until Monday."


def test_the_table_has_every_kind_with_its_behaviour() -> None:
    assert table.KINDS.keys() == BEHAVIOURS.keys()
    for kind, cls in table.KINDS.items():
        assert cls.kind == kind
