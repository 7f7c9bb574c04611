"""Where the values and keys of one file stand: filled while it is parsed, kept by its `Document`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from engine.diagnostics import Span

Path = tuple[str | int, ...]


@dataclass(slots=True)
class Places:
    """Spans by path, and which scalars are quoted."""

    file: str
    lines: list[str]
    spans: dict[Path, Span] = field(default_factory=dict)
    key_spans: dict[Path, Span] = field(default_factory=dict)
    quoted: set[Path] = field(default_factory=set)

    def of(self, event: Any) -> Span:
        """The span of a parser event, whose marks count from 0."""
        start, end = event.start_mark, event.end_mark
        return Span(self.file, start.line + 1, start.column + 1, end.line + 1, end.column + 1)

    def of_block(self, span: Span) -> Span:
        """The span of a block (`|`, `>`), of which the parser's own span is given.

        For the parser it ends where the next thing begins: its last line of text is meant.
        """
        if span.end_line == span.line:
            return span
        last = span.end_line - 1 if span.end_column == 1 else span.end_line
        while last > span.line and not self.lines[last - 1].strip():
            last -= 1
        return Span(span.file, span.line, span.column, last, len(self.lines[last - 1]) + 1)

    def stretch(self, path: Path, end: Span) -> None:
        """Let the value at `path` reach as far as `end`."""
        span = self.spans[path]
        self.spans[path] = Span(span.file, span.line, span.column, end.end_line, end.end_column)

    def copy(self, old: Path, new: Path) -> None:
        """What stands at `new` is what is written at `old`."""
        self.spans[new] = self.spans[old]
        if old in self.key_spans:
            self.key_spans[new] = self.key_spans[old]
