"""Shapes: what passes, what is named as wrong, and shapes that do not read."""

from __future__ import annotations

from typing import Any

import pytest

from engine.errors import RequestError
from engine.wire.shape import ShapeError, bind

SHAPE: dict[str, Any] = {
    "fields": {
        "name": {"type": "text", "required": True, "min": 1, "max": 3},
        "size": {"type": "number", "min": 0, "max": 10},
        "kind": {"values": ["a", 1]},
        "deep": {"fields": {"flag": "flag"}},
        "list": {"type": "text|list", "max": 2, "items": "integer"},
        "it's": "text",
        'quo"te{}': {"items": {"fields": {"x": {"type": "text", "required": True}}}},
        "one": {"by": "type", "cases": {"a": None, "b": {"any_of": ["p", "q"], "fields": {"p": "text"}}}},
        "few": {"type": "text|list", "most": 1},
        "open": {
            "by": "t",
            "absent": "a",
            "otherwise": {"fields": {"x": "text"}},
            "cases": {"a": {"any_of": ["p"]}},
        },
    }
}
GOOD: list[Any] = [
    {"name": "x"},
    {
        "name": "x",
        "size": 1.5,
        "kind": 1,
        "deep": {"flag": True, "more": []},
        "list": [1, 2],
        "other": object(),
    },
    {"name": "x", "size": None, "kind": None, "deep": None, "list": "ab"},
    {"name": "x", "one": {"type": "a"}},
    {"name": "x", "one": {"type": "b", "q": 0}},
    {"name": "x", "open": {"p": 1}},
    {"name": "x", "few": "more than one"},
    {"name": "x", "few": ["one"]},
    {"name": "x", "open": {"t": "anything", "x": "y"}},
]
BAD: list[tuple[Any, str | None, str]] = [
    (5, None, "invalid_type"),
    ({}, "name", "missing_required_parameter"),
    ({"name": None}, "name", "missing_required_parameter"),
    ({"name": 5}, "name", "invalid_type"),
    ({"name": ""}, "name", "invalid_value"),
    ({"name": "long"}, "name", "invalid_value"),
    ({"name": "x", "size": True}, "size", "invalid_type"),
    ({"name": "x", "size": 11}, "size", "invalid_value"),
    ({"name": "x", "kind": "b"}, "kind", "invalid_value"),
    ({"name": "x", "deep": {"flag": 1}}, "deep.flag", "invalid_type"),
    ({"name": "x", "list": [1, "b"]}, "list[1]", "invalid_type"),
    ({"name": "x", "list": [1, True]}, "list[1]", "invalid_type"),
    ({"name": "x", "list": [1, 2, 3]}, "list", "invalid_value"),
    ({"name": "x", "it's": 5}, "it's", "invalid_type"),
    ({"name": "x", 'quo"te{}': [{"x": "a"}, {}]}, 'quo"te{}[1].x', "missing_required_parameter"),
    ({"name": "x", "one": {}}, "one.type", "missing_required_parameter"),
    ({"name": "x", "one": {"type": {"a": 1}}}, "one.type", "invalid_value"),
    ({"name": "x", "one": {"type": "b"}}, "one", "missing_required_parameter"),
    ({"name": "x", "one": {"type": "b", "p": 1}}, "one.p", "invalid_type"),
    ({"name": "x", "few": [1, 2]}, "few", "invalid_value"),
    ({"name": "x", "open": {"q": 1}}, "open", "missing_required_parameter"),
    ({"name": "x", "open": {"t": "anything", "x": 1}}, "open.x", "invalid_type"),
    ({"name": "x", "open": {"t": 5}}, "open.t", "invalid_type"),
]


@pytest.mark.parametrize("body", GOOD)
def test_good(body: Any) -> None:
    bind(SHAPE)(body)


@pytest.mark.parametrize(("body", "param", "code"), BAD)
def test_bad(body: Any, param: str | None, code: str) -> None:
    with pytest.raises(RequestError) as caught:
        bind(SHAPE)(body)
    assert (caught.value.param, caught.value.code) == (param, code)


@pytest.mark.parametrize(
    ("shape", "path"),
    [
        (5, ()),
        ("string", ("type",)),
        ({"typ": "text"}, ("typ",)),
        ({"fields": {"a": {"items": {"type": "txt"}}}}, ("fields", "a", "items", "type")),
        ({"values": "ab"}, ("values",)),
        ({"type": "list", "most": "1"}, ("most",)),
        ({"values": [["a"]]}, ("values",)),
        ({"type": "number", "min": "0"}, ("min",)),
        ({"by": "t", "cases": {"x": {"oops": 1}}}, ("cases", "x", "oops")),
        ({"by": "t", "absent": "y", "cases": {"x": None}}, ("absent",)),
    ],
)
def test_shapes_that_do_not_read(shape: Any, path: tuple[str, ...]) -> None:
    with pytest.raises(ShapeError) as caught:
        bind(shape)
    assert caught.value.path == path


def test_a_shape_is_data_and_never_code() -> None:
    evil = 'x\'); import os  # \n"""{0!r}'
    check = bind({"fields": {evil: {"type": "text", "required": True, "values": [evil]}}, "any_of": [evil]})
    check({evil: evil})
    with pytest.raises(RequestError) as caught:
        check({})
    assert caught.value.param == evil
