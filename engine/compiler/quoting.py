"""The line as it should have been written, where YAML choked on a text without quotes.

Nothing is guessed blindly: a candidate counts only if the parser gets past the line with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import yaml

_KEY: Final = r"(?:[\w.$*/-]+|'[^']*'|\"[^\"]*\")"
#: `  - when: ` and what follows it.
_BLOCK: Final = re.compile(rf"^( *(?:(?:- +)+(?:{_KEY}: +)?|{_KEY}: +))(\S.*?)\s*$")
#: A value in braces up to the next `, key:` or the end of them.
_PAIR: Final = re.compile(rf"(?<=[{{,])( *{_KEY}: +)(.+?)(?=, *{_KEY}:(?: |$)|([\]}}]*)\s*$)")
_ITEM: Final = re.compile(r"(?<=[\[,])(\s*)([^\s,\[\]{}][^,\[\]{}]*)")

#: `1 tries: 2` in `{rank: 1 tries: 2}`: what is missing is a comma.
_MISSING_COMMA: Final = re.compile(r"\S*[^\s:] [\w-]+: ")
_QUOTED: Final = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"\\]|\\.)*\"")
#: Longer lines are not searched for what to quote: nobody wrote them by hand.
_MAX_LINE: Final = 2000

_LOADER: Final[Any] = getattr(yaml, "CLoader", yaml.Loader)


@dataclass(frozen=True, slots=True)
class Cure:
    """A line with one value put in single quotes, and that value with the column it begins in (from 1)."""

    line: str
    value: str
    column: int


def quoting_cures(lines: Sequence[str], number: int, column: int) -> Cure | None:
    """What to quote on line `number` (from 1) so that the parser gets past it; None if that is no cure.

    `column` is where the parser stopped.
    """
    line = lines[number - 1]
    if len(line) > _MAX_LINE:
        return None
    for start, end in _candidates(line, column - 1):
        value = line[start:end]
        fixed = line[:start] + "'" + value.replace("'", "''") + "'" + line[end:]
        if _odd(value) and _gets_past([*lines[: number - 1], fixed], number):
            return Cure(fixed, value, start + 1)
    return None


def _candidates(line: str, at: int) -> Iterator[tuple[int, int]]:
    """Stretches of the line that may be a text without its quotes, the likeliest first."""
    for match in _PAIR.finditer(line):
        if match.start(2) <= at and not _MISSING_COMMA.match(match[2]):
            # Of the brackets at the end of the line, some may belong to the value.
            for closing in range(len(match[3] or "") + 1):
                yield match.start(2), match.end(2) + closing
    for match in _ITEM.finditer(line):
        if match.start(2) <= at <= match.end(2) and match[2][0] in "*&!@%`":
            yield match.start(2), match.start(2) + len(match[2].rstrip())
    whole = _BLOCK.match(line)
    if whole:
        yield whole.start(2), whole.end(2)


def _odd(value: str) -> bool:
    """True for a value that plainly is one text to its writer: `"gold" == x`, `@home`, `a: b`, `[1] in x`."""
    if any(value.count(opening) != value.count(closing) for opening, closing in ("[]", "{}")):
        return False
    first = value[0]
    if first in "'\"":
        return not _QUOTED.fullmatch(value) and value.count(first) % 2 == 0
    if first in "@`%*&!":
        return True
    if first in "[{":
        return value[-1] not in "]}"
    return ": " in value or bool(re.search(r"[\[{\"]", value))


def _gets_past(lines: list[str], number: int) -> bool:
    """True if the parser reads these lines without a fault up to the last; brackets may stay open there."""
    try:
        for _ in yaml.parse("\n".join(lines), Loader=_LOADER):
            pass
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        return mark is not None and mark.line >= number
    return True
