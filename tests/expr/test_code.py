"""IR to code: a plan is a file that anybody could have written, so nothing in it becomes code unchecked."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import engine
from engine.compiler.expr.calls import FILTERS, FUNCTIONS, TESTS
from engine.compiler.expr.directives import DIRECTIVES
from engine.plan import functions
from engine.plan.code import bind_expr, bind_template, expression_source
from engine.plan.values import Expr, Template

EVIL = "x'] or __import__('os').system('id') or ['"

FORGED: list[Any] = [
    ["a", ["p", 0], "__class__"],
    ["a", ["p", 0], EVIL],
    ["a", ["p", 0], "x.y"],
    ["a", ["p", 0], "x\nimport os"],
    ["p", EVIL],
    ["p", "0]"],
    ["l", "1; import os"],
    ["m", ["p", 0], "format", []],
    ["m", ["p", 0], "__init__", []],
    ["call", "__import__", [["c", "os"]]],
    ["call", "exec", [["c", "1"]]],
    ["call", EVIL, []],
    ["cmp", EVIL, ["c", 1], ["c", 2], "plain"],
    ["cmp", "== 1 or", ["c", 1], ["c", 2], "plain"],
    ["op", EVIL, ["c", 1], ["c", 2], "plain"],
    ["op", "**", ["c", 9], ["c", 9], "plain"],
    ["op", "+-", ["c", 9], ["c", 9], "plain"],
    ["is", EVIL, ["c", 1]],
    ["c", {"a": 1}],
    ["c", [["nested"]], {}],
    ["c", [{"a": 1}]],
    [EVIL, 1],
    ["value", ["c", 1]],
    "import os",
    5,
    None,
    [],
    ["g", ["p", 0], {"a": 1}],
    ["map", [[["c", 1], ["c", 1]]]],
]


@pytest.mark.parametrize("ir", FORGED, ids=repr)
def test_forged_expressions_are_refused(ir: Any) -> None:
    with pytest.raises((ValueError, KeyError, TypeError, IndexError)):
        bind_expr(Expr("", "response_read", "any", ir))


@pytest.mark.parametrize("ir", FORGED, ids=repr)
def test_forged_templates_are_refused(ir: Any) -> None:
    for template in (["E", ir, False], ["M", [["=", "k", ["E", ir, True]]], False], ["X", ["a", ir], "path"]):
        if template[0] == "X" and isinstance(ir, str):
            continue  # a text among the parts is text
        with pytest.raises((ValueError, KeyError, TypeError, IndexError)):
            bind_template(Template("response_read", template))


@pytest.mark.parametrize(
    "ir",
    [
        ["W", ["c", 1], "1 = 2; v", [[["a"], ["K", 1]]], None],
        ["T", [["1; import os", ["K", 1]]], ["K", 1]],
        ["C", EVIL, ["c", 1], None],
        ["C", "string", ["c", 1], [{"a": 1}]],
        ["Z", 1],
        ["K", {1, 2}],
        ["M", [["?", "k", ["K", 1]]], False],
    ],
    ids=repr,
)
def test_forged_directives_are_refused(ir: Any) -> None:
    with pytest.raises((ValueError, KeyError, TypeError, IndexError)):
        bind_template(Template("response_read", ir))


def test_words_of_users_are_only_ever_constants() -> None:
    ir = ["cmp", "==", ["g", ["p", 0], EVIL], ["c", EVIL], "plain"]
    assert bind_expr(Expr("", "response_read", "bool", ir))({EVIL: EVIL}, {}, 200) is True
    assert repr(EVIL) in expression_source("response_read", ir)


def test_every_function_of_the_language_has_code() -> None:
    """And the other way round: `concat` is what `+` between lists becomes."""
    assert {*FILTERS, *FUNCTIONS} | {"concat"} == set(functions.TABLE)


def test_a_pattern_without_an_engine_says_what_to_do() -> None:
    code = (
        "from engine.plan.code import bind_expr\nfrom engine.plan.types import Expr\n"
        "ir = ['call', 'matches', [['c', 'x'], ['c', 'y']]]\n"
        "try: bind_expr(Expr('', 'route', 'bool', ir))\n"
        "except RuntimeError as e: print(e)\n"
        "import engine.wire.regex\nprint(bind_expr(Expr('', 'route', 'bool', ir))(0, 0, 0, 0))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "no RE2 engine is registered: import engine.wire.regex before binding a plan",
        "False",
    ]


def test_the_page_of_templates_names_everything() -> None:
    page = (Path(engine.__file__).parent.parent / "docs" / "templates.md").read_text()
    words = set(re.findall(r"\$?[a-z_0-9]+", page))
    assert {*FILTERS, *FUNCTIONS, *DIRECTIVES, "required", *TESTS} <= words
