"""Whether a text is the JSON that a `response_format` asks for.

Both the schema and the text come from outside, so the check is bounded: it fetches nothing, its patterns
are RE2 (no backtracking), and it gives up after so many steps. A schema that cannot be checked is not held
against an answer: vendors refuse such schemas themselves.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import cache
from typing import Any, Final

from engine.wire.canonical import ResponseFormat
from engine.wire.regex import compile_pattern as regex

#: What a check may cost: a keyword costs one step, and one more for every 64 characters it looks at. A
#: schema of references could double with every level.
MOST_STEPS: Final = 50_000
_CHARACTERS: Final = 64

#: Of the check under way: steps taken, and the characters of each value by its id.
_cost: ContextVar[tuple[list[int], dict[int, int]]] = ContextVar("_cost")


class _TooMuch(Exception):
    """The check takes more steps than it may."""


def conforms(form: ResponseFormat, text: str) -> bool:
    """Whether the text meets the form. Only JSON has one: any text meets the others."""
    kind = form.get("type", "text")
    if kind not in ("json_object", "json_schema"):
        return True
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return False
    if kind == "json_object" or "schema" not in form:
        return isinstance(data, dict)
    return _valid(form["schema"], data)


def _valid(schema: dict[str, Any], data: Any) -> bool:
    from referencing import Registry  # comes with jsonschema, and is deferred with it

    sizes: dict[int, int] = {}
    token = _cost.set(([0], sizes))
    try:
        _measure(data, sizes)
        return bool(_validator()(schema, registry=Registry()).is_valid(data))
    except Exception:  # noqa: BLE001 - whatever the library makes of a schema that is none, or leads elsewhere
        return True
    finally:
        _cost.reset(token)


@cache
def _validator() -> Callable[..., Any]:
    """The library's validator, with its keywords counted and its patterns in RE2."""
    # Deferred: only a cascade that checks schemas pays for the library.
    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend

    own = {**Draft202012Validator.VALIDATORS, **_OWN}
    make: Callable[..., Callable[..., Any]] = extend
    return make(Draft202012Validator, {name: _counted(check) for name, check in own.items()})


def _counted(check: Callable[..., Any]) -> Callable[..., Any]:
    def counted(validator: Any, value: Any, instance: Any, schema: Any) -> Any:
        steps, sizes = _cost.get()
        steps[0] += 1 + sizes.get(id(instance), 0) // _CHARACTERS
        if steps[0] > MOST_STEPS:
            raise _TooMuch
        return check(validator, value, instance, schema)

    return counted


def _measure(data: Any, sizes: dict[int, int]) -> int:
    """Characters of a value, about; those of lists, maps and texts go into `sizes`."""
    if isinstance(data, dict):
        size = sum(len(key) + _measure(item, sizes) for key, item in data.items())
    elif isinstance(data, list):
        size = sum(_measure(item, sizes) for item in data)
    else:
        size = len(data) if isinstance(data, str) else 8
    sizes[id(data)] = size
    return size


def _fault(words: str) -> Any:
    from jsonschema.exceptions import ValidationError

    return ValidationError(words)


def _pattern(_validator: Any, pattern: str, instance: Any, _schema: Any) -> Iterator[Any]:
    if isinstance(instance, str) and not regex(pattern).search(instance):
        yield _fault("does not match its pattern")


def _pattern_properties(validator: Any, patterns: Any, instance: Any, _schema: Any) -> Iterator[Any]:
    if not isinstance(instance, dict):
        return
    for pattern, schema in patterns.items():
        for key, value in instance.items():
            if regex(pattern).search(key):
                yield from validator.descend(value, schema, path=key, schema_path=pattern)


def _additional_properties(validator: Any, schema: Any, instance: Any, around: Any) -> Iterator[Any]:
    if not isinstance(instance, dict):
        return
    named, patterns = around.get("properties", {}), around.get("patternProperties", {})
    for key, value in instance.items():
        if key not in named and not any(regex(pattern).search(key) for pattern in patterns):
            yield from validator.descend(value, schema, path=key)


def _unique_items(_validator: Any, wanted: Any, instance: Any, _schema: Any) -> Iterator[Any]:
    if not wanted or not isinstance(instance, list):
        return
    if len({json.dumps(item, sort_keys=True) for item in instance}) != len(instance):
        yield _fault("has an item twice")


_OWN: Final[dict[str, Callable[..., Any]]] = {
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional_properties,
    "uniqueItems": _unique_items,
}
