"""Plain values: texts, numbers, switches, moments. Each reads exactly its own form: `yes` is a text."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import PlainValidator, WithJsonSchema
from typing_extensions import TypeAliasType

from engine.spec.fault import fault, shown, wrong_type
from engine.spec.json_form import json_form


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    word = value.lower() if isinstance(value, str) else value
    guess = {"yes": "true", "on": "true", "no": "false", "off": "false", 1: "true", 0: "false"}
    wanted = guess.get(word) if isinstance(word, str | int) else None
    raise fault(
        "E102",
        f"{shown(value)} stands where true or false is expected",
        f"write {wanted}" if wanted else None,
    )


Flag = TypeAliasType("Flag", Annotated[bool, PlainValidator(_flag), WithJsonSchema({"type": "boolean"})])


def read_text(value: Any) -> str:
    """A text that is not empty."""
    if not isinstance(value, str):
        advice = (
            f"write it in quotes: '{value}'"
            if isinstance(value, int | float) and not isinstance(value, bool)
            else None
        )
        raise fault("E102", f"{shown(value)} stands where a text is expected", advice)
    if not value.strip():
        raise fault("E102", "an empty text stands where a text is expected", "write it, or leave the key out")
    return value


Text = TypeAliasType(
    "Text", Annotated[str, PlainValidator(read_text), json_form(None, "A text, not empty.", minLength=1)]
)


def whole(low: int, high: int | None = None) -> PlainValidator:
    """A whole number from `low` to `high`, both included."""
    bounds = (
        f"a whole number from {low} to {high}" if high is not None else f"a whole number of at least {low}"
    )

    def read(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise wrong_type(value, bounds)
        if value < low or (high is not None and value > high):
            raise fault("E112", f"{shown(value)} is out of range: {bounds} is expected")
        return value

    return PlainValidator(read)


Natural = TypeAliasType(
    "Natural",
    Annotated[
        int,
        whole(0),
        WithJsonSchema({"type": "integer", "minimum": 0, "description": "A whole number, 0 or more."}),
    ],
)
Positive = TypeAliasType(
    "Positive",
    Annotated[
        int,
        whole(1),
        WithJsonSchema({"type": "integer", "minimum": 1, "description": "A whole number, 1 or more."}),
    ],
)
ErrorStatus = TypeAliasType(
    "ErrorStatus",
    Annotated[
        int,
        whole(400, 599),
        WithJsonSchema(
            {"type": "integer", "minimum": 400, "maximum": 599, "description": "An HTTP status of an error."}
        ),
    ],
)


def _number(accepted: str, low: float, high: float | None, *, open_low: bool = False) -> PlainValidator:
    def read(value: Any) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise wrong_type(value, accepted)
        if value < low or (open_low and value == low) or (high is not None and value > high):
            raise fault("E112", f"{shown(value)} is out of range: {accepted} is expected")
        return float(value)

    return PlainValidator(read)


Weight = TypeAliasType(
    "Weight",
    Annotated[
        float,
        _number("a number above zero", 0, None, open_low=True),
        WithJsonSchema(
            {
                "type": "number",
                "exclusiveMinimum": 0,
                "description": "A relative weight, above zero.",
                "examples": [1, 3],
            }
        ),
    ],
)
Fraction = TypeAliasType(
    "Fraction",
    Annotated[
        float,
        _number("a number from 0 to 1", 0, 1),
        WithJsonSchema(
            {
                "type": "number",
                "minimum": 0,
                "maximum": 1,
                "description": "A number from 0 to 1.",
                "examples": [0.7],
            }
        ),
    ],
)


#: Python reads more than this: `2026-12-07+01:00` as one o'clock.
_MOMENT: Final = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"(T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?(Z|[+-][0-9]{2}:[0-9]{2})?)?$"
)


def _time(value: Any) -> str:
    text = read_text(value)
    try:
        if not re.match(_MOMENT, text):
            raise ValueError
        datetime.fromisoformat(text)
    except ValueError:
        raise wrong_type(value, "a date and time", '"2026-12-01T10:00"') from None
    return text


Moment = TypeAliasType(
    "Moment",
    Annotated[
        str,
        PlainValidator(_time),
        json_form(
            _MOMENT,
            "A date and time; without an offset in the workspace's time zone.",
            "2026-12-01T10:00",
        ),
    ],
)


def _json(value: Any) -> Any:
    return value


#: Any JSON value, kept as written.
JsonValue = Annotated[Any, PlainValidator(_json), WithJsonSchema({})]
