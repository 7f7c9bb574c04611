"""Expressions: kept as text here, compiled by `compiler/expr`. A template in their place has its own code."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from pydantic import PlainValidator, WithJsonSchema
from typing_extensions import TypeAliasType

from engine.keys.looks import looks_secret
from engine.spec.fault import fault, shown, wrong_type
from engine.spec.json_form import json_form

#: A text that is one template and nothing else.
_ONE_TEMPLATE: Final = re.compile(r"\s*\$?\{\{-?\s*([^{}]+?)\s*-?\}\}\s*")


def _expression(value: Any) -> str:
    if isinstance(value, bool):
        advice = "leave the key out where it always holds" if value else "remove what never holds"
        raise fault("E102", f"{shown(value)} stands where an expression is expected", advice)
    if not isinstance(value, str):
        raise wrong_type(value, "an expression", "key.org == 'acme'")
    if not value.strip():
        raise fault("E102", "an empty text stands where an expression is expected")
    if "{{" in value or "{%" in value:
        inner = _ONE_TEMPLATE.fullmatch(value)
        advice = "write the bare expression, without braces"
        if inner and not looks_secret(value):
            advice = f"write {inner[1]}"
        raise fault(
            "E106", "a template stands where an expression is expected: nothing is put into text here", advice
        )
    return value


def _number(value: Any) -> str:
    """A bare number is an expression too."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return repr(value)
    if isinstance(value, str):
        return _expression(value)
    raise wrong_type(value, "a number or an expression", "9 if key.tags.tier == 'gold' else 5")


Expression = TypeAliasType(
    "Expression",
    Annotated[
        str,
        PlainValidator(_expression),
        json_form(
            None,
            "An expression over `request`, `key` and the clock; without braces.",
            "request.input_tokens > 3k",
            minLength=1,
        ),
    ],
)

NumberExpression = TypeAliasType(
    "NumberExpression",
    Annotated[
        str,
        PlainValidator(_number),
        WithJsonSchema(
            {
                "description": "A number, or an expression over `request`, `key` and the clock for one.",
                "anyOf": [{"type": "number"}, {"type": "string", "minLength": 1}],
            }
        ),
    ],
)
