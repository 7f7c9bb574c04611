"""What generated code does beyond plain Python: operators that take anything, and the faults it may raise.

A wire can hold any JSON where another was expected, so these never raise on types: they give None (absent) or
False. The two exceptions are faults of a request that somebody must be told of.
"""

from __future__ import annotations

from typing import Any, Final, NoReturn
from urllib.parse import quote

from engine.plan import functions, list_functions
from engine.plan.functions import number, string


class WireTypeError(ValueError):
    """A field of a body holds what it cannot: `path` is its name there, as `messages[2].content`.

    `got` is the JSON type found, or `nothing` for a required field that is missing.
    """

    def __init__(self, path: str, expected: str, got: str) -> None:
        self.path = path
        self.expected = expected
        self.got = got
        message = f"`{path}` is missing" if got == "nothing" else f"`{path}` must be {expected}, not {got}"
        super().__init__(message)


class UnsafeHeaderError(ValueError):
    """A header's value would contain a line break or NUL, which could forge other headers."""


def type_name(value: Any) -> str:
    """The JSON type of a value, with its article."""
    if value is None:
        return "null"
    names = {
        bool: "a boolean",
        int: "a number",
        float: "a number",
        str: "a string",
        list: "an array",
        dict: "an object",
    }
    return names.get(value.__class__, "a value")


def show_path(steps: tuple[Any, ...]) -> str:
    """`("messages", 2, "content")` as `messages[2].content`."""
    out = ""
    for step in steps:
        out += f"[{step}]" if isinstance(step, int) else f".{step}" if out else str(step)
    return out


def missing(steps: tuple[Any, ...]) -> NoReturn:
    """A required field is not there."""
    raise WireTypeError(show_path(steps), "given", "nothing")


def wrong(steps: tuple[Any, ...], expected: str, value: Any) -> NoReturn:
    """A field holds another type than the shape it is read into."""
    shown = (
        f'"{value}"' if isinstance(value, str) and expected.startswith("one of") and len(value) < 40 else None
    )
    raise WireTypeError(show_path(steps), expected, shown or type_name(value))


def item(owner: Any, key: Any) -> Any:
    """`owner[key]`; the keys of maps are texts in JSON, so a number finds its text."""
    if owner.__class__ is dict:
        return owner.get(key if key.__class__ is str else string(key))
    if owner.__class__ is list and key.__class__ is int and -len(owner) <= key < len(owner):
        return owner[key]
    return None


def member(value: Any, owner: Any) -> bool:
    if owner.__class__ is str:
        return value.__class__ is str and value in owner
    if owner.__class__ is list:
        return value in owner
    return owner.__class__ is dict and value.__class__ is str and value in owner


def _ordered(a: Any, b: Any) -> bool:
    return (number(a) and number(b)) or (a.__class__ is str and b.__class__ is str)


def lt(a: Any, b: Any) -> bool:
    return _ordered(a, b) and bool(a < b)


def le(a: Any, b: Any) -> bool:
    return _ordered(a, b) and bool(a <= b)


def gt(a: Any, b: Any) -> bool:
    return _ordered(a, b) and bool(a > b)


def ge(a: Any, b: Any) -> bool:
    return _ordered(a, b) and bool(a >= b)


#: Integers off a wire may have any number of digits; beyond this, arithmetic on them is absent.
_LIMIT: Final = 2**63


def _numbers(a: Any, b: Any) -> bool:
    return number(a) and number(b) and -_LIMIT < a < _LIMIT and -_LIMIT < b < _LIMIT


def add(a: Any, b: Any) -> Any:
    if a.__class__ is list and b.__class__ is list:
        return [*a, *b]
    return a + b if _numbers(a, b) else None


def sub(a: Any, b: Any) -> Any:
    return a - b if _numbers(a, b) else None


def mul(a: Any, b: Any) -> Any:
    return a * b if _numbers(a, b) else None


def div(a: Any, b: Any) -> Any:
    return a / b if _numbers(a, b) and b else None


def floordiv(a: Any, b: Any) -> Any:
    return a // b if _numbers(a, b) and b else None


def mod(a: Any, b: Any) -> Any:
    return a % b if _numbers(a, b) and b else None


def text(*parts: Any) -> str | None:
    """Parts as one text; absent as soon as one of them is."""
    out = []
    for part in parts:
        if part.__class__ is not str:
            part = string(part)
            if part is None:
                return None
        out.append(part)
    return "".join(out)


def path_text(*parts: Any) -> str | None:
    """Values, percent-encoded so that each stays within one segment of a path, or one value of a query."""
    out = []
    for part in parts:
        shown = string(part)
        if shown is None:
            return None
        out.append(segment(shown))
    return "".join(out)


def segment(value: str) -> str:
    """One segment of a path. `.` and `..` would be resolved away on the way, so their dots go too. `@`, which
    model names have and a segment may hold (RFC 3986), stays.
    """
    encoded = quote(value, safe="@", errors="replace")
    return encoded.replace(".", "%2E") if encoded in (".", "..") else encoded


def header_text(*parts: Any) -> str | None:
    """Parts as a header's value. Raises `UnsafeHeaderError` for CR, LF, NUL."""
    value = text(*parts)
    if value is not None and any(char in value for char in "\r\n\0"):
        raise UnsafeHeaderError("a header's value cannot contain line breaks or NUL")
    return value


def listed(*items: Any) -> list[Any]:
    return [value for value in items if value is not None]


def mapped(*pairs: tuple[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in pairs if value is not None}


def one_of(value: Any, words: tuple[str, ...]) -> bool:
    return value.__class__ is str and value in words


def all_texts(value: Any) -> bool:
    return value.__class__ is list and all(item.__class__ is str for item in value)


def all_numbers(value: Any) -> bool:
    return value.__class__ is list and all(number(item) for item in value)


def all_maps(value: Any) -> bool:
    return value.__class__ is list and all(item.__class__ is dict for item in value)


def texts_by_key(value: Any) -> bool:
    return value.__class__ is dict and all(item.__class__ is str for item in value.values())


def numbers_by_key(value: Any) -> bool:
    return value.__class__ is dict and all(number(item) for item in value.values())


def all_items(value: list[Any]) -> list[tuple[str, Any]]:
    """The entries of the maps in a list, one map after the other."""
    return [entry for item in value if item.__class__ is dict for entry in item.items()]


#: Every name that generated code sees besides its own; there are no builtins.
NAMESPACE: Final[dict[str, Any]] = {
    "item": item, "member": member, "lt": lt, "le": le, "gt": gt, "ge": ge, "add": add, "sub": sub,
    "mul": mul,
    "div": div, "floordiv": floordiv, "mod": mod, "text": text, "path_text": path_text,
    "header_text": header_text,
    "listed": listed, "mapped": mapped, "missing": missing, "wrong": wrong, "one_of": one_of,
    "all_texts": all_texts, "all_numbers": all_numbers, "all_maps": all_maps, "texts_by_key": texts_by_key,
    "numbers_by_key": numbers_by_key, "is_number": number, "all_items": all_items,
    "merge_adjacent": list_functions.merge_adjacent,
    "joined": list_functions.join, "dict": dict, "list": list, "str": str, "int": int, "float": float,
    "bool": bool,
    "enumerate": enumerate, "isinstance": isinstance,
    **{f"F_{name}": function for name, function in functions.TABLE.items()},
}  # fmt: skip
