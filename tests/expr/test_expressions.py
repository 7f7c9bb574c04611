"""Expressions: their values, their faults with exact places, and what is never let in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.codes import CODES
from engine.compiler.expr import compile_template
from engine.compiler.expr.lexer import Refused, parse
from engine.diagnostics import Diagnostics
from engine.plan.code import bind_expr
from engine.plan.scopes import SCOPES

DATA = Path(__file__).parent / "data"


def table(name: str) -> Any:
    return yaml.load((DATA / name).read_text(), yaml.CSafeLoader)


@pytest.mark.parametrize("row", table("values.yaml"), ids=lambda row: row["expr"])
def test_what_an_expression_of_a_route_gives(
    row: dict[str, Any], evaluate: Callable[..., Any], route_views: Callable[..., Any]
) -> None:
    given = evaluate(row["expr"], route_views(row.get("with", {})))
    assert (given, type(given)) == (row["gives"], type(row["gives"]))


@pytest.mark.parametrize("row", table("wire_values.yaml"), ids=lambda row: f"{row['expr']} of {row['body']}")
def test_what_an_expression_over_a_wire_gives(row: dict[str, Any], evaluate: Callable[..., Any]) -> None:
    given = evaluate(row["expr"], (row["body"], {}, 200), "response_read")
    assert (given, type(given)) == (row["gives"], type(row["gives"]))


@pytest.mark.parametrize("row", table("errors.yaml"), ids=lambda row: row["expr"] or "empty")
def test_what_is_said_of_a_fault(row: dict[str, Any], compile_text: Callable[..., Any]) -> None:
    expr, out = compile_text(row["expr"])
    assert expr is None
    (found,) = out
    assert found.code == row["code"], found
    assert found.span is not None
    if "column" in row:
        # `when: "` stands before the text, and what JSON escapes takes one column more.
        before = row["expr"][: row["column"] - 1]
        assert found.span.column == 7 + row["column"] + sum(before.count(c) for c in '"\\'), found
    assert row.get("says", "") in found.message
    assert row.get("help", "") in (found.help or "")


def test_every_code_has_a_row_that_shows_it() -> None:
    shown = {row["code"] for row in table("errors.yaml")} | {"E321"}
    assert shown >= {code for code in CODES if "E300" <= code <= "E329"}


HOSTILE = table("hostile.yaml")


@pytest.mark.parametrize("text", HOSTILE["ssti"] + HOSTILE["burners"])
def test_hostile_text_never_compiles(
    text: str, compile_text: Callable[..., Any], document_of: Callable[..., Any]
) -> None:
    for where in SCOPES:
        expr, out = compile_text(text, where, "any")
        assert expr is None, (where, expr)
        assert out.failed
        document = document_of("t: {}\n")
        inside = Diagnostics()
        assert (
            compile_template(
                {"x": "${{ " + text + " }}"}, document=document, path=("t",), scope=where, out=inside
            )
            is None
        )


def test_the_hostile_tables_are_not_thin() -> None:
    assert len(HOSTILE["ssti"]) >= 25
    assert len(HOSTILE["burners"]) >= 10


@pytest.mark.parametrize(
    "text",
    [
        "(" * 5000 + "1" + ")" * 5000,
        "not " * 3000 + "true",
        "- " * 3000 + "1",
        "request" + ".a" * 3000,
        "request" + "|lower" * 1000,
        " and ".join(["request.stream"] * 2000),
        "[" * 300 + "]" * 300,
        "1 if true else " * 200 + "1",
        "x" * 100_000,
        "1" * 5000,
        "1." + "1" * 3000,
    ],
    ids=lambda text: f"{text[:12]}... {len(text)}",
)
def test_size_and_depth_are_refused_and_not_run_into(text: str, compile_text: Callable[..., Any]) -> None:
    expr, out = compile_text(text, "response_read", "any")
    assert expr is None
    assert {d.code for d in out} <= {"E314", "E301", "E304"}


def test_the_largest_that_is_let_in_runs(compile_text: Callable[..., Any]) -> None:
    deep = "(" * 20 + "body.a" + ".b" * 30 + ")" * 20
    wide = " or ".join(f"body.a == {n}" for n in range(60))
    for text in (deep, wide):
        expr, out = compile_text(text, "response_read", "any")
        assert expr is not None, list(out)
        assert bind_expr(expr)({"a": 59}, {}, 200) in (None, True)


def test_generated_code_has_no_builtins(compile_text: Callable[..., Any]) -> None:
    expr, _ = compile_text('request.model == "x"')
    assert expr is not None
    assert bind_expr(expr).__globals__["__builtins__"] == {}


@pytest.mark.parametrize(
    "text",
    [
        "\x00",
        "\ud800",
        "a\u2028b",
        "\u200b",
        "é",
        "'\\ud800'",
        "1_000_",
        "0x",
        "0b2",
        "1e",
        "a..b",
        "|",
        "not",
    ],
)
def test_odd_text_is_an_error_and_not_a_crash(text: str) -> None:
    with pytest.raises(Refused):
        parse(text)


def test_the_same_text_gives_the_same_ir(compile_text: Callable[..., Any]) -> None:
    first, _ = compile_text('key.tags.tier in ("gold", "silver") and request.stream')
    again, _ = compile_text('key.tags.tier in ("gold", "silver") and request.stream')
    assert first == again
