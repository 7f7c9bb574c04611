"""botocore's service model as a judge of Converse: its validator, and what that leaves out.

`faults(operation, body)` checks a body as it stands on the wire (blobs are base64) against an operation's
input: first `botocore.validate` (members, types, required fields, lower bounds), then a walk over the same
shapes for what it does not look at: enumerations, upper bounds, patterns, unions with one member, base64.
"""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Iterator
from functools import cache
from typing import Any

import botocore.session
from botocore.model import OperationModel, Shape
from botocore.validate import ParamValidator


@cache
def operation(name: str) -> OperationModel:
    """An operation of bedrock-runtime."""
    model = botocore.session.Session().get_service_model("bedrock-runtime")
    return model.operation_model(name)


def faults(name: str, body: Any, **outside: Any) -> list[str]:
    """What is wrong with the body of a request. `outside`: members that stand in the path."""
    shape = operation(name).input_shape
    told = {**body, **outside}
    report: str = ParamValidator().validate(told, shape).generate_report()
    return [*report.splitlines(), *walk(shape, told, "")]


def walk(shape: Shape, value: Any, at: str) -> Iterator[str]:
    """Enumerations, bounds, patterns, unions and base64, at any depth."""
    limits = shape.metadata
    if shape.type_name == "structure":
        if getattr(shape, "is_document_type", False):
            return
        if getattr(shape, "is_tagged_union", False) and len(value) != 1:
            yield f"{at}: {sorted(value)} of a union"
        for key, item in value.items():
            if key in shape.members:
                yield from walk(shape.members[key], item, f"{at}.{key}")
            else:
                yield f"{at}.{key}: no such member"
    elif shape.type_name == "list":
        yield from _bounds(len(value), limits, at)
        for number, item in enumerate(value):
            yield from walk(shape.member, item, f"{at}[{number}]")
    elif shape.type_name == "map":
        yield from _bounds(len(value), limits, at)
        for key, item in value.items():
            yield from walk(shape.key, key, f"{at}.{key}")
            yield from walk(shape.value, item, f"{at}.{key}")
    elif shape.type_name == "blob":
        try:
            b64decode(value, validate=True)
        except (Base64Error, ValueError, TypeError):
            yield f"{at}: no base64"
    elif shape.type_name == "string":
        yield from _text(shape, value, at)
    elif shape.type_name in {"integer", "long", "float", "double"}:
        yield from _bounds(value, limits, at)


def _text(shape: Any, value: str, at: str) -> Iterator[str]:
    if shape.enum and value not in shape.enum:
        yield f"{at}: {value!r} is none of {shape.enum}"
    yield from _bounds(len(value), shape.metadata, at)
    pattern = shape.metadata.get("pattern")
    if pattern and re.fullmatch(pattern, value) is None:
        yield f"{at}: {value!r} does not match {pattern}"


def _bounds(number: float, limits: dict[str, Any], at: str) -> Iterator[str]:
    if "min" in limits and number < limits["min"]:
        yield f"{at}: {number} is less than {limits['min']}"
    if "max" in limits and number > limits["max"]:
        yield f"{at}: {number} is more than {limits['max']}"
