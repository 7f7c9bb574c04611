"""The quick scan of an expression gives the very tokens of Jinja2's lexer, or leaves the text to it."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.compiler.expr.lexer import ENVIRONMENT
from engine.compiler.expr.scan import jinja_tokens, plain_tokens

PIECES = (
    "a",
    "request",
    "not",
    "in",
    "_x1",
    "é",
    "a²",
    "0",
    "00",
    "12",
    "007",
    "1.5",
    "1.",
    ".5",
    "1e3",
    "0x1f",
    "1_0",
    "2b",
    '"t"',
    "'t'",
    '"a\\"b"',
    "'\\\\'",
    '"',
    "'",
    '"é }} {{"',
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "}}",
    "-}}",
    "{{",
    "{%",
    "%}",
    "#}",
    "+",
    "-",
    "*",
    "**",
    "/",
    "//",
    "%",
    "~",
    "==",
    "=",
    "!=",
    "!",
    "<",
    "<=",
    ">",
    ">=",
    ".",
    ":",
    "|",
    ",",
    ";",
    "&&",
    "$",
    "@",
    "?",
    "\\",
    " ",
    "  ",
    "\t",
    "\x0b",
    "\u00a0",
    "\u2028",
)


@settings(max_examples=600, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
@example("{a: {b: 1}}")
@example("x.0.5")
@example("a -")
def test_the_same_tokens_or_none(text: str) -> None:
    found = plain_tokens(text)
    if found is None:
        return
    assert found == list(jinja_tokens(ENVIRONMENT, text))


@pytest.mark.parametrize(
    "text",
    [
        "a.b.c",
        'a == "x"',
        "a | default({}) | tojson",
        "x[0] in [1, 2]",
        "a is defined and not b",
        "m.n >= 1.5",
    ],
)
def test_what_is_usual_is_quick(text: str) -> None:
    assert plain_tokens(text) is not None


@pytest.mark.parametrize("text", ["a)", "(a", '"open', "a }} b", "a ? b", "{a: 1]"])
def test_what_is_wrong_is_left_to_jinja(text: str) -> None:
    assert plain_tokens(text) is None
