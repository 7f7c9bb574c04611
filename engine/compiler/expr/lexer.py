"""Text to tokens: unit literals become numbers, Jinja2's lexer does the rest, and every token keeps its
place.

Jinja2's nodes and errors carry a line number only. The tokens made here carry the offset in the text in
its stead, so that the parser's nodes and errors have exact places without a parser of our own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, cast

from jinja2 import Environment, TemplateSyntaxError
from jinja2.lexer import Token, TokenStream, operators
from jinja2.parser import Parser

from engine.compiler.expr.scan import jinja_tokens, plain_tokens

#: Only its lexer and its settings serve: nothing is rendered.
ENVIRONMENT: Final = Environment(autoescape=False)  # noqa: S701 - nothing is rendered

#: Beyond these an expression is a program; they also bound the recursion of the parser and of what is
#: compiled.
MAX_TEXT: Final = 4_000
MAX_TOKENS: Final = 400
MAX_NESTING: Final = 24
MAX_UNARY: Final = 8
MAX_DIGITS: Final = 15

#: Durations are seconds, as `now` is; money is dollars; `%` a share of one.
_UNITS: Final[dict[str, float]] = {
    "k": 1_000, "M": 1_000_000, "ms": 0.001, "s": 1, "m": 60, "h": 3_600, "d": 86_400,
    "B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
}  # fmt: skip
_NUMBER: Final = r"(?P<number>[0-9]+(?:\.[0-9]+)?)"
_SCAN: Final = re.compile(
    r"(?P<string>\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*')"
    rf"|(?<![\w.$])(?:(?P<money>\$){_NUMBER}"
    rf"|{_NUMBER.replace('number', 'plain')}(?P<unit>ms|KiB|MiB|GiB|TiB|[kMsmhdB])"
    rf"|{_NUMBER.replace('number', 'share')}%(?![\w($\"'.]))(?![\w.])"
    r"|(?P<template>\{\{|\{%|\{\#|%\})"
    r"|(?P<foreign>&&|\|\||!(?!=)|<>|===|!==)"
    r"|(?P<quotes>[“”‘’„«»`])",
    re.DOTALL,
)
_TRAPS: Final[dict[str, tuple[str, str, str]]] = {
    "&&": ("E309", "`&&` is not an operator here", "write `and`"),
    "||": ("E309", "`||` is not an operator here", "write `or`"),
    "!": ("E309", "`!` is not an operator here", "write `not`"),
    "<>": ("E309", "`<>` is not an operator here", "write `!=`"),
    "===": ("E309", "`===` is not an operator here", "write `==`"),
    "!==": ("E309", "`!==` is not an operator here", "write `!=`"),
}


class Refused(Exception):
    """An expression that cannot be read on: one finding, with the offsets it is about."""

    def __init__(
        self, code: str, message: str, begin: int, end: int | None = None, help: str | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.begin = begin
        self.end = end
        self.help = help


@dataclass(frozen=True)
class Parsed:
    """Jinja2's tree of a text; `lineno` of nodes are offsets into it, `ends` a token's offset to its end."""

    text: str
    tree: Any
    ends: dict[int, int]


class _OffsetParser(Parser):
    """Jinja2's parser over given tokens."""

    def __init__(self, stream: TokenStream) -> None:
        self.environment = ENVIRONMENT
        self.stream = stream
        self.name = self.filename = None
        self.closed = False
        self.extensions = {}
        self._last_identifier = 0
        self._tag_stack = []
        self._end_token_stack = []


@lru_cache(maxsize=4096)
def parse(text: str) -> Parsed:
    """The tree of `text`. Raises `Refused` for what is no expression, or one beyond the limits."""
    if len(text) > MAX_TEXT:
        raise Refused("E314", f"the expression has {len(text):,} characters; {MAX_TEXT:,} is the limit", 0)
    if not text.strip():
        raise Refused("E300", "the expression is empty", 0, help="write a condition, or leave the key out")
    tokens = _tokens(text)
    ends = {token.lineno: end for token, end in tokens}
    stream = TokenStream(iter([token for token, _ in tokens]), None, None)
    parser = _OffsetParser(stream)
    try:
        tree = parser.parse_expression()
        if stream.current.type != "variable_end":
            _left_over(text, stream.current, ends)
        next(stream)
        if stream.current.type != "eof":
            raise Refused("E300", "the expression ends here, and text follows", stream.current.lineno)
    except TemplateSyntaxError as error:
        raise _syntax(text, error, ends) from None
    except RecursionError:
        raise Refused("E314", "the expression is nested too deeply", 0) from None
    return Parsed(text, tree, ends)


