"""How a spec type says that a value is wrong: a diagnostic's code, its message and its help.

A validator returns nothing and knows no place, so it raises `fault(...)`, which pydantic collects with the
value's location; `compiler/shape.py` turns that location into a file, line and column.
"""

from __future__ import annotations

from typing import Any, Final

from pydantic_core import PydanticCustomError

from engine.keys.looks import looks_secret

#: Error type of everything raised here: tells our own faults from pydantic's.
FAULT: Final = "engine_fault"

_SHOWN: Final = 48


def fault(
    code: str, message: str, help: str | None = None, *, at: tuple[str | int, ...] = ()
) -> PydanticCustomError:
    """An error with a diagnostic's code. `at` is where, below the value that is validated."""
    return PydanticCustomError(FAULT, "{message}", {"code": code, "message": message, "help": help, "at": at})


def shown(value: Any) -> str:
    """A value in a message, in backticks: short, on one line, and never a secret."""
    if isinstance(value, dict):
        return "a map"
    if isinstance(value, list | tuple):
        return "a list"
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    text = str(value)
    if looks_secret(text):
        return "(a text that looks like a secret, not shown)"
    if not text:
        return "an empty text"
    text = " ".join(text.split())
    return f"`{text}`" if len(text) <= _SHOWN else f"`{text[: _SHOWN - 3]}...`"


def wrong_type(value: Any, accepted: str, example: str | None = None) -> PydanticCustomError:
    """E102: this was read, that is accepted."""
    read = shown(value)
    return fault(
        "E102", f"{read} stands where {accepted} is expected", f"write it like {example}" if example else None
    )
