"""Where secrets are read: several conventional names, of which the first that is set counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.plan.values import Secret
from engine.upstream.secrets import SecretMissing, Secrets

ONE, TWO = Secret("env", "GEMINI_API_KEY"), Secret("env", "GOOGLE_API_KEY")


@pytest.mark.parametrize(
    ("env", "value"),
    [
        ({"GEMINI_API_KEY": "a"}, "a"),
        ({"GOOGLE_API_KEY": "b"}, "b"),
        ({"GEMINI_API_KEY": "a", "GOOGLE_API_KEY": "b"}, "a"),
        ({"GEMINI_API_KEY": "  ", "GOOGLE_API_KEY": "b"}, "b"),
    ],
)
def test_the_first_that_is_set_counts(env: dict[str, str], value: str) -> None:
    assert Secrets(env).first((ONE, TWO)).reveal() == value


def test_none_is_set() -> None:
    with pytest.raises(SecretMissing, match="none of env:GEMINI_API_KEY, env:GOOGLE_API_KEY is set"):
        Secrets({}).first((ONE, TWO))


def test_one_that_is_set_and_broken_is_told_and_not_passed_over(tmp_path: Path) -> None:
    broken = tmp_path / "key"
    broken.write_text("a\x00b")
    places = (Secret("file", str(broken)), TWO)
    with pytest.raises(SecretMissing, match="line breaks"):
        Secrets({"GOOGLE_API_KEY": "b"}).first(places)
    places = (Secret("file", str(tmp_path / "none")), TWO)
    assert Secrets({"GOOGLE_API_KEY": "b"}).first(places).reveal() == "b"
