"""The language of short texts: how often the simple rule is right, and that it says when it does not know."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from engine.policies.language import language_of

SENTENCES = yaml.safe_load((Path(__file__).parent / "data" / "languages.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("language", sorted(SENTENCES))
def test_several_sentences(language: str) -> None:
    assert language_of(" ".join(SENTENCES[language])) == language


def test_single_sentences() -> None:
    found = [language_of(text) == language for language, texts in SENTENCES.items() for text in texts]
    assert sum(found) / len(found) >= 0.95


@pytest.mark.parametrize(
    "text",
    [
        "",
        "12345 !?",
        "xyzzy plugh frobnicate",
        "```\nthe code is in a fence\n```",
        "日本 abc αβγ Привет עברית",
    ],
)
def test_what_is_not_clear(text: str) -> None:
    assert language_of(text) == ""


def test_code_does_not_decide() -> None:
    code = "```python\nfor the in of: and = is\n```"
    assert language_of(f"Was macht dieser Code hier?\n{code}") == "de"


@given(st.text(max_size=200))
def test_any_text_has_an_answer(text: str) -> None:
    found = language_of(text)
    assert found == "" or (len(found) == 2 and found.isalpha())
