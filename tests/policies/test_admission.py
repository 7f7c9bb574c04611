"""Places and the queue for them: the table of `policies/admission.py`, and what holds in any order."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.policies.admission import HIGHEST, LOWEST, Line, priority_of


def line(most: int = 1, queue: int = 3, *, taken: int = 1) -> Line[str]:
    made: Line[str] = Line(most, queue)
    for _ in range(taken):
        assert made.take()
    return made


def served(of: Line[str], count: int) -> list[str | None]:
    """Who gets the next places, as they are given back one by one."""
    return [of.free() for _ in range(count)]


def test_places_are_taken_until_there_are_none() -> None:
    of = line(2, 0, taken=2)
    assert not of.take()
    assert not of.join("a", 5, "").waits, "without a queue nobody waits"
    assert of.free() is None
    assert of.take()


def test_nobody_overtakes_those_who_wait() -> None:
    of = line(1, 3)
    assert of.join("a", 5, "").waits
    of.most = 2  # a place is free, but not for whoever comes now
    assert not of.take()
    assert of.resize(2, 3) == ["a"]
    assert (of.open, of.waiting) == (2, 0)


#: Who joins (name, priority, key), and in which order they are served.
ORDERS = {
    "first come, first served": ([("a", 5, "k"), ("b", 5, "k"), ("c", 5, "k")], ["a", "b", "c"]),
    "the higher priority goes first": ([("a", 1, "k"), ("b", 9, "k"), ("c", 5, "k")], ["b", "c", "a"]),
    "keys take turns": (
        [("a1", 5, "a"), ("a2", 5, "a"), ("a3", 5, "a"), ("b1", 5, "b"), ("c1", 5, "c"), ("b2", 5, "b")],
        ["a1", "b1", "c1", "a2", "b2", "a3"],
    ),
    "turns are taken within a priority": (
        [("a1", 5, "a"), ("a2", 9, "a"), ("b1", 5, "b"), ("a3", 9, "a")],
        ["a2", "a3", "a1", "b1"],
    ),
}


@pytest.mark.parametrize("case", ORDERS)
def test_order(case: str) -> None:
    joins, order = ORDERS[case]
    of = line(1, 10)
    for who, priority, key in joins:
        assert of.join(who, priority, key).waits
    assert served(of, len(order)) == order
    assert (of.open, of.waiting) == (1, 0)
    assert of.free() is None


#: Who waits in a queue of 3, who comes, whether it may wait, and who goes for it.
FULL = {
    "the newcomer, among equals": (
        [("a", 5, "a"), ("b", 5, "b"), ("c", 5, "c")],
        ("d", 5, "d"),
        (False, None),
    ),
    "the newest of a lower priority": (
        [("a", 1, "a"), ("b", 1, "a"), ("c", 5, "c")],
        ("d", 5, "d"),
        (True, "b"),
    ),
    "never one of a higher priority": (
        [("a", 9, "a"), ("b", 9, "a"), ("c", 9, "a")],
        ("d", 5, "d"),
        (False, None),
    ),
    "the newest of the key with the most": (
        [("a1", 5, "a"), ("a2", 5, "a"), ("a3", 5, "a")],
        ("b1", 5, "b"),
        (True, "a3"),
    ),
    "the newcomer where its key would have as many": (
        [("a1", 5, "a"), ("a2", 5, "a"), ("b1", 5, "b")],
        ("b2", 5, "b"),
        (False, None),
    ),
    "the newcomer of the greedy key": (
        [("a1", 5, "a"), ("a2", 5, "a"), ("b1", 5, "b")],
        ("a3", 5, "a"),
        (False, None),
    ),
}


@pytest.mark.parametrize("case", FULL)
def test_a_full_queue(case: str) -> None:
    joins, (who, priority, key), (waits, gone) = FULL[case]
    of = line(1, 3)
    for each in joins:
        assert of.join(*each).waits
    joined = of.join(who, priority, key)
    assert (joined.waits, joined.turned_away) == (waits, gone)
    assert of.waiting == 3
    assert gone is None or not of.leave(gone)


def test_who_gives_up_is_not_served() -> None:
    of = line(1, 3)
    for who in "abc":
        of.join(who, 5, who)
    assert of.leave("b")
    assert not of.leave("b")
    assert served(of, 2) == ["a", "c"]


def test_fewer_places_serve_nobody_until_enough_are_given_back() -> None:
    of = line(3, 3, taken=3)
    of.join("a", 5, "")
    assert of.resize(1, 0) == []
    assert served(of, 3) == [None, None, "a"]


def test_a_place_too_many_given_back_is_a_fault() -> None:
    with pytest.raises(AssertionError, match="given back"):
        line(1, 0, taken=0).free()


@pytest.mark.parametrize(
    ("value", "priority"),
    [(0, 0), (5, 5), (5.9, 5), (9, 9), (10, HIGHEST), (1e308, HIGHEST), (-3, LOWEST), (math.nan, LOWEST)],
)
def test_priorities(value: float, priority: int) -> None:
    assert priority_of(value) == priority


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["come"] * 2 + ["free", "leave", "resize"]), st.integers(0, 9), st.integers(0, 3)
    ),
    max_size=60,
)


@given(STEPS)
def test_every_place_is_taken_while_somebody_waits(steps: list[tuple[str, int, int]]) -> None:
    of: Line[int] = Line(2, 3)
    waiting: set[int] = set()
    for number, (what, priority, key) in enumerate(steps):
        if what == "come" and not of.take():
            joined = of.join(number, priority, str(key))
            waiting |= {number} if joined.waits else set()
            waiting -= {joined.turned_away} if joined.turned_away is not None else set()
        elif what == "free" and of.open:
            waiting -= {of.free()}
        elif what == "leave" and waiting:
            assert of.leave(min(waiting))
            waiting.remove(min(waiting))
        elif what == "resize":
            waiting -= set(of.resize(1 + key, priority))
        assert of.waiting == len(waiting)
        assert not waiting or of.open >= of.most, "somebody waits beside a free place"
