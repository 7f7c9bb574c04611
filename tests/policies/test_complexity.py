"""How hard a request looks: each reason counts once, to a cap."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.policies.complexity import complexity


@pytest.mark.parametrize(
    ("text", "tokens", "features", "turns", "points"),
    [
        ("", 0, (), 0, 0.0),
        ("hi", 4_000, (), 1, 0.3),
        ("hi", 40_000, (), 1, 0.3),
        ("Why? Warum?", 0, (), 1, 0.23),
        ("prove, compare, analyse, design", 0, (), 1, 0.3),
        ("prove prove Prove", 0, (), 1, 0.1),
        ("- a\n- b\n- c", 0, (), 1, 0.06),
        ("?" * 50, 0, (), 1, 0.15),
        ("```x```", 0, (), 1, 0.15),
        ("hi", 0, ("tools", "json_schema"), 1, 0.3),
        ("hi", 0, ("image",), 1, 0.1),
        ("hi", 0, (), 4, 0.06),
    ],
)
def test_points(text: str, tokens: int, features: tuple[str, ...], turns: int, points: float) -> None:
    assert complexity(text, tokens, features, turns) == pytest.approx(points)


@given(
    st.text(max_size=80),
    st.integers(0, 10**6),
    st.sets(st.sampled_from(["tools", "image"])),
    st.integers(0, 50),
)
def test_it_is_a_share(text: str, tokens: int, features: set[str], turns: int) -> None:
    assert 0 <= complexity(text, tokens, features, turns) <= 1
