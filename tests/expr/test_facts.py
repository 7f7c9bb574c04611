"""What is known of expressions without running them: proofs may miss, but never claim what is not so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from engine.compiler.expr import always, disjoint, equals, fields_read, negation_of, uses_clock
from engine.plan.values import Expr


@pytest.fixture
def expr(compile_text: Callable[..., Any]) -> Callable[[str], Expr]:
    def run(text: str) -> Expr:
        found, out = compile_text(text)
        assert found is not None, list(out)
        return found

    return run


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("request.stream", {"request.stream"}),
        ('key.tags.tier == "gold" or key.org == "acme"', {"key.tags.tier", "key.org"}),
        ('request.has("image") and request.header("X-A") == ""', {"request.has.image", "request.header.x-a"}),
        ("now > 5", {"clock.now"}),
        ('between("07:00", "08:00")', {"clock.between"}),
        ('request.metadata["a-b"] is starts_with("x")', {"request.metadata.a-b"}),
        ('"key.org" == "x"', set()),
    ],
)
def test_fields_read(text: str, fields: set[str], expr: Callable[[str], Expr]) -> None:
    assert fields_read(expr(text)) == fields
    assert uses_clock(expr(text)) == any(name.startswith("clock.") for name in fields)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("not true", False),
        ("1 < 2", True),
        ('"a" == "b"', False),
        ("request.stream or true", True),
        ("request.stream and false", False),
        ("request.stream or not request.stream", True),
        ("request.stream and not request.stream", False),
        ("request.input_tokens > 5 or request.input_tokens <= 5", True),
        ("request.input_tokens >= request.input_tokens", True),
        ("true and request.stream", None),
        ("request.stream", None),
        # An absent value is neither above nor at most 5.
        ("request.max_output_tokens > 5 or request.max_output_tokens <= 5", None),
    ],
)
def test_always(text: str, value: bool | None, expr: Callable[[str], Expr]) -> None:
    assert always(expr(text)) is value


@pytest.mark.parametrize(
    ("a", "b", "negated"),
    [
        ("request.stream", "not request.stream", True),
        ("request.input_tokens > 5", "request.input_tokens <= 5", True),
        ("request.input_tokens > 5", "5 >= request.input_tokens", True),
        ("request.input_tokens > 5", "request.input_tokens < 5", False),
        ('key.org == "acme"', 'key.org != "acme"', True),
        ('key.org == "acme" and request.stream', 'not request.stream or key.org != "acme"', True),
        ('key.tags.tier in ("gold", "silver")', 'key.tags.tier not in ("gold", "silver")', True),
        ("request.max_output_tokens > 5", "request.max_output_tokens <= 5", False),
    ],
)
def test_negation(a: str, b: str, negated: bool, expr: Callable[[str], Expr]) -> None:
    assert negation_of(expr(a), expr(b)) is negated
    assert negation_of(expr(b), expr(a)) is negated


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ('key.org == "acme"', ("key.org", "acme")),
        ('"acme" == key.org', ("key.org", "acme")),
        ('key.tags.tier == "gold"', ("key.tags.tier", "gold")),
        ('key.org != "acme"', None),
        ('key.org == "acme" and request.stream', None),
        ("key.org == key.name", None),
    ],
)
def test_equals(text: str, pair: Any, expr: Callable[[str], Expr]) -> None:
    assert equals(expr(text)) == pair


@pytest.mark.parametrize(
    ("a", "b", "apart"),
    [
        ('key.org == "acme"', 'key.org == "globex"', True),
        ('key.org == "acme"', 'key.org == "acme"', False),
        ('key.org == "acme"', 'key.name == "globex"', False),
        ('key.org == "acme" and request.stream', 'key.org == "globex"', True),
        ('key.tags.tier in ("gold", "silver")', 'key.tags.tier == ""', True),
        ('key.tags.tier in ("gold", "silver")', 'key.tags.tier in ("silver", "")', False),
        ('key.tags.tier == "gold"', 'key.tags.tier != "gold"', True),
        ('key.tags.tier == "gold"', 'key.tags.tier not in ("gold", "silver")', True),
        ("request.input_tokens > 5k", "request.input_tokens <= 5k", True),
        ("request.input_tokens > 5k", "request.input_tokens < 5k", True),
        ("request.input_tokens >= 5k", "request.input_tokens <= 5k", False),
        ("request.input_tokens > 5k", "request.input_tokens > 6k", False),
        ("request.input_tokens == 3", "request.input_tokens > 5", True),
        ("request.max_output_tokens > 5", "request.max_output_tokens <= 5", True),
        ("request.stream", "not request.stream", True),
        ('request.has("image")', 'not request.has("image") and request.stream', True),
        ('key.org == "acme" or key.org == "globex"', 'key.org == ""', True),
        ('key.org == "acme" or request.stream', 'key.org == "globex"', False),
        ('request.model is starts_with("gpt")', 'request.model == "claude"', True),
        ('request.model is starts_with("gpt")', 'request.model is starts_with("claude")', True),
        ('request.model is starts_with("gpt")', 'request.model is starts_with("gpt-5")', False),
        ('request.model is starts_with("gpt")', 'request.model == "gpt-5"', False),
        ("false", "request.stream", True),
    ],
)
def test_disjoint(a: str, b: str, apart: bool, expr: Callable[[str], Expr]) -> None:
    assert disjoint(expr(a), expr(b)) is apart
    assert disjoint(expr(b), expr(a)) is apart
