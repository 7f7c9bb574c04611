"""A syntax error of the YAML parser, said to the person who wrote the file.

The parser says what it wanted ("did not find expected key"); people need to know what they did. So the line
is looked at: a tab in the indent, a text that needs quotes (tried out: the error must go away), an indent
that fits nothing, a bracket or quote that is not closed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from engine.compiler.quoting import Cure, quoting_cures
from engine.compiler.text_lines import split_lines
from engine.diagnostics import Diagnostics, Related, Span

_TAB: Final = re.compile(r" *(\t+)[ \t]*(\S)?")
_ESCAPE: Final = r"escape|hexdecimal|hexadecimal"
#: Spaces that are none to YAML: they come with texts copied from web pages.
ODD_SPACE: Final = re.compile("[\u00a0\u2000-\u200b\u202f\u205f\u3000]")


@dataclass(slots=True)
class _Fault:
    """A syntax error as the parser tells it, with marks as spans, and the text around it."""

    file: str
    lines: list[str]
    problem: str
    span: Span
    context: str
    context_span: Span | None
    brackets: Sequence[Span]

    @property
    def line(self) -> str:
        return self.lines[self.span.line - 1]

    @property
    def character(self) -> str:
        """The character at the fault; empty at the end of a line."""
        return self.line[self.span.column - 1 : self.span.column]


def report_syntax(file: str, text: str, error: Any, brackets: Sequence[Span], out: Diagnostics) -> None:
    """Add the one diagnostic that says best what is wrong.

    `error` is the parser's; `brackets` are the flow brackets that were open when it was raised.
    """
    lines = split_lines(text)
    span = _span(file, lines, getattr(error, "problem_mark", None))
    context_mark = getattr(error, "context_mark", None)
    context_span = _span(file, lines, context_mark) if context_mark else None
    problem = getattr(error, "problem", None) or str(error)
    fault = _Fault(file, lines, problem, span, getattr(error, "context", None) or "", context_span, brackets)
    for look in (_tab, _odd_space, _directive, _quotes, _open_quote, _wording):
        if look(fault, out):
            return


def _span(file: str, lines: list[str], mark: Any) -> Span:
    """A mark as a span of one character; the end of the file is the end of its last line with text."""
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    if line > len(lines) or (line == len(lines) and not lines[-1]):
        line = len(lines)
        while line > 1 and not lines[line - 1].strip():
            line -= 1
        column = len(lines[line - 1]) + 1
    return Span(file, line, column, line, column + 1)


def _tab(fault: _Fault, out: Diagnostics) -> bool:
    for number in (fault.span.line, fault.span.line - 1):
        match = _TAB.match(fault.lines[number - 1]) if number else None
        # A line of nothing but tabs is rarely the fault: only where the parser itself speaks of a tab.
        if match and (match[2] or "tab character" in fault.problem):
            span = Span(fault.file, number, match.start(1) + 1, number, match.end(1) + 1)
            advice = "use spaces, two per level (most editors: convert indentation to spaces)"
            out.add("E011", "a tab stands in the indentation", span, help=advice)
            return True
    return False


def _odd_space(fault: _Fault, out: Diagnostics) -> bool:
    """A false space in the indent, or right behind a colon."""
    places = [fault.span, fault.context_span or fault.span]
    for number in {place.line for place in places}:
        line = fault.lines[number - 1]
        match = ODD_SPACE.search(line)
        if match and (not line[: match.start()].strip(" -") or line[match.start() - 1] == ":"):
            column = match.start() + 1
            span = Span(fault.file, number, column, number, column + 1)
            message = f"U+{ord(match[0]):04X} stands here: it looks like a space and is none"
            out.add("E011", message, span, help="write plain spaces")
            return True
    return False


def _quotes(fault: _Fault, out: Diagnostics) -> bool:
    """The error goes away when a value on its line is put in quotes."""
    if re.search(_ESCAPE, fault.problem):
        return False  # quotes around the double quotes would hide it and change the text
    cure = quoting_cures(fault.lines, fault.span.line, fault.span.column)
    if cure is None:
        return False
    span = Span(fault.file, fault.span.line, cure.column, fault.span.line, cure.column + len(cure.value))
    advice = f"put the value in single quotes: {cure.line.strip()}"
    out.add("E026", _why_quotes(cure, fault), span, help=advice)
    return True


def _why_quotes(cure: Cure, fault: _Fault) -> str:
    first = cure.value[0]
    if first in "'\"":
        return f"this value begins with {first}, so YAML ends it at the next {first}"
    if first in "[{":
        return f"this value begins with `{first}`, so YAML reads a {'list' if first == '[' else 'map'}"
    if first in "@`%*&!":
        return f"a value without quotes cannot begin with {first}"
    if fault.problem.startswith("mapping values") or fault.character == ":":
        return "this value holds `: `, which ends a key in YAML"
    return "this value holds characters that end it in YAML, inside braces"


def _open_quote(fault: _Fault, out: Diagnostics) -> bool:
    if "quoted scalar" not in fault.context or fault.context_span is None:
        return False
    if "end of stream" not in fault.problem and "document" not in fault.problem:
        return False
    out.add("E010", "this quote is never closed", fault.context_span, help="close it where the text ends")
    return True


def _wording(fault: _Fault, out: Diagnostics) -> bool:
    """By the parser's own words: those of libyaml first, then those of the Python parser."""
    for pattern, say in _WORDINGS:
        if re.search(pattern, fault.problem) and say(fault, out):
            return True
    out.add("E010", f"this is not YAML: {fault.problem}", fault.span)
    return True


