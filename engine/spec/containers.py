"""Lists and maps as users write them, with words of their own where something else stands there."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from engine.keys.looks import looks_secret
from engine.spec.fault import fault, shown
from engine.spec.names import Name

T = TypeVar("T")
K = TypeVar("K")


def _list(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(value)
    if isinstance(value, tuple):
        return value
    advice = (
        f"write [{value}]" if isinstance(value, str | int | float) and not isinstance(value, bool) else None
    )
    if isinstance(value, str) and looks_secret(value):
        advice = None
    raise fault("E102", f"{shown(value)} stands where a list is expected", advice)


#: A YAML list, kept as a tuple.
Listed = Annotated[tuple[T, ...], BeforeValidator(_list)]


def _items(value: Any) -> Any:
    found = _list(value)
    if not found:
        raise fault("E114", "the list is empty", "name at least one, or leave the key out")
    return found


class _NotEmpty:
    """Says so in the JSON Schema. (`min_length` would count items after the broken ones are gone.)"""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {**handler(schema), "minItems": 1}


#: A YAML list that is not empty.
Some = Annotated[tuple[T, ...], BeforeValidator(_items), _NotEmpty()]


def _map(value: Any) -> Any:
    if isinstance(value, dict):
        return value
    raise fault("E102", f"{shown(value)} stands where a map (`name: value` lines) is expected")


def _section(value: Any) -> Any:
    return {} if value is None else _map(value)


#: A map; a section is one from names, and may be empty (all its lines commented out).
Mapped = Annotated[dict[K, T], BeforeValidator(_map)]
Section = Annotated[dict[Name, T], BeforeValidator(_section)]
