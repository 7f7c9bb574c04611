"""`concurrent:` how much may be open at a time, and how many may wait for a place."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from pydantic import GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from engine.spec.amounts import PositiveDuration
from engine.spec.defaults import PRINTED
from engine.spec.fault import fault, wrong_type
from engine.spec.model import Spec, about
from engine.spec.plain import Positive


class Concurrent(Spec):
    """Places, and a queue for them. A bare number is its `most`: nobody waits then.

    Who waits is served by `priority`, and within one by turns of `fair_by`; both stand on the route. Counted
    in each process.
    """

    noun: ClassVar[str] = "concurrent"

    most: Positive = about("How many may be open at a time.", required=True, examples=[20])
    queue: Positive | None = about("How many may wait for a place.", shown=PRINTED["concurrent.queue"])
    wait: PositiveDuration | None = about(
        "How long each may wait, and never beyond its request's deadline.", shown=PRINTED["concurrent.wait"]
    )

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        """`concurrent: 20` is `concurrent: {most: 20}`."""
        if isinstance(value, dict):
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            return {"most": value}
        raise wrong_type(value, "a whole number of at least 1, or a map", "{most: 20, queue: 100, wait: 2s}")

    @model_validator(mode="after")
    def _waits_somewhere(self) -> Self:
        if self.wait is not None and self.queue is None:
            raise fault(
                "E113",
                "`wait` does nothing without `queue`: nobody waits",
                "say how many may wait, such as `queue: 100`, or remove it",
                at=("wait",),
            )
        return self

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        number = {"type": "integer", "minimum": 1, "description": "How many may be open at a time."}
        return {"anyOf": [number, handler(schema)]}
