"""A parsed file: plain data, and where each piece of it stands in the text.

`data` is made of dict, list, str, int, float, bool and None. A path is a tuple of keys and indexes from
the root: `("routes", "assistant", "start", 0)`. Every value has a span, every key of a map has one too;
what is asked for and does not stand in the file falls back to the nearest parent that does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from engine.compiler.load import Source
from engine.compiler.places import Path
from engine.compiler.text_lines import split_lines
from engine.diagnostics import Span

__all__ = ["Document", "Path"]


@dataclass(frozen=True)
class Document:
    """One source and its value. Top-level `x-*` keys are not in `data`: only their anchors mean something."""

    source: Source
    data: Any
    spans: dict[Path, Span] = field(repr=False)
    key_spans: dict[Path, Span] = field(repr=False)
    _quoted: frozenset[Path] = field(repr=False, default=frozenset())

    def span(self, path: Path) -> Span:
        """Where the value stands; the nearest parent's place if there is no such value."""
        return self._nearest(self.spans, path)

    def key_span(self, path: Path) -> Span:
        """Where the last key of `path` is written; for an item of a list and the root, the value's place."""
        found = self.key_spans.get(path)
        return found if found is not None else self.span(path)

    def quoted(self, path: Path) -> bool:
        """True for a scalar in quotes or a block (`|`, `>`): YAML cut nothing off it."""
        return path in self._quoted

    def raw(self, path: Path) -> str:
        """The value as it is written, quotes, comments and all."""
        return self.text(self.span(path))

    def text(self, span: Span) -> str:
        """What stands in the file between the two ends of `span`."""
        rows = self.lines[span.line - 1 : span.end_line]
        if not rows:
            return ""
        if span.line == span.end_line:
            return rows[0][span.column - 1 : span.end_column - 1]
        first, last = rows[0][span.column - 1 :], ""
        if span.end_line - span.line < len(rows):
            last = rows.pop()[: span.end_column - 1]
        return "\n".join([first, *rows[1:], last])

    def line(self, span: Span) -> str:
        """The whole line on which `span` begins, without its line end."""
        return self.lines[span.line - 1] if span.line <= len(self.lines) else ""

    def cut_off(self, path: Path) -> str | None:
        """What YAML took for a comment behind an unquoted scalar: ` #gold` after `tier ==`; None if nothing.

        Whether it is a comment or the rest of an expression, only who reads the expression can tell.
        """
        span = self.spans.get(path)
        if span is None or path in self._quoted or span.line != span.end_line:
            return None
        rest = self.line(span)[span.end_column - 1 :].rstrip()
        return rest if rest.lstrip().startswith("#") else None

    def quoted_line(self, path: Path) -> str | None:
        """The line as it should be where YAML cut an expression: the value and what was cut in single quotes.

        None where nothing was cut. `- when: key.name == #1` becomes `- when: 'key.name == #1'`.
        """
        rest = self.cut_off(path)
        if rest is None:
            return None
        span = self.span(path)
        line = self.line(span)
        value = line[span.column - 1 : span.end_column - 1] + rest
        return line[: span.column - 1] + "'" + value.replace("'", "''") + "'"

    @cached_property
    def lines(self) -> list[str]:
        """The text by lines, as spans count them."""
        return split_lines(self.source.text)

    def _nearest(self, table: dict[Path, Span], path: Path) -> Span:
        for end in range(len(path), -1, -1):
            found = table.get(path[:end])
            if found is not None:
                return found
        return Span(self.source.path, 1, 1, 1, 1)
