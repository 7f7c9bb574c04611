"""The tokens of an expression as Jinja2's lexer gives them, found quicker where nothing is wrong.

Jinja2's lexer is made for whole templates and keeps count of lines, blocks and line statements. In an
expression there are names, numbers, texts and signs: one regular expression tells them. What is not plainly
one of these is left to Jinja2's own lexer, which knows what is wrong with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from jinja2 import Environment
from jinja2.lexer import ignored_tokens, operators

#: Offset of the token, its kind, and its text.
Raw = tuple[int, str, str]

_SIGNS: Final = "|".join(re.escape(sign) for sign in sorted(operators, key=lambda sign: -len(sign)))
_TOKEN: Final = re.compile(
    r"(?P<whitespace>[ \t\n\r]+)"
    r"|(?P<float>(?<!\.)[0-9]+\.[0-9]+(?![\w.]))"
    r"|(?P<integer>(?:[1-9][0-9]*|0+)(?![\w.]))"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*(?!\w))"
    r"|(?P<string>'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")"
    rf"|(?P<operator>{_SIGNS})",
    re.DOTALL,
)
_CLOSES: Final = {")": "(", "]": "[", "}": "{"}


def plain_tokens(text: str) -> list[Raw] | None:
    """The tokens and the end of it, whitespace left out; None where Jinja2's lexer must look."""
    found: list[Raw] = []
    opened: list[str] = []
    at, match = 0, _TOKEN.match
    while at < len(text):
        token = match(text, at)
        if token is None:
            return None
        kind, raw = str(token.lastgroup), token[0]
        if kind == "operator":
            if raw in "([{":
                opened.append(raw)
            elif raw in ")]}" and (not opened or opened.pop() != _CLOSES[raw]):
                return None
        if kind != "whitespace":
            found.append((at, kind, raw))
        at = token.end()
    found.append((len(text) + 1, "variable_end", "}}"))
    return None if opened else found


def jinja_tokens(environment: Environment, text: str) -> Iterator[Raw]:
    """The same of Jinja2's lexer. Raises `TemplateSyntaxError` on the way."""
    begin = -3  # of the `{{ ` put before the text
    for _, kind, raw in environment.lexer.tokeniter("{{ " + text + " }}", None):
        if kind not in ignored_tokens and kind != "variable_begin":
            yield begin, kind, raw
        begin += len(raw)
