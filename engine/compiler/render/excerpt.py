"""One line of a file as a terminal can show it, and where a caret goes under it."""

from __future__ import annotations

import unicodedata
from typing import Final

#: Widest excerpt, in terminal cells, and how much of it stands before the caret at least, when cut.
WIDTH: Final = 100
_BEFORE: Final = 30
_TAB: Final = "    "
_CUT: Final = "..."


def visible(text: str) -> str:
    """`text` with every character that could move the cursor or reverse the line written as an escape."""
    return "".join(_shown(character) for character in text.replace("\n", " "))


def excerpt(line: str, column: int, end_column: int) -> tuple[str, int, int]:
    """What to print, cells before the caret, cells under it: for characters `column` to `end_column`.

    Tabs become four spaces, a long line is cut to `WIDTH` cells around the caret, a caret is never empty.
    """
    cells = [_shown(character) for character in line]
    start = min(column - 1, len(cells))
    end = max(start, min(end_column - 1, len(cells)))
    first = _first(cells, start)
    last, used = first, 0
    while last < len(cells) and used + _width(cells[last]) <= WIDTH:
        used += _width(cells[last])
        last += 1
    head, tail = _CUT if first else "", _CUT if last < len(cells) else ""
    shown = head + "".join(cells[first:last]) + tail
    before = len(head) + sum(map(_width, cells[first:start]))
    marked = sum(map(_width, cells[start : min(end, last)]))
    return shown, before, max(1, marked)


def _first(cells: list[str], start: int) -> int:
    """The first character shown: the line's first if all up to the caret fits, else some before it."""
    if sum(map(_width, cells)) <= WIDTH or sum(map(_width, cells[: start + 1])) <= WIDTH - _BEFORE:
        return 0
    first, room = start, _BEFORE
    while first > 0 and room - _width(cells[first - 1]) >= 0:
        first -= 1
        room -= _width(cells[first])
    return first


def _shown(character: str) -> str:
    if character == "\t":
        return _TAB
    if " " <= character <= "~":
        return character
    category = unicodedata.category(character)
    # These never print, but for a joiner (of the invisible Cf): it is part of letters and emoji.
    if category in ("Cc", "Cs", "Cn", "Co", "Zl", "Zp") or (
        category == "Cf" and character not in "\u200c\u200d"
    ):
        point = ord(character)
        return f"\\x{point:02x}" if point < 256 else f"\\u{point:04x}" if point < 65536 else f"\\U{point:08x}"
    return character


def _width(shown: str) -> int:
    """Terminal cells of one shown character (or of its escape)."""
    if shown.isascii():
        return len(shown)
    return sum(_cells(character) for character in shown)


def _cells(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
