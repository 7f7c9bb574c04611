"""A syntax error of the YAML parser, said to the person who wrote the file."""

from __future__ import annotations

from typing import Any

from engine.diagnostics import Diagnostics, Span


def report_syntax(file: str, text: str, error: Any, out: Diagnostics) -> None:
    mark = error.problem_mark
    out.add(
        "E010", str(error.problem), Span(file, mark.line + 1, mark.column + 1, mark.line + 1, mark.column + 2)
    )
