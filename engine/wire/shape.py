"""What a client's body must look like, by a dialect file: checked in one walk before anything reads it.

A shape is a type word (`text integer number flag map list any`, several joined by `|`) or a map with any of

    type: text|list    required: true    values: [low, high]    min / max: bounds of a number or of a length
    fields: {name: shape}     items: shape     by: role, cases: {user: shape, ...}     any_of: [name, ...]

`fields` describes a map (others are let through), `items` the members of a list, `cases` what else holds
where the field named by `by` has that value; an unknown value of that field is an error. A null counts as
absent. `bind` turns a shape into one function, once; the first fault found is raised as a `RequestError`
that names its path.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from engine.errors import RequestError
from engine.plan.types import Json

Check = Callable[[Any, str], None]

_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "text": (str,), "integer": (int,), "number": (int, float), "flag": (bool,), "map": (dict,),
    "list": (list,), "any": (object,),
}  # fmt: skip
_WORDS: Final = {
    "text": "a string", "integer": "an integer", "number": "a number", "flag": "true or false",
    "map": "an object", "list": "a list", "any": "a value",
}  # fmt: skip
_FOUND: Final[dict[type, str]] = {
    str: "a string", int: "an integer", float: "a number", bool: "a boolean", dict: "an object",
    list: "a list",
}  # fmt: skip

KEYS: Final = frozenset(
    {"type", "required", "values", "min", "max", "fields", "items", "by", "cases", "any_of"}
)


class ShapeError(ValueError):
    """A shape in a dialect file that does not read; `path` is where, from the shape's root."""

    def __init__(self, message: str, path: tuple[str, ...]) -> None:
        super().__init__(message)
        self.message = message
        self.path = path


def bind(shape: Json) -> Callable[[Any], None]:
    """The checking function of a shape. Raises ShapeError for a shape that does not read."""
    check = _bind(shape, ())

    def run(body: Any) -> None:
        check(body, "")

    return run


def _bind(shape: Json, path: tuple[str, ...]) -> Check:
    if isinstance(shape, str):
        shape = {"type": shape}
    if not isinstance(shape, Mapping):
        raise ShapeError("a shape is a type word or a map", path)
    for key in shape:
        if key not in KEYS:
            raise ShapeError(f"`{key}` is no part of a shape; known: {', '.join(sorted(KEYS))}", (*path, key))
    word = shape.get("type") or (
        "list" if "items" in shape else "map" if "fields" in shape or "by" in shape else "any"
    )
    checks = [_type(word, (*path, "type"))]
    if "values" in shape:
        checks.append(_values(frozenset(shape["values"]), ", ".join(str(v) for v in shape["values"])))
    if "min" in shape or "max" in shape:
        checks.append(_bounds(shape.get("min"), shape.get("max")))
    if "fields" in shape:
        checks.append(_fields(shape["fields"], path))
    if "any_of" in shape:
        checks.append(_any_of(tuple(shape["any_of"])))
    if "items" in shape:
        checks.append(_items(_bind(shape["items"], (*path, "items"))))
    if "by" in shape:
        cases = shape.get("cases", {})
        bound = {name: _bind(case or {}, (*path, "cases", name)) for name, case in cases.items()}
        checks.append(_cases(shape["by"], bound))
    first, rest = checks[0], tuple(checks[1:])
    if not rest:
        return first

    def all_of(value: Any, at: str) -> None:
        first(value, at)
        for check in rest:
            check(value, at)

    return all_of


def _type(word: str, path: tuple[str, ...]) -> Check:
    words = str(word).split("|")
    if unknown := [w for w in words if w not in _TYPES]:
        raise ShapeError(f"`{unknown[0]}` is no type; known: {', '.join(_TYPES)}", path)
    if "any" in words:
        return lambda value, at: None
    types = tuple({t for w in words for t in _TYPES[w]})
    exact = frozenset(types)  # a bool is an int to isinstance, and no number to JSON
    wanted = " or ".join(_WORDS[w] for w in words)

    def check(value: Any, at: str) -> None:
        if type(value) not in exact:
            found = _FOUND.get(type(value), "null")
            raise RequestError(
                f"{at or 'the body'} is {found}; {wanted} is expected", code="invalid_type", param=at or None
            )

    return check


def _values(values: frozenset[Any], shown: str) -> Check:
    def check(value: Any, at: str) -> None:
        if isinstance(value, str | int | float) and value not in values:
            text = repr(value) if len(repr(value)) < 40 else "a text"
            raise RequestError(f"{at} is {text}; it must be one of {shown}", code="invalid_value", param=at)

    return check


def _bounds(low: float | None, high: float | None) -> Check:
    def check(value: Any, at: str) -> None:
        sized = isinstance(value, str | list | dict)
        number = len(value) if sized else value
        if isinstance(number, bool) or not isinstance(number, int | float):
            return
        if low is not None and number < low:
            wanted = "it must not be empty" if sized and low == 1 else f"at least {low} is expected"
            raise RequestError(
                f"{at} is {'empty' if sized and not number else number}; {wanted}",
                code="invalid_value",
                param=at,
            )
        if high is not None and number > high:
            raise RequestError(
                f"{at} is {number}; at most {high} is expected", code="invalid_value", param=at
            )

    return check


def _fields(fields: Mapping[str, Json], path: tuple[str, ...]) -> Check:
    table: list[tuple[str, Check, bool]] = []
    for name, shape in fields.items():
        required = isinstance(shape, Mapping) and bool(shape.get("required"))
        table.append((name, _bind(shape, (*path, "fields", name)), required))
    bound = {name: check for name, check, _ in table}
    needed = tuple(name for name, _, required in table if required)

    def check(value: Any, at: str) -> None:
        if type(value) is not dict:
            return
        for name in needed:
            if value.get(name) is None:
                missing = f"{at}.{name}" if at else name
                raise RequestError(f"{missing} is missing", code="missing_required_parameter", param=missing)
        # A body is mostly smaller than the table, so the body is walked.
        for name, item in value.items():
            if item is not None and (test := bound.get(name)) is not None:
                test(item, f"{at}.{name}" if at else name)

    return check


def _any_of(names: tuple[str, ...]) -> Check:
    def check(value: Any, at: str) -> None:
        if type(value) is dict and all(value.get(name) is None for name in names):
            where = f"{at} needs" if at else "the body needs"
            raise RequestError(
                f"{where} one of {', '.join(names)}", code="missing_required_parameter", param=at or None
            )

    return check


def _items(item: Check) -> Check:
    def check(value: Any, at: str) -> None:
        if type(value) is list:
            for index, member in enumerate(value):
                item(member, f"{at}[{index}]")

    return check


def _cases(by: str, cases: Mapping[str, Check]) -> Check:
    known = ", ".join(cases)

    def check(value: Any, at: str) -> None:
        if type(value) is not dict:
            return
        word = value.get(by)
        where = f"{at}.{by}" if at else by
        if word is None:
            raise RequestError(f"{where} is missing", code="missing_required_parameter", param=where)
        case = cases.get(word) if isinstance(word, str) else None
        if case is None:
            text = repr(word) if len(repr(word)) < 40 else "a long value"
            raise RequestError(
                f"{where} is {text}; it must be one of {known}", code="invalid_value", param=where
            )
        case(value, at)

    return check
