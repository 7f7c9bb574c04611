"""`did you mean`: near enough to be worth saying, never for a word of its own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.compiler.suggest import did_you_mean

KINDS = [
    "fallback",
    "balance",
    "switch",
    "split",
    "classify",
    "cascade",
    "hedge",
    "ensemble",
    "mirror",
    "cache",
    "use",
]


@pytest.mark.parametrize(
    ("word", "known", "expected"),
    [
        ("falback", KINDS, "fallback"),
        ("fall_back", KINDS, "fallback"),
        ("blanace", KINDS, "balance"),
        ("Switch", KINDS, "switch"),
        ("caches", KINDS, "cache"),
        ("usee", KINDS, "use"),
        ("sue", KINDS, "use"),
        ("retry", KINDS, None),
        ("b", ["a"], None),
        ("b", ["ab"], None),
        ("gpt", ["claude", "here"], None),
        ("support_month", ["support-month", "company-month"], "support-month"),
        ("claud-lite", ["claude", "claude-lite"], "claude-lite"),
        ("gpt4", ["gpt-4", "gpt-4o"], "gpt-4"),
        ("", ["a"], None),
        ("x", [], None),
        ("route", ["routes"], "routes"),
    ],
)
def test_did_you_mean(word: str, known: list[str], expected: str | None) -> None:
    assert did_you_mean(word, known) == expected


def test_the_order_of_candidates_does_not_matter() -> None:
    assert did_you_mean("gptx", ["gpta", "gptb"]) == did_you_mean("gptx", ["gptb", "gpta"]) == "gpta"


@given(st.text(max_size=20), st.lists(st.text(max_size=20), max_size=6))
def test_only_a_candidate_and_never_the_word_itself(word: str, known: list[str]) -> None:
    guess = did_you_mean(word, known)
    assert guess is None or (guess in known and guess != word)
