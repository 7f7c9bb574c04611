"""What is kept between requests: for its time, in its space, within its bound."""

from __future__ import annotations

from engine.state.kept import Kept


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
