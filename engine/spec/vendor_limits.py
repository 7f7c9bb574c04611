"""What a vendor tells of its limits: how much is left, and when to come again."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Self

from pydantic import BeforeValidator, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from engine.spec.fault import fault
from engine.spec.model import Spec, about
from engine.spec.plain import Text


class HeadroomSpec(Spec):
    """What is left of one quota, and when it refills."""

    noun: ClassVar[str] = "headroom entry"

    left: Text = about("Header that says how much is left.", required=True)
    resets: Text | None = about("Header that says when it is whole again: a delay, a date or a Unix time.")
    limit: Text | None = about("Header that says how much there is.")


class RetryAfterSpec(Spec):
    """Where a delay stands: a header's name, or `path`, dotted, into the error body."""

    noun: ClassVar[str] = "retry_after entry"

    header: Text | None = about("A header's name; `-ms` at its end means milliseconds.")
    path: Text | None = about("Dotted path into the error body; `*` stands for any member.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.header is None) == (self.path is None):
            raise fault(
                "E107", "a delay stands in one place", "write a header's name, or {path: error.delay}"
            )
        return self


def _named(value: Any) -> Any:
    return {"header": value} if isinstance(value, str) else value


class _OrName:
    """Adds a header's bare name to the JSON Schema."""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"anyOf": [{"type": "string", "minLength": 1}, handler(schema)]}


#: A header's name, or a place in the error body.
RetryAfter = Annotated[RetryAfterSpec, BeforeValidator(_named), _OrName()]
