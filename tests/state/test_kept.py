"""What is kept between requests: for its time, in its space, within its bound."""

from __future__ import annotations

from array import array

import pytest

from engine.state.kept import Kept, size_of


def test_for_its_time() -> None:
    kept = Kept()
    kept.keep("sticky", "k", "v", 100, 1_000)
    assert kept.recall("sticky", "k", 1_099) == "v"
    assert kept.recall("sticky", "k", 1_100) is None
    assert kept.count("sticky") == 0


def test_in_its_space() -> None:
    kept = Kept()
    kept.keep("sticky", "k", "v", 100, 0)
    assert kept.recall("cache", "k", 1) is None
    assert kept.recall("sticky", "other", 1) is None


def test_the_least_used_goes_first() -> None:
    kept = Kept(most=2)
    for key in "ab":
        kept.keep("cache", key, key, 100, 0)
    assert kept.recall("cache", "a", 1) == "a"
    kept.keep("cache", "c", "c", 100, 2)
    kept.keep("sticky", "x", "x", 100, 2)
    assert [kept.recall("cache", key, 3) for key in "abc"] == ["a", None, "c"]
    assert kept.count("cache") == 2


def test_a_new_value_begins_anew() -> None:
    kept = Kept()
    kept.keep("cache", "k", 1, 100, 0)
    kept.keep("cache", "k", 2, 100, 90)
    assert kept.recall("cache", "k", 150) == 2


def test_the_room_is_bounded() -> None:
    kept = Kept(room=10_000)
    for number in range(50):
        kept.keep("cache", str(number), b"x" * 800, 100, 0)
        assert kept.size("cache") <= 10_000
    assert 5 <= kept.count("cache") <= 10
    assert kept.recall("cache", "49", 1) is not None
    assert kept.recall("cache", "0", 1) is None


def test_what_is_too_large_is_not_kept_and_replaces_nothing_but_its_own() -> None:
    kept = Kept(room=10_000)
    kept.keep("cache", "a", b"x", 100, 0)
    kept.keep("cache", "b", b"old", 100, 0)
    kept.keep("cache", "b", b"x" * 2_000, 100, 0)
    assert kept.recall("cache", "a", 1) == b"x"
    assert kept.recall("cache", "b", 1) is None


def test_sizes_come_back_to_nothing() -> None:
    kept = Kept()
    for number in range(3):
        kept.keep("cache", str(number), (1.0, "key", array("f", [0.5] * 10)), 10, 0)
        kept.keep("cache", str(number), b"again", 10, 0)
    assert [kept.recall("cache", str(number), 10) for number in range(3)] == [None] * 3
    assert (kept.count("cache"), kept.size("cache")) == (0, 0)
    assert kept.size("nowhere") == 0


@pytest.mark.parametrize(
    ("value", "size"),
    [(b"abc", 3), ("abc", 3), (array("f", [1.0, 2.0]), 8), ((b"a", [b"b"]), 56 + 8 + 1 + 8 + 56 + 9)],
)
def test_sizes(value: object, size: int) -> None:
    assert size_of(value) == size