def _scan(text: str) -> tuple[str, dict[int, int | float]]:
    """The text with each unit literal replaced by zeros of the same width, and the numbers they stand for."""
    numbers: dict[int, int | float] = {}
    pieces: list[str] = []
    at = 0
    for found in _SCAN.finditer(text):
        kind = found.lastgroup
        start, end = found.span()
        if kind == "string":
            continue
        if kind == "template":
            _template(found[0], start, end)
        if kind == "foreign":
            code, message, hint = _TRAPS[found[0]]
            raise Refused(code, message, start, end, hint)
        if kind == "quotes":
            raise Refused(
                "E300",
                f"`{found[0]}` does not begin a text",
                start,
                end,
                "use straight quotes: \"...\" or '...'",
            )
        numbers[start] = _number(found)
        pieces += [text[at:start], "0" * (end - start)]
        at = end
    return "".join([*pieces, text[at:]]), numbers


def _template(text: str, start: int, end: int) -> None:
    if text == "{{":
        hint = "an expression stands alone: remove `{{` and `}}`"
    else:
        hint = "there are no statements in expressions: use `$if`, `$for` or `$switch` in a dialect file"
    raise Refused("E310", f"`{text}` belongs to text templates, not into an expression", start, end, hint)


def _number(found: re.Match[str]) -> int | float:
    if found["money"]:
        digits, scale = found["number"], 1.0
    elif found["share"]:
        digits, scale = found["share"], 0.01
    else:
        digits, scale = found["plain"], _UNITS[found["unit"]]
    if len(digits) > MAX_DIGITS:
        raise Refused("E314", f"a number of {len(digits)} digits", found.start(), found.end())
    # Through decimals: 80% must be the very number 0.8.
    from decimal import Decimal

    value = Decimal(digits) * Decimal(str(scale))
    return int(value) if value == value.to_integral_value() else float(value)


def _tokens(text: str) -> list[tuple[Token, int]]:
    """The tokens of `{{ text }}` with offsets in `text` as their line numbers, and where each ends."""
    plain, numbers = _scan(text)
    out: list[tuple[Token, int]] = []
    offset = 0
    opened: list[int] = []
    unary = 0
    previous = ""
    line = _one_line(plain)
    pieces = plain_tokens(line) or jinja_tokens(ENVIRONMENT, line)
    try:
        for begin, kind, raw in pieces:
            offset = begin + len(raw)
            token = _token(begin, kind, raw, text, numbers)
            if token.type == "string" and previous == "string":
                message = "two texts side by side; Jinja would glue them together"
                raise Refused("E306", message, begin, offset, "put a comma or an operator between them")
            if token.type == "assign" and not _keyword(out):
                message = "`=` does not compare"
                raise Refused("E308", message, begin, offset, "write `==`")
            if token.type in ("lparen", "lbracket", "lbrace"):
                opened.append(begin)
            elif token.type in ("rparen", "rbracket", "rbrace") and opened:
                opened.pop()
            chained = token.type in ("sub", "add", "pow") or token.value in ("not", "if", "else")
            unary = (
                unary + 1 if chained and (token.type == previous or token.value == "not") else int(chained)
            )
            if len(opened) > MAX_NESTING or unary > MAX_UNARY:
                raise Refused(
                    "E314", "the expression is nested too deeply", begin, offset, "split it into several"
                )
            previous = token.type
            out.append((token, offset))
            if len(out) > MAX_TOKENS:
                message = f"the expression has more than {MAX_TOKENS} words and signs"
                raise Refused("E314", message, begin, offset, "split it into several")
    except TemplateSyntaxError as error:
        raise _lexical(text, offset, error, opened) from None
    return out


def _one_line(text: str) -> str:
    """Every line break as one space: Jinja2's lexer would normalize them, and shift what follows."""
    return text.replace("\n", " ").replace("\r", " ")


def _keyword(tokens: list[tuple[Token, int]]) -> bool:
    """Whether `=` here could name an argument: `f(name=...)`. It is then refused with the call."""
    if len(tokens) < 2:
        return False
    (before, _), (name, _) = tokens[-2], tokens[-1]
    return name.type == "name" and before.type in ("lparen", "comma")


