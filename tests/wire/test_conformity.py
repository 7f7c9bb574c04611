"""Whether a text is the JSON that was asked for: bounded, whatever the schema."""

from __future__ import annotations

import time
from typing import Any

import pytest

from engine.wire.conformity import conforms

CLOSED = {
    "type": "object",
    "properties": {"a": {"type": "integer"}},
    "required": ["a"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("schema", "text", "met"),
    [
        (CLOSED, '{"a": 1}', True),
        (CLOSED, '{"a": "1"}', False),
        (CLOSED, '{"a": 1, "b": 2}', False),
        (CLOSED, "{}", False),
        (CLOSED, "no JSON", False),
        (CLOSED, '```json\n{"a": 1}\n```', False),
        ({"type": "string", "pattern": "^[a-z]+$"}, '"abc"', True),
        ({"type": "string", "pattern": "^[a-z]+$"}, '"aBc"', False),
        (
            {"patternProperties": {"^n_": {"type": "number"}}, "additionalProperties": False},
            '{"n_a": 1}',
            True,
        ),
        ({"patternProperties": {"^n_": {"type": "number"}}}, '{"n_a": "1"}', False),
        ({"patternProperties": {"^n_": {}}, "additionalProperties": False}, '{"m": 1}', False),
        ({"uniqueItems": True}, '[{"a": 1, "b": 2}, {"b": 2, "a": 1}]', False),
        ({"uniqueItems": True}, "[1, 2]", True),
        ({"$defs": {"n": {"type": "null"}}, "$ref": "#/$defs/n"}, "null", True),
        ({"$defs": {"n": {"type": "null"}}, "$ref": "#/$defs/n"}, "1", False),
        # What cannot be checked is not held against an answer.
        ({"$ref": "http://127.0.0.1:9/schema"}, "1", True),
        ({"$ref": "#"}, "1", True),
        ({"type": 5}, "1", True),
        ({"pattern": "("}, '"x"', True),
    ],
)
def test_schemas(schema: dict[str, Any], text: str, met: bool) -> None:
    assert conforms({"type": "json_schema", "schema": schema}, text) is met


@pytest.mark.parametrize(
    ("form", "text", "met"),
    [
        ({}, "x", True),
        ({"type": "text"}, "x", True),
        ({"type": "json_object"}, "{}", True),
        ({"type": "json_object"}, "[]", False),
        ({"type": "json_schema"}, "x", False),
    ],
)
def test_forms(form: Any, text: str, met: bool) -> None:
    assert conforms(form, text) is met


def test_a_schema_that_doubles_with_every_level_ends() -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(60):
        schema = {"anyOf": [schema, schema]}
    text = '{"a": "%s"}' % ("x" * 100_000)
    began = time.process_time()
    assert conforms({"type": "json_schema", "schema": schema}, text)
    assert time.process_time() - began < 2


def test_a_pattern_that_backtracks_ends() -> None:
    text = '"%sb"' % ("a" * 60)
    assert not conforms({"type": "json_schema", "schema": {"pattern": "^(a+)+$"}}, text)
