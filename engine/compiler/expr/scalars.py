"""The scalars of a template: plain text, `${{ expr }}`, and text with expressions in it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_STRING_OR_BRACE: Final = re.compile(r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|\{|\}\}|\}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a scalar: `expression` without its braces, or literal text. `start` is its offset."""

    text: str
    start: int
    expression: bool


class Unclosed(Exception):
    """A `${{` without its `}}`; `at` is its offset."""

    def __init__(self, at: int) -> None:
        super().__init__(at)
        self.at = at


def pieces(text: str) -> list[Piece]:
    """The stretches of a scalar in order. Raises `Unclosed`."""
    found: list[Piece] = []
    at = 0
    while True:
        begin = text.find("${{", at)
        if begin < 0:
            if at < len(text):
                found.append(Piece(text[at:], at, False))
            return found
        if begin > at:
            found.append(Piece(text[at:begin], at, False))
        end = _end(text, begin + 3)
        if end is None:
            raise Unclosed(begin)
        found.append(Piece(text[begin + 3 : end], begin + 3, True))
        at = end + 2


def _end(text: str, at: int) -> int | None:
    """The offset of the `}}` that closes an expression begun at `at`; those in texts and maps are its own."""
    open_braces = 0
    position = at
    while True:
        found = _STRING_OR_BRACE.search(text, position)
        if found is None:
            return None
        position = found.end()
        if found[0] == "{":
            open_braces += 1
        elif found[0][0] == "}" and open_braces:
            open_braces -= 1
            position = found.start() + 1
        elif found[0] == "}}":
            return found.start()


def only(parts: list[Piece]) -> Piece | None:
    """The expression of a scalar that is exactly one, spaces around it aside."""
    told = [part for part in parts if part.expression or part.text.strip()]
    return told[0] if len(told) == 1 and told[0].expression else None