def _token(begin: int, kind: str, raw: str, text: str, numbers: dict[int, int | float]) -> Token:
    if kind == "operator":
        return Token(begin, operators[raw], raw)
    if kind == "string":
        return Token(begin, "string", _unescape(text[begin + 1 : begin + len(raw) - 1], begin))
    if kind in ("integer", "float"):
        if begin in numbers:  # Jinja2's own lexer puts numbers there too, whatever the annotation says
            return Token(begin, kind, cast("str", numbers[begin]))
        if len(raw) > MAX_DIGITS + 3:
            raise Refused("E314", f"a number of {len(raw)} digits", begin, begin + len(raw))
        digits = raw.replace("_", "")
        number: int | float = int(digits, 0) if kind == "integer" else float(digits)
        if abs(number) >= 1e18:
            raise Refused("E314", f"`{raw}` is beyond any number that occurs here", begin, begin + len(raw))
        return Token(begin, kind, cast("str", number))
    if kind == "name" and not raw.isascii():
        raise Refused("E300", f"`{raw}` is no name", begin, begin + len(raw), "names are of a-z, 0-9 and _")
    return Token(begin, kind, raw)


_ESCAPE: Final = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_PLAIN_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"', "'": "'"}


def _unescape(text: str, begin: int) -> str:
    """The value of a string literal; an unknown escape is kept, so that `\\d` reaches a pattern as it is."""

    def one(found: re.Match[str]) -> str:
        code = found[1] or found[2]
        if code:
            if 0xD800 <= int(code, 16) <= 0xDFFF:
                raise Refused(
                    "E300", f"`\\u{code}` is half a character", begin, None, "write the character itself"
                )
            return chr(int(code, 16))
        return _PLAIN_ESCAPES.get(found[3], found[0])

    return _ESCAPE.sub(one, text) if "\\" in text else text


def _left_over(text: str, token: Token, ends: dict[int, int]) -> None:
    begin = token.lineno
    shown = text[begin : ends.get(begin, begin + 1)]
    if begin and text[begin - 1].isdigit() and token.type == "name":
        hint = "known units: k M, ms s m h d, B KiB MiB GiB, $, %"
        raise Refused("E300", f"`{shown}` is no unit", begin, ends.get(begin), hint)
    raise Refused("E300", f"`{shown}` is not expected here", begin, ends.get(begin), _help_for(token.type))


def _help_for(kind: str) -> str | None:
    return {
        "name": "put `and`, `or` or a comparison between the two",
        "string": "put an operator such as `==` before the text",
        "integer": "put an operator such as `>` before the number",
        "float": "put an operator such as `>` before the number",
        "rparen": "remove it, or open it with `(`",
        "comma": "several values belong in brackets: `[a, b]`",
    }.get(kind)


def _lexical(text: str, offset: int, error: TemplateSyntaxError, opened: list[int]) -> Refused:
    message = error.message or ""
    offset = max(0, min(offset, len(text)))
    if message.startswith("unexpected char"):
        # Jinja2 tells the offset in its own text, three characters longer at the front.
        found = re.search(r"at (\d+)$", message)
        at = int(found[1]) - 3 if found else offset
        if 0 <= at < len(text) and text[at] in "\"'":
            return Refused(
                "E300", "the text that begins here has no end", at, at + 1, f"close it with {text[at]}"
            )
        shown = text[at] if 0 <= at < len(text) else "?"
        return Refused("E300", f"`{shown}` means nothing in an expression", max(at, 0))
    if opened and offset >= len(text.rstrip()):
        at = opened[-1]
        return Refused("E300", f"the expression ends too early: `{text[at]}` is still open", at, at + 1)
    if message.startswith("unexpected '"):
        return Refused(
            "E300", message.replace("unexpected '", "`").replace("'", "`", 1) + " closes nothing", offset
        )
    return Refused("E300", message, offset)


def _syntax(text: str, error: TemplateSyntaxError, ends: dict[int, int]) -> Refused:
    message = error.message or ""
    begin = error.lineno
    if begin >= len(text.rstrip()) or "end of" in message.partition("got")[2] or "'end of" in message[:20]:
        at = max(len(text.rstrip()) - 1, 0)
        return Refused("E300", "the expression ends too early: something must follow", at, at + 1)
    shown = text[begin : ends.get(begin, begin + 1)]
    return Refused("E300", f"`{shown}` is not expected here", begin, ends.get(begin))
