"""What is checked in a YAML text before the C parser sees it: length, characters, and runaway nesting.

The limits keep hostile or broken files cheap: `[` x 30,000 must not reach recursive code. The exact limits
on depth and number of values are held by `parse`, event by event; here a rough count is enough, and it is
set so high that text in a long prompt never meets it.
"""

from __future__ import annotations

import re
from typing import Final

from engine.compiler.text_lines import span_at, split_lines
from engine.diagnostics import Diagnostics, Span

#: Characters in a text; the same number as the bytes that `load` reads from a file at most.
MAX_LENGTH: Final = 1024 * 1024
#: Brackets open at once, counted without regard to quotes: twenty times what `parse` allows.
MAX_OPEN: Final = 1280
_MAX_INDENTS: Final = 256

#: Control characters, line ends other than \n and \r, invisible marks that turn the direction of text round.
_FORBIDDEN: Final = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff]"
)
_BRACKET: Final = re.compile(r"[\[\]{}]")
_INDENT: Final = re.compile(r" *(?:- +)*")
_NAMES: Final = {
    "\x00": "a NUL byte",
    "\x0b": "a vertical tab",
    "\x0c": "a form feed",
    "\x1b": "an escape character",
    "\x7f": "a delete character",
    "\x85": "a next-line character",
    "\u2028": "an invisible line separator",
    "\u2029": "an invisible paragraph separator",
    "\ufeff": "an invisible byte order mark",
}


def prescan(file: str, text: str, out: Diagnostics) -> bool:
    """True if the text may go to the parser; else a diagnostic says why not."""
    checks = (_length, _characters, _brackets, _indents)
    return all(check(file, text, out) for check in checks)


def _length(file: str, text: str, out: Diagnostics) -> bool:
    if len(text) <= MAX_LENGTH:
        return True
    advice = "split it: every section may be spread over several files"
    out.add(
        "E008",
        f"`{file}` holds {len(text):,} characters; at most 1 MiB is read",
        Span(file, 1, 1, 1, 1),
        help=advice,
    )
    return False


def _characters(file: str, text: str, out: Diagnostics) -> bool:
    match = _FORBIDDEN.search(text)
    if not match:
        return True
    found = match[0]
    if found in _NAMES:
        name = _NAMES[found]
    elif "\u202a" <= found <= "\u2069":
        name = "an invisible mark that reverses the direction of text"
    else:
        name = "a control character"
    escape = f"\\u{ord(found):04x}" if ord(found) > 0xFF else f"\\x{ord(found):02x}"
    advice = f'remove it; where it is wanted in a text, write "{escape}" inside double quotes'
    out.add(
        "E012", f"{name} (U+{ord(found):04X}) stands here", span_at(file, text, match.start()), help=advice
    )
    return False


def _brackets(file: str, text: str, out: Diagnostics) -> bool:
    depth = 0
    for match in _BRACKET.finditer(text):
        depth = depth + 1 if match[0] in "[{" else max(0, depth - 1)
        if depth > MAX_OPEN:
            message = f"more than {MAX_OPEN:,} brackets are open here; values nest at most 64 deep"
            out.add(
                "E013", message, span_at(file, text, match.start()), help="close the brackets, or flatten it"
            )
            return False
    return True


def _indents(file: str, text: str, out: Diagnostics) -> bool:
    """A staircase of indents: lines each deeper than the one before, and `- - - -`."""
    stack: list[int] = []
    for number, line in enumerate(split_lines(text), 1):
        match = _INDENT.match(line)
        assert match is not None  # it matches the empty string
        width = match.end()
        if width == len(line):
            continue
        while stack and stack[-1] >= width:
            stack.pop()
        stack.append(width)
        if len(stack) + match[0].count("-") > _MAX_INDENTS:
            message = f"more than {_MAX_INDENTS} levels of indentation; values nest at most 64 deep"
            out.add("E013", message, Span(file, number, 1, number, width + 1), help="flatten it")
            return False
    return True
