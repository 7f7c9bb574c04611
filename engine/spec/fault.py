"""How a spec type says that a value is wrong: a diagnostic's code, its message and its help.

A validator returns nothing and knows no place, so it raises `fault(...)`, which pydantic collects with the
value's location; `compiler/shape.py` turns that location into a file, line and column.
"""

from __future__ import annotations

import re
from typing import Any, Final

from pydantic_core import PydanticCustomError

#: Error type of everything raised here: tells our own faults from pydantic's.
FAULT: Final = "engine_fault"

#: Texts that are keys of well-known services, whatever the field. Prefixes as the vendors document them.
_KEYS: Final = re.compile(
    r"\b(?:sk-(?:ant-|proj-|or-v1-|svcacct-)?[A-Za-z0-9_-]{20,}|(?:AKIA|ASIA)[0-9A-Z]{16}\b"
    r"|gsk_[A-Za-z0-9]{20,}"
    r"|hf_[A-Za-z0-9]{30,}|AIza[0-9A-Za-z_-]{35}|xai-[A-Za-z0-9]{20,}|gh[pousr]_[A-Za-z0-9]{36,}"
    r"|github_pat_[A-Za-z0-9_]{30,}|xox[abprs]-[A-Za-z0-9-]{10,}|glpat-[A-Za-z0-9_-]{20,}"
    r"|engk_[A-Za-z0-9_-]{16,}"
    r"|(?:r8|pplx|nvapi|fw|tgp_v1)[_-][A-Za-z0-9_-]{30,})"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----|\bhooks\.slack\.com/services/T[A-Za-z0-9]+/"
)

_SHOWN: Final = 48


def fault(
    code: str, message: str, help: str | None = None, *, at: tuple[str | int, ...] = ()
) -> PydanticCustomError:
    """An error with a diagnostic's code. `at` is where, below the value that is validated."""
    return PydanticCustomError(FAULT, "{message}", {"code": code, "message": message, "help": help, "at": at})


def looks_secret(text: str) -> bool:
    """True for a text that holds what a vendor would call a key. Such a text is never printed."""
    return _KEYS.search(text) is not None


def without_secrets(text: str) -> str:
    """The text with stars for what a vendor would call a key; as long as before."""
    return _KEYS.sub(lambda found: "*" * len(found[0]), text)


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
