"""From a character of a scalar's value to its line and column in the YAML file.

A value is not what is written: `''` in single quotes is one character, `\\u0041` in double quotes too, and
lines fold. The scalar is read again here, noting for each character of the value where it stands; if
that gives another value than YAML did (a scalar style that is not followed here), the scalar's own place is
used.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from engine.compiler.document import Document, Path
from engine.compiler.text_lines import split_lines
from engine.diagnostics import Diagnostics, Span

_ESCAPES: Final = {
    "0": "\0", "a": "\a", "b": "\b", "t": "\t", "\t": "\t", "n": "\n", "v": "\v", "f": "\f", "r": "\r",
    "e": "\x1b", " ": " ", '"': '"', "/": "/", "\\": "\\", "N": "\x85", "_": "\xa0", "L": "\u2028",
    "P": "\u2029",
}  # fmt: skip
_HEX: Final = {"x": 2, "u": 4, "U": 8}


@dataclass(frozen=True)
class Place:
    """Where a text stands: the scalar at `path` of `document`, or (`key`) the key there.

    `start` is the offset of the text within the scalar's value.
    """

    document: Document
    path: Path
    start: int = 0
    key: bool = False

    def inside(self, start: int) -> Place:
        """The place of a text that begins `start` characters further on."""
        return Place(self.document, self.path, self.start + start, self.key)

    def span(self, begin: int | None = None, end: int | None = None) -> Span:
        """The span of the characters `begin` to `end` of the text; the whole scalar without them."""
        whole = self.document.key_span(self.path) if self.key else self.document.span(self.path)
        if begin is None:
            return whole
        written = _written(self.document.text(whole))
        if written is None or self._value != written[0]:
            return whole
        marks = written[1]
        first = min(self.start + begin, len(marks) - 1)
        last = min(self.start + (begin + 1 if end is None else max(end, begin + 1)), len(marks) - 1)
        start, stop = marks[first], max(marks[last], marks[first] + 1)
        line, column = _advance(whole, self.document.text(whole), start)
        end_line, end_column = _advance(whole, self.document.text(whole), stop)
        return Span(whole.file, line, column, end_line, end_column)

    @cached_property
    def _value(self) -> str | None:
        if self.key:
            return str(self.path[-1])
        value = self.document.data
        try:
            for step in self.path:
                value = value[step]
        except (KeyError, IndexError, TypeError):
            return None
        if isinstance(value, bool):
            return "true" if value else "false"
        return value if isinstance(value, str) else None

    def add(
        self, out: Diagnostics, code: str, message: str, begin: int | None = None, end: int | None = None,
        *, help: str | None = None,
    ) -> None:  # fmt: skip
        """Record a finding on the characters `begin` to `end`."""
        out.add(code, message, self.span(begin, end), help=help)

    def cut_line(self) -> str | None:
        """The line in quotes as it should be, where YAML ended the scalar early (` #`)."""
        return None if self.key else self.document.quoted_line(self.path)


def _advance(span: Span, raw: str, offset: int) -> tuple[int, int]:
    rows = split_lines(raw[:offset])
    if len(rows) == 1:
        return span.line, span.column + offset
    return span.line + len(rows) - 1, len(rows[-1]) + 1


def _written(raw: str) -> tuple[str, list[int]] | None:
    """The value of a scalar as written, and the offset in `raw` of each of its characters and of its end."""
    if raw[:1] == "'":
        return _flow(raw, 1, "'")
    if raw[:1] == '"':
        return _flow(raw, 1, '"')
    if raw[:1] in ("|", ">"):
        return _block(raw)
    return _flow(raw, 0, "")


def _flow(raw: str, at: int, quote: str) -> tuple[str, list[int]] | None:
    value: list[str] = []
    marks: list[int] = []
    while at < len(raw):
        char = raw[at]
        if quote and char == quote:
            if quote == "'" and raw[at + 1 : at + 2] == "'":
                value.append("'")
                marks.append(at)
                at += 2
                continue
            marks.append(at)
            return "".join(value), marks
        if quote == '"' and char == "\\":
            step = _escape(raw, at)
            if step is None:
                return None
            text, width = step
            if text:
                value.append(text)
                marks.append(at)
            at += width
            continue
        if char in "\r\n":
            at = _fold(raw, at, value, marks)
            continue
        value.append(char)
        marks.append(at)
        at += 1
    marks.append(len(raw))
    return None if quote else ("".join(value), marks)


def _escape(raw: str, at: int) -> tuple[str, int] | None:
    letter = raw[at + 1 : at + 2]
    if letter in _HEX:
        digits = raw[at + 2 : at + 2 + _HEX[letter]]
        try:
            return chr(int(digits, 16)), 2 + len(digits)
        except ValueError:
            return None
    if letter in ("\n", "\r"):
        rest = re.match(r"(?:\r\n|\r|\n)[ \t]*", raw[at + 1 :])
        return "", 1 + (rest.end() if rest else 1)
    return (_ESCAPES[letter], 2) if letter in _ESCAPES else None


def _fold(raw: str, at: int, value: list[str], marks: list[int]) -> int:
    """A line break in a flow scalar: one is a space, more are all but one of them."""
    while value and value[-1] in " \t":
        value.pop()
        marks.pop()
    found = re.compile(r"(?:[ \t]*(?:\r\n|\r|\n))+[ \t]*").match(raw, at)
    end = found.end() if found else at + 1
    breaks = len(re.findall(r"\r\n|\r|\n", raw[at:end]))
    for text in " " if breaks == 1 else "\n" * (breaks - 1):
        value.append(text)
        marks.append(at)
    return end


def _block(raw: str) -> tuple[str, list[int]] | None:
    """A literal block scalar (`|`), and a folded one (`>`) as far as its lines have one indentation."""
    header, newline, _ = raw.partition("\n")
    if not newline:
        return None
    rows: list[tuple[int, str]] = []
    at = len(header) + 1
    for line in raw[at:].split("\n"):
        rows.append((at, line.rstrip("\r")))
        at += len(line) + 1
    indents = [len(line) - len(line.lstrip(" ")) for _, line in rows if line.strip()]
    if not indents:
        return None
    indent = indents[0]
    value: list[str] = []
    marks: list[int] = []
    for number, (start, line) in enumerate(rows):
        for column, char in enumerate(line[indent:]):
            value.append(char)
            marks.append(start + indent + column)
        if number + 1 < len(rows):
            value.append(" " if raw[0] == ">" and rows[number + 1][1].strip() else "\n")
            marks.append(start + len(line))
    text = "".join(value)
    body = text.rstrip("\n ") if raw[0] == ">" else text.rstrip("\n")
    chomp = "" if "-" in header else "\n"
    text = body + chomp
    marks = [*marks[: len(text)], *([len(raw)] * (len(text) + 1 - len(marks[: len(text)])))]
    return text, marks
