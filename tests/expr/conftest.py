"""What the tests of expressions share: a scalar in a file, views as a route sees them."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

import engine.wire.regex  # noqa: F401 - registers RE2 for patterns
from engine.compiler.document import Document
from engine.compiler.expr import Place, Scope, compile_expression, compile_template, route_scope
from engine.compiler.load import Source
from engine.compiler.parse import parse
from engine.diagnostics import Diagnostics
from engine.plan.code import bind_expr, bind_template
from engine.plan.values import Expr, Template

TAGS = {"tier": ("gold", "silver"), "team": None, "data": ("eu", "world"), "my_team": None}
ORGS = ("acme", "globex")


def document_of(text: str, kind: Any = "dialect") -> Document:
    out = Diagnostics()
    document = parse(Source("f.yaml", kind, text, ""), out)
    assert document is not None, list(out)
    assert not out.failed, list(out)
    return document


def compile_text(
    text: str, scope: str | Scope = "route", want: str = "bool", yaml: str | None = None
) -> tuple[Expr | None, Diagnostics]:
    """`text` as the value of `when` in a file, JSON-quoted unless the line is given."""
    document = document_of(yaml or f"when: {json.dumps(text, ensure_ascii=False)}\n")
    out = Diagnostics()
    where = route_scope(tags=TAGS, orgs=ORGS) if scope == "route" else scope
    expr = compile_expression(
        document.data["when"], place=Place(document, ("when",)), scope=where, want=want, out=out
    )
    assert (expr is None) == out.failed
    return expr, out


def compile_yaml(
    text: str, scope: str, want: str | None = None, **options: Any
) -> tuple[Template | None, Diagnostics]:
    """The template under `t` of a file, with its `blocks`."""
    document = document_of(text)
    out = Diagnostics()
    template = compile_template(
        document.data["t"], document=document, path=("t",), scope=scope, want=want, out=out,
        blocks=document.data.get("blocks"), **options,
    )  # fmt: skip
    return template, out


class Request:
    """A request as route expressions see it."""

    def __init__(self, **fields: Any) -> None:
        self.model = "assistant"
        self.operation = "chat"
        self.dialect = "openai_chat"
        self.stream = False
        self.input_tokens = 10
        self.max_output_tokens: int | None = None
        self.user = self.conversation = self.text = self.language = ""
        self.metadata: dict[str, str] = {}
        self.abilities: list[str] = fields.pop("has", [])
        self.headers: dict[str, str] = fields.pop("headers", {})
        for name, value in fields.items():
            assert hasattr(self, name)
            setattr(self, name, value)

    def has(self, what: str) -> bool:
        return what in self.abilities

    def header(self, name: str) -> str | None:
        return self.headers.get(name)


def route_views(context: dict[str, Any]) -> tuple[Any, Any, Any, Any]:
    key = {"id": "", "name": "", "org": "", "tags": {}} | context.get("key", {})
    minute = context.get("minute", 0)

    def between(a: int, b: int) -> bool:
        return a <= minute < b if a < b else minute >= a or minute < b

    clock = SimpleNamespace(
        now=context.get("now", 0.0), weekday=context.get("weekday", "mon"), between=between
    )
    return Request(**context.get("request", {})), SimpleNamespace(**key), clock, {}


@pytest.fixture(name="document_of")
def _document_of() -> Callable[..., Document]:
    return document_of


@pytest.fixture(name="compile_text")
def _compile_text() -> Callable[..., Any]:
    return compile_text


@pytest.fixture(name="compile_yaml")
def _compile_yaml() -> Callable[..., Any]:
    return compile_yaml


@pytest.fixture(name="route_views")
def _route_views() -> Callable[..., Any]:
    return route_views


@pytest.fixture
def evaluate() -> Callable[..., Any]:
    """Compile an expression and run it."""

    def run(text: str, args: tuple[Any, ...], scope: str = "route", want: str = "any") -> Any:
        expr, out = compile_text(text, scope, want)
        assert expr is not None, list(out)
        return bind_expr(expr)(*args)

    return run


@pytest.fixture
def render() -> Callable[..., Any]:
    """Compile a template and run it."""

    def run(text: str, scope: str, *args: Any, want: str | None = None, **options: Any) -> Any:
        template, out = compile_yaml(text, scope, want, **options)
        assert template is not None, list(out)
        return bind_template(template)(*args)

    return run
