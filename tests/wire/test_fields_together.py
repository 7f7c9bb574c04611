"""Fields that are passed over together, and maps that are looked up once, are read as each by itself."""

from __future__ import annotations

from typing import Any

import pytest
from dialects import DIALECTS, shipped_dialect

import engine.wire.regex  # noqa: F401 - registers RE2 for patterns
from engine.errors import RequestError
from engine.plan import absence, hoisting
from engine.plan.operations import NAMESPACE, WireTypeError
from engine.plan.templates import template_code
from engine.plan.values import Template
from engine.wire import shape

VALUES: list[Any] = [
    None, "x", "auto", 1, 0.5, True, [], ["x"], [{"type": "text", "text": "x"}], {}, {"type": "x", "a": "b"},
    {"type": "json_schema", "json_schema": {"name": "n"}},
    [5, {"message": 5}, {"index": 0, "message": {"content": "x", "refusal": "r"}, "finish_reason": "stop"}],
    [{"role": "user", "content": "x"}, {"role": "assistant", "content": [{"type": "text", "text": "x"}]}],
    {"prompt_tokens": 3, "total_tokens": 5, "prompt_tokens_details": {"cached_tokens": 1}, "input_tokens": 3},
    {"output_tokens": 3, "inputTokens": 4, "content": [{"text": "x"}], "message": {"content": "x"}},
]  # fmt: skip


def _made(template: Template) -> Any:
    source, constants = template_code(template.scope, template.ir)
    space: dict[str, Any] = {"__builtins__": {}, **NAMESPACE, **constants}
    exec(compile(source, "<test>", "exec"), space)
    return space["f"]


def _read(function: Any, *values: Any) -> Any:
    try:
        return function(*values)
    except (WireTypeError, RequestError) as error:
        return type(error), str(error)


@pytest.mark.parametrize("name", DIALECTS)
def test_a_template(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = shipped_dialect(name)
    for operation in plan.operations.values():
        for template, more in (
            (operation.request_read, ({},)),
            (operation.request_write, ({}, {}, {})),
            (operation.response_read, ({}, 200)),
        ):
            if template is None:
                continue
            together = _made(template)
            with monkeypatch.context() as patch:
                patch.setattr(absence, "FEWEST", 10**9)
                patch.setattr(hoisting, "LEAST", 10**9)
                source, _ = template_code(template.scope, template.ir)
                alone = _made(template)
            assert "isdisjoint" not in source
            assert "NOTHING" not in source
            for field in _fields(template):
                for value in VALUES:
                    assert _read(together, {field: value}, *more) == _read(alone, {field: value}, *more)


def _fields(template: Template) -> set[str]:
    """What a template reads of its first parameter."""
    found, waiting = set(), [template.ir]
    for ir in waiting:
        if isinstance(ir, list):
            if ir[:2] == ["f", ["p", 0]]:
                found.add(ir[2])
            waiting.extend(ir)
        elif isinstance(ir, dict):
            waiting.extend(ir.values())
    return found


def test_some_are_read_together() -> None:
    chat = shipped_dialect("openai_chat").operations["chat"]
    assert chat.request_read is not None
    assert "isdisjoint" in template_code(chat.request_read.scope, chat.request_read.ir)[0]
    assert chat.response_read is not None
    assert "NOTHING" in template_code(chat.response_read.scope, chat.response_read.ir)[0]


@pytest.mark.parametrize("name", DIALECTS)
def test_a_shape(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for operation in shipped_dialect(name).operations.values():
        check: Any = operation.check
        if not isinstance(check, dict):
            continue
        together = shape.bind(check)
        with monkeypatch.context() as patch:
            patch.setattr(shape, "_FEWEST", 10**9)
            alone = shape.bind(check)
        for field in check.get("fields", ()):
            for value in VALUES:
                for body in ({field: value}, {**_required(check), field: value}):
                    assert _read(together, body) == _read(alone, body)


def _required(check: dict[str, Any]) -> dict[str, Any]:
    """Values for the fields that a shape demands, so that what stands behind them is looked at too."""
    good: dict[str, Any] = {"text": "x", "list": [{"role": "user", "content": "x"}], "integer": 1, "map": {}}
    fields = check.get("fields", {})
    return {
        name: good.get(str(inner.get("type", "list")).partition("|")[0], "x")
        for name, inner in fields.items()
        if isinstance(inner, dict) and inner.get("required")
    }
