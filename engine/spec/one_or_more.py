"""A name, or a list of names: read as a list either way."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from engine.spec.fault import fault, wrong_type

T = TypeVar("T")


def _one_or_more(value: Any) -> Any:
    """`a` and `[a, b]` as tuples; an empty list, or anything else, is told."""
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list | tuple):
        raise wrong_type(value, "a name or a list of names")
    if not value:
        raise fault("E114", "the list is empty", "name at least one, or leave the key out")
    return tuple(value)


class OrOne:
    """Adds the single item to the JSON Schema of the list."""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        many = handler(schema)
        return {"anyOf": [many["items"], {**many, "minItems": 1}]}


#: A list of one or more, of which a single one may stand without brackets.
OneOrMore = Annotated[tuple[T, ...], BeforeValidator(_one_or_more), OrOne()]