def _no_colon(fault: _Fault, out: Diagnostics) -> bool:
    span = fault.context_span or fault.span
    line = fault.lines[span.line - 1]
    key = re.match(r"([\w.-]+):\S", line[span.column - 1 :])
    if key:
        column = span.column + len(key[1])
        here = Span(fault.file, span.line, column, span.line, column + 1)
        advice = f"write `{key[1]}: ` and the value"
        out.add("E010", "a space is missing behind the colon", here, help=advice)
    else:
        whole = Span(fault.file, span.line, span.column, span.line, len(line.rstrip()) + 1)
        advice = "lines of a map are `key: value`; a text over several lines needs `|` or quotes"
        out.add("E010", "this line has no `key:`", whole, help=advice)
    return True


def _indent(fault: _Fault, out: Diagnostics) -> bool:
    """A line whose indent fits none of the maps above it."""
    above = fault.context_span
    text_before = fault.line[: fault.span.column - 1].strip()
    if above is None or text_before or not fault.character:
        return False
    word = "list" if "sequence" in fault.context or "collection" in fault.context else "map"
    if above.column == fault.span.column:
        wanted = "`- item`" if word == "list" else "`key: value`"
        message = f"the {word} goes on here, so {wanted} is expected"
    else:
        here, there = fault.span.column - 1, above.column - 1
        message = f"this line is indented by {here}, and the {word} it belongs to by {there}"
    related = [Related(f"the {word} begins here", above)]
    advice = "lines of one map or list begin in one column"
    out.add("E010", message, fault.span, help=advice, related=related)
    return True


def _after_value(fault: _Fault, out: Diagnostics) -> bool:
    advice = "a text with quotes or brackets in it needs single quotes around all of it"
    if fault.line.count("'") % 2:
        advice = "inside single quotes, write '' for one quote"
    out.add("E010", "something follows a value that has ended", fault.span, help=advice)
    return True


def _value_and_map(fault: _Fault, out: Diagnostics) -> bool:
    """`a: 1`, then a deeper `b: 2`; or `a` without a colon, then `b: 2`."""
    number = fault.span.line - 1
    while number and not fault.lines[number - 1].strip():
        number -= 1
    if not number:
        return False
    above = fault.lines[number - 1]
    indent, indent_above = _indent_of(fault.line), _indent_of(above)
    if ":" not in above:
        whole = Span(fault.file, number, indent_above + 1, number, len(above.rstrip()) + 1)
        advice = "lines of a map are `key: value`; a text over several lines needs `|` or quotes"
        out.add("E010", "this line has no `key:`", whole, help=advice)
        return True
    if indent <= indent_above or ": " not in above:
        return False
    key = above.strip().partition(":")[0].removeprefix("- ")
    begins = Span(fault.file, fault.span.line, indent + 1, fault.span.line, fault.span.column)
    message = f"this line is indented deeper than `{key}` above it, which has a value already"
    advice = "indent it like the line above, or remove the value there"
    out.add("E010", message, begins, help=advice)
    return True


