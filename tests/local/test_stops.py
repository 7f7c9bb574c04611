"""The stop matcher: whatever the pieces, the same text comes out."""

from __future__ import annotations

import itertools

import pytest

from engine.local.stops import StopMatcher

CASES = [
    # text, stops, what is shown, what stopped it
    ("one two three", [], "one two three", None),
    ("one two three", ["zebra"], "one two three", None),
    ("one two three", [" two"], "one", " two"),
    ("one two three", ["three", "two"], "one ", "two"),
    ("aaab", ["aab"], "a", "aab"),
    ("ababac", ["abac"], "ab", "abac"),
    ("x\n\ny", ["\n\n"], "x", "\n\n"),
    ("ends with a begi", ["beginning"], "ends with a begi", None),
    ("stop", ["stop"], "", "stop"),
    ("héllo wörld", ["ö"], "héllo w", "ö"),
    ("", ["a"], "", None),
    ("text", [""], "text", None),
]


@pytest.mark.parametrize(("text", "stops", "shown", "matched"), CASES)
def test_any_cut_gives_the_same(text: str, stops: list[str], shown: str, matched: str | None) -> None:
    for size in range(1, len(text) + 2):
        matcher, out = StopMatcher(stops), ""
        for start in range(0, len(text), size):
            out += matcher.feed(text[start : start + size])
        assert (out + matcher.flush(), matcher.matched) == (shown, matched), size


def test_nothing_that_may_stop_is_shown_early() -> None:
    matcher = StopMatcher(["END"])
    assert [matcher.feed(piece) for piece in ("a E", "N", "x", "E", "ND tail", "more")] == [
        "a ",
        "",
        "ENx",
        "",
        "",
        "",
    ]


def test_agrees_with_searching_the_whole_text() -> None:
    for letters in itertools.product("ab", repeat=6):
        text = "".join(letters)
        for stop in ("ab", "aab", "bba", "abab"):
            matcher = StopMatcher([stop])
            shown = "".join(map(matcher.feed, text)) + matcher.flush()
            assert shown == text.split(stop)[0]
