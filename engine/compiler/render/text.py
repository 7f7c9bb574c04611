"""Diagnostics for people at a terminal: message, place, the line with a caret, what to do.

    error[E015]: the key `assistant` is written twice
     --> routes/main.yaml:3:3
      |
    3 |   assistant: claude
      |   ^^^^^^^^^
     ::: routes/main.yaml:2:3: first written here
      |
    2 |   assistant: gpt
      |   ---------
      = help: keep one of them, or give one another name

Quoted text is shown as it stands, with what would disturb a terminal made visible, and stars for what is or
looks like a secret.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from engine.codes import Severity
from engine.compiler.render.count import counted, summary
from engine.compiler.render.excerpt import excerpt, visible
from engine.compiler.text_lines import split_lines
from engine.diagnostics import Diagnostic, Span
from engine.keys.looks import without_secrets

_COLOURS: Final[dict[Severity, str]] = {"error": "\x1b[1;31m", "warning": "\x1b[1;33m", "note": "\x1b[1;36m"}
#: Codes whose place is where a secret stands, or what may be one.
_SECRET: Final = frozenset({"E105", "E115"})
_BOLD: Final = "\x1b[1m"
_BLUE: Final = "\x1b[1;34m"
_OFF: Final = "\x1b[0m"


def render(diagnostics: Iterable[Diagnostic], sources: Mapping[str, str], *, color: bool = False) -> str:
    """All diagnostics and a line that counts them; empty when there are none.

    `sources` maps a path to its text; a place in a file that is not there is named without its line.
    """
    found, beyond = counted(diagnostics)
    if not found:
        return ""
    writer = _Writer(sources, color, [each.span for each in found if each.code in _SECRET and each.span])
    blocks = [writer.block(diagnostic) for diagnostic in found]
    return "\n".join([*blocks, summary(found, beyond), ""])


class _Writer:
    """Holds the files split into lines, so that each is split once."""

    def __init__(self, sources: Mapping[str, str], color: bool, secrets: Sequence[Span]) -> None:
        self.sources = sources
        self.secrets = secrets
        self.color = color
        self.lines: dict[str, list[str]] = {}

    def block(self, diagnostic: Diagnostic) -> str:
        places = [diagnostic.span, *(related.span for related in diagnostic.related)]
        gutter = max((len(str(span.line)) for span in places if span), default=1)
        severity = diagnostic.severity
        head = self.paint(f"{severity}[{diagnostic.code}]", _COLOURS[severity])
        out = [head + self.paint(f": {visible(diagnostic.message)}", _BOLD)]
        if diagnostic.span:
            out += self.place("-->", diagnostic.span, "", gutter, "^", _COLOURS[severity])
        for related in diagnostic.related:
            out += self.place(":::", related.span, f": {visible(related.message)}", gutter, "-", _BLUE)
        if diagnostic.help:
            out.append(f"{' ' * gutter} {self.paint('=', _BLUE)} help: {visible(diagnostic.help)}")
        return "\n".join([*out, ""])

    def place(self, arrow: str, span: Span, note: str, gutter: int, mark: str, colour: str) -> list[str]:
        pad = " " * gutter
        out = [f"{pad}{self.paint(arrow, _BLUE)} {visible(str(span))}{note}"]
        line = self.line(span)
        if line is None:
            return out
        last = span.end_column if span.end_line == span.line else len(line) + 1
        shown, before, marked = excerpt(line, span.column, last)
        bar = self.paint("|", _BLUE)
        number = self.paint(f"{span.line:>{gutter}}", _BLUE)
        out += [f"{pad} {bar}", f"{number} {bar} {shown}".rstrip()]
        out.append(f"{pad} {bar} {' ' * before}{self.paint(mark * marked, colour)}")
        return out

    def line(self, span: Span) -> str | None:
        """The line a span begins on; None for an unknown or empty file, or a place behind its end."""
        if span.file not in self.sources:
            return None
        if span.file not in self.lines:
            self.lines[span.file] = split_lines(self.sources[span.file])
        lines = self.lines[span.file]
        if not self.sources[span.file] or span.line > len(lines):
            return None
        return self.starred(span, without_secrets(lines[span.line - 1]))

    def starred(self, place: Span, line: str) -> str:
        """The line of a place without the secrets that were found on it; as long as before."""
        for secret in self.secrets:
            if secret.file == place.file and secret.line <= place.line <= secret.end_line:
                start = secret.column - 1 if secret.line == place.line else 0
                end = secret.end_column - 1 if secret.end_line == place.line else len(line)
                line = line[:start] + "*" * len(line[start:end]) + line[end:]
        return line

    def paint(self, text: str, colour: str) -> str:
        return f"{colour}{text}{_OFF}" if self.color else text