def _indent_of(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _open_bracket(fault: _Fault, out: Diagnostics) -> bool:
    if not fault.brackets:
        return _closes_nothing(fault, out)
    if fault.character == ",":
        out.add("E010", "nothing stands before this comma", fault.span, help="remove it, or write the value")
        return True
    bracket = fault.brackets[-1]
    close = "]" if fault.lines[bracket.line - 1][bracket.column - 1] == "[" else "}"
    if bracket.line == fault.span.line and fault.character:
        message, span = f"a comma or `{close}` is missing before this place", fault.span
    else:
        message, span = f"this `{'[' if close == ']' else '{'}` is not closed", bracket
    advice = f"close it with `{close}`; a text that holds brackets or commas needs single quotes"
    out.add("E010", message, span, help=advice)
    return True


def _closes_nothing(fault: _Fault, out: Diagnostics) -> bool:
    if fault.character not in ("]", "}"):
        return bool(fault.character.strip()) and _first_character(fault, out)
    advice = "remove it; a text that begins with it needs quotes"
    out.add("E010", f"this `{fault.character}` closes nothing", fault.span, help=advice)
    return True


def _tag(fault: _Fault, out: Diagnostics) -> bool:
    if "tag" not in f"{fault.context} {fault.problem}":
        return False
    advice = "a text that begins with ! needs quotes"
    out.add("E017", "`!` begins a tag, and tags are not read", fault.context_span or fault.span, help=advice)
    return True


def _saying(message: str, advice: str) -> Callable[[_Fault, Diagnostics], bool]:
    """The wording of a fault that needs no look at it."""

    def say(fault: _Fault, out: Diagnostics) -> bool:
        out.add("E010", message, fault.span, help=advice)
        return True

    return say


def _first_character(fault: _Fault, out: Diagnostics) -> bool:
    advice = "put the text in single quotes"
    out.add("E010", f"a value cannot begin with `{fault.character}`", fault.span, help=advice)
    return True


def _directive(fault: _Fault, out: Diagnostics) -> bool:
    if not fault.line.startswith("%") and "directive" not in fault.context:
        return False
    advice = "remove the line; a comment begins with #"
    out.add("E010", "a line that begins with `%` is a directive, and none is needed", fault.span, help=advice)
    return True


_WORDINGS: Final = (
    (r"", _tag),
    (r"expected ':'", _no_colon),
    (r"expected key|expected '-'|<block end>", _indent),
    (r"mapping values are not allowed", _value_and_map),
    (
        r"mapping values are not allowed|mapping keys are not allowed",
        _saying(
            "a second `: ` on this line",
            "begin a new line for a new key; a text that holds `: ` needs quotes",
        ),
    ),
    (r"',' or|expected node content|expected the node content", _open_bracket),
    (
        r"(block )?sequence entries are not allowed",
        _saying(
            "a list cannot begin behind a key",
            "begin the list on the next line, or write [a, b]; a text that begins with `- ` needs quotes",
        ),
    ),
    (r"cannot start any token", _first_character),
    (
        _ESCAPE,
        _saying(
            "this is no escape that double quotes know",
            "in single quotes every character means itself; in double quotes write \\\\ for a backslash",
        ),
    ),
    (
        r"comment or line break|comment or a line break|indentation indicator|chomping",
        _saying("nothing may follow `|` or `>` on its line", "the text begins on the next line, indented"),
    ),
    (
        r"alphabetic or numeric",
        _saying(
            "a name is expected behind `*` or `&`",
            "put the text in single quotes; `*` and `&` begin an alias and an anchor",
        ),
    ),
    (r"expected key|expected '-'|<block end>|document start", _after_value),
)
