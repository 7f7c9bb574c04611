"""Plain YAML scalars by the core rules of YAML 1.2 (https://yaml.org/spec/1.2.2/#103-core-schema).

`on`, `no`, `2023-06-01`, `12:30:00` and `1_000` are strings, `010` is ten, `0o17` fifteen. PyYAML's own
resolver follows YAML 1.1, in which `no` is false and `010` eight, so it is not used.
"""

from __future__ import annotations

import math
import re
from typing import Final

Scalar = str | int | float | bool | None

_WORDS: Final[dict[str, Scalar]] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_INTEGER: Final = re.compile(r"[-+]?[0-9]+")
_OCTAL: Final = re.compile(r"0o[0-7]+")
_HEX: Final = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE: Final = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")

#: More digits than any number of 64 bits has in any base here: `int()` is slow, and limited, beyond.
_MAX_DIGITS: Final = 40
_INT64: Final = 2**63


class NumberError(ValueError):
    """A scalar that is a number by YAML's rules, and none that can be kept: infinite, or beyond 64 bits."""


def core(text: str) -> Scalar:
    """The value of a plain scalar. Raises `NumberError` for infinities, NaN and integers beyond 64 bits."""
    if text in _WORDS:
        return _WORDS[text]
    first = text[0]
    if first not in "+-.0123456789":
        return text
    if _INTEGER.fullmatch(text):
        return _integer(text, 10)
    if _OCTAL.fullmatch(text):
        return _integer(text[2:], 8)
    if _HEX.fullmatch(text):
        return _integer(text[2:], 16)
    if _FLOAT.fullmatch(text):
        return _float(text)
    if _NOT_FINITE.fullmatch(text):
        raise NumberError(f"`{text}` is not a finite number")
    return text


def _integer(text: str, base: int) -> int:
    digits = text.lstrip("+-").lstrip("0") or "0"
    if len(digits) <= _MAX_DIGITS:
        number = int(digits, base)
        number = -number if text.startswith("-") else number
        if -_INT64 <= number < _INT64:
            return number
    raise NumberError(f"`{_short(text)}` is beyond 64 bits")


def _float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise NumberError(f"`{_short(text)}` is too large for a number")
    return number


def _short(text: str) -> str:
    return text if len(text) <= 24 else f"{text[:21]}..."
