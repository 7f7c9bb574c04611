"""Lines and columns of a text, counted the way the YAML parser and editors count them.

A line ends at `\n`, `\r\n` or `\r`; `str.splitlines` also breaks at form feeds and other characters, which
would put every later place on the wrong line.
"""

from __future__ import annotations

import re
from typing import Final

from engine.diagnostics import Span

_BREAK: Final = re.compile("\r\n|\n|\r")


def split_lines(text: str) -> list[str]:
    """The lines without their ends; one empty line for an empty text."""
    return _BREAK.split(text)


def place(text: str, offset: int) -> tuple[int, int]:
    """Line and column, from 1, of the character at `offset`."""
    before = _BREAK.split(text[:offset])
    return len(before), len(before[-1]) + 1


def span_at(file: str, text: str, start: int, end: int | None = None) -> Span:
    """The span of the characters `start` to `end` (one character when left out)."""
    line, column = place(text, start)
    end_line, end_column = place(text, end) if end is not None else (line, column + 1)
    return Span(file, line, column, end_line, end_column)
