"""The line as it should have been written, where YAML choked on a text without quotes.

Nothing is guessed blindly: a candidate counts only if the parser gets past the line with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

import yaml

_KEY: Final = r"(?:[\w.$*/-]+|'[^']*'|\"[^\"]*\")"
#: `  - when: ` and what follows it.
_BLOCK: Final = re.compile(rf"^( *(?:- +)*(?:{_KEY}: +)?)(\S.*?)\s*$")
#: A value in braces up to the next `, key:` or the end of them.
_PAIR: Final = re.compile(rf"({_KEY}: +)(.+?)(?=, *{_KEY}:(?: |$)|[\]}}]*\s*$)")
_ITEM: Final = re.compile(r"(?<=[\[,])(\s*)([^\s,\[\]{}][^,\[\]{}]*)")

#: Longer lines are not searched for what to quote: nobody wrote them by hand.
_MAX_LINE: Final = 2000

_LOADER: Final[Any] = getattr(yaml, "CLoader", yaml.Loader)


def quoted_line(lines: Sequence[str], number: int, column: int) -> str | None:
    """Line `number` (from 1) with one value in single quotes, so that it parses; None if that is no cure."""
    line = lines[number - 1]
    if len(line) > _MAX_LINE:
        return None
    for start, end in _candidates(line, column - 1):
        fixed = line[:start] + "'" + line[start:end].replace("'", "''") + "'" + line[end:]
        if _gets_past([*lines[: number - 1], fixed], number):
            return fixed
    return None


def _candidates(line: str, at: int) -> Iterator[tuple[int, int]]:
    """Stretches of the line that may be a text without its quotes, the likeliest first."""
    braces = line.lstrip(" -").startswith("{") or re.search(rf"{_KEY}: +[\[{{]", line)
    if braces:
        for match in _PAIR.finditer(line):
            if match.start(2) <= at <= match.end(2) and _odd(match[2]):
                yield match.start(2), match.end(2)
        for match in _ITEM.finditer(line):
            if match.start(2) <= at <= match.end(2) and match[2][0] in "*&!@%`":
                yield match.start(2), match.start(2) + len(match[2].rstrip())
    whole = _BLOCK.match(line)
    if whole and _odd(whole[2]):
        yield whole.start(2), whole.end(2)


def _odd(value: str) -> bool:
    """True for a value that plainly is one text to its writer: `"gold" == x`, `@home`, `a: b`, `[1] in x`."""
    first = value[0]
    if first in "'\"":
        return not re.fullmatch(r"'(?:[^']|'')*'|\"(?:[^\"\\]|\\.)*\"", value) and value.count(first) % 2 == 0
    if first in "@`%*&!":
        return True
    if first in "[{":
        close = {"[": "]", "{": "}"}[first]
        return value.count(first) == value.count(close) and not value.endswith(close)
    return ": " in value or (bool(re.search(r"[\[{\"]", value)) and value.count("[") == value.count("]"))


def _gets_past(lines: list[str], number: int) -> bool:
    """True if the parser reads these lines without a fault up to the last; brackets may stay open there."""
    try:
        for _ in yaml.parse("\n".join(lines), Loader=_LOADER):
            pass
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        return mark is not None and mark.line >= number
    return True
