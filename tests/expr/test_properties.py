"""Properties: compiled expressions agree with a plain evaluator, and no text crashes the compiler."""

from __future__ import annotations

import json
import operator
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.compiler.expr import compile_template, disjoint
from engine.compiler.expr.directives import DIRECTIVES
from engine.diagnostics import Diagnostics
from engine.plan.code import bind_expr, bind_template

QUICK = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))

# --- a naive evaluator: trees of the grammar as nested tuples, their text, and their value

NUMBERS = ("request.input_tokens", "request.max_output_tokens")
TEXTS = ("key.org", "request.user", "request.text", "request.metadata.topic", "key.tags.team")
FLAGS = ("request.stream", 'request.has("image")', 'request.has("tools")')
WORDS = ("", "acme", "a'b", 'q"q', "globex", "é", "\\", "{{", "and")

number = st.one_of(
    st.sampled_from(NUMBERS).map(lambda n: ("field", n)), st.integers(0, 9).map(lambda n: ("lit", n))
)
text_leaf = st.one_of(
    st.sampled_from(TEXTS).map(lambda n: ("field", n)), st.sampled_from(WORDS).map(lambda w: ("lit", w))
)
text_tree = st.recursive(text_leaf, lambda inner: st.tuples(st.just("first"), inner, inner), max_leaves=3)
atom = st.one_of(
    st.sampled_from(FLAGS).map(lambda n: ("field", n)),
    st.booleans().map(lambda b: ("lit", b)),
    st.tuples(st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), number, number),
    st.tuples(st.sampled_from(["==", "!="]), text_tree, text_tree),
    st.tuples(st.just("in"), text_leaf, st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(tuple)),
    st.tuples(st.just("starts"), text_leaf, st.sampled_from(WORDS)),
)
condition = st.recursive(
    atom,
    lambda inner: st.one_of(
        st.tuples(st.just("and"), inner, inner),
        st.tuples(st.just("or"), inner, inner),
        st.tuples(st.just("not"), inner),
        st.tuples(st.just("if"), inner, inner, inner),
    ),
    max_leaves=8,
)
context = st.fixed_dictionaries(
    {
        "request.input_tokens": st.integers(0, 9),
        "request.max_output_tokens": st.one_of(st.none(), st.integers(0, 9)),
        "request.stream": st.booleans(),
        'request.has("image")': st.booleans(),
        'request.has("tools")': st.booleans(),
        **{name: st.sampled_from(WORDS) for name in TEXTS},
    }
)


def quoted(word: str) -> str:
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def written(tree: Any) -> str:
    match tree:
        case ("field", name):
            return str(name)
        case ("lit", bool() as value):
            return "true" if value else "false"
        case ("lit", str() as word):
            return quoted(word)
        case ("lit", value):
            return str(value)
        case ("in", value, words):
            return f"({written(value)} in ({', '.join(map(quoted, words))},))"
        case ("starts", value, word):
            return f"({written(value)} is starts_with({quoted(word)}))"
        case ("first", a, b):
            return f"({written(a)} or {written(b)})"
        case ("not", a):
            return f"(not {written(a)})"
        case ("if", a, b, c):
            return f"({written(b)} if {written(a)} else {written(c)})"
        case (op, a, b):
            return f"({written(a)} {op} {written(b)})"
    raise AssertionError(tree)


ORDER = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


def value_of(tree: Any, fields: dict[str, Any]) -> Any:
    match tree:
        case ("field", name):
            return fields[name]
        case ("lit", value):
            return value
        case ("in", value, words):
            return value_of(value, fields) in words
        case ("starts", value, word):
            return value_of(value, fields).startswith(word)
        case ("first", a, b) | ("or", a, b):
            return value_of(a, fields) or value_of(b, fields)
        case ("and", a, b):
            return value_of(a, fields) and value_of(b, fields)
        case ("not", a):
            return not value_of(a, fields)
        case ("if", a, b, c):
            return value_of(b, fields) if value_of(a, fields) else value_of(c, fields)
        case (op, a, b):
            left, right = value_of(a, fields), value_of(b, fields)
            if op in ORDER:
                return left is not None and right is not None and ORDER[op](left, right)
            return (left == right) is (op == "==")
    raise AssertionError(tree)


def views(fields: dict[str, Any], route_views: Callable[..., Any]) -> Any:
    abilities = [name for name in ("image", "tools") if fields[f'request.has("{name}")']]
    request = {name.partition(".")[2]: value for name, value in fields.items() if name.startswith("request.")}
    request = {name: value for name, value in request.items() if "(" not in name and "." not in name}
    request |= {"has": abilities, "metadata": {"topic": fields["request.metadata.topic"]}}
    key = {"org": fields["key.org"], "tags": {"team": fields["key.tags.team"]}}
    return route_views({"request": request, "key": key})


def compiled(tree: Any, compile_text: Callable[..., Any]) -> Any:
    """The expression of a tree; None where the compiler rightly refuses it: a word that an org cannot be."""
    expr, out = compile_text(written(tree))
    if expr is None:
        assert {d.code for d in out} <= {"E322", "E314", "E307"}, (written(tree), list(out))
    return expr


@QUICK
@given(tree=condition, fields=context)
def test_compiled_is_what_it_says(tree: Any, fields: Any, compile_text: Any, route_views: Any) -> None:
    expr = compiled(tree, compile_text)
    if expr is not None:
        assert bind_expr(expr)(*views(fields, route_views)) == value_of(tree, fields), written(tree)


@QUICK
@given(a=condition, b=condition, fields=context)
def test_disjoint_is_never_wrong(a: Any, b: Any, fields: Any, compile_text: Any, route_views: Any) -> None:
    first, second = compiled(a, compile_text), compiled(b, compile_text)
    if first is not None and second is not None and disjoint(first, second):
        args = views(fields, route_views)
        assert not (bind_expr(first)(*args) and bind_expr(second)(*args)), (written(a), written(b))


TOKENS = st.sampled_from([*(Path(__file__).parent / "data" / "tokens.txt").read_text().split(), "\n", "\t"])


@QUICK
@given(text=st.one_of(st.text(max_size=40), st.lists(TOKENS, max_size=12).map(" ".join)))
@pytest.mark.parametrize("scope", ["route", "request_write", "response_read"])
def test_no_text_crashes_the_compiler(text: str, scope: str, document_of: Any) -> None:
    document = document_of("t: {}\n")
    for data in ({"a": "${{" + text + "}}"}, {"$if": text, "$then": 1}, {text: text}):
        out = Diagnostics()
        template = compile_template(data, document=document, path=("t",), scope=scope, out=out)
        assert (template is None) == out.failed
        if template is not None:
            bind_template(template)


LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-9, 9),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
    st.sampled_from(
        ["body.a", "${{ body.a }}", "x", "${{ x.b }}", "a ${{ body.b }}", "blk", "status == 200"]
    ),
)
KEYS = st.sampled_from(
    [*sorted(DIRECTIVES), "a", "b", "x", "by", "concat", "is", "put", "$$a", "${{ body.a }}"]
)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=10,
)
#: Whole directives, so that most of them are well formed.
WELL = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.fixed_dictionaries({"$if": st.just("body.a"), "$then": inner}, optional={"$else": inner}),
        st.fixed_dictionaries(
            {"$for": st.sampled_from(["x", "y", "z"]), "$in": st.just("body.a"), "$do": inner},
            optional={
                "$flat": st.booleans(),
                "$when": st.just("body.b"),
                "$join": st.just(","),
                "$keep": st.booleans(),
                "$merge_adjacent": st.just({"by": "a", "concat": "b"}),
                "$ensure_first": inner.map(lambda put: {"by": "a", "is": 1, "put": put}),
            },
        ),
        st.fixed_dictionaries(
            {"$switch": st.just("body.a"), "$cases": st.dictionaries(st.text(max_size=3), inner, min_size=1)},
            optional={"$default": inner},
        ),
        st.fixed_dictionaries({"$let": st.fixed_dictionaries({"x": inner}), "$in": inner}),
        st.fixed_dictionaries({"$merge": inner, "a": inner}, optional={"$keep": st.booleans()}),
        st.lists(st.one_of(inner, st.fixed_dictionaries({"$splice": inner})), max_size=3),
        st.dictionaries(st.sampled_from(["a", "b", "$$a", "${{ body.b }}", "{"]), inner, max_size=3),
    ),
    max_leaves=10,
)


@QUICK
@given(data=st.one_of(JSON, WELL), body=JSON)
@pytest.mark.parametrize("want", [None, "Request"])
def test_any_json_is_a_template_or_a_finding(
    data: Any, body: Any, want: str | None, document_of: Any
) -> None:
    out = Diagnostics()
    template = compile_template(
        data, document=document_of("t: {}\n"), path=("t",), scope="response_read", out=out, want=want,
        blocks={"blk": {"a": "${{ body.b }}"}},
    )  # fmt: skip
    if template is not None:
        json.dumps(bind_template(template)({"a": body, "b": body}, {}, 200))


READS = [
    "body.a.b",
    "body.a[0]",
    "body.a[body.b]",
    "body.a | fromjson",
    "body.a | join('-')",
    "body.a > body.b",
    "body.a + body.b",
    "body.a in body.b",
    "body.a ~ body.b",
    "body.a | pluck('a') | first",
    "body.a | merge(body.b)",
    "body.a | rename({'a': 'b'})",
    "body.a | data_url",
    "body.a | clamp(0, 1)",
    "body.a | round(2)",
    "body.a | int",
    "body.a | duration",
    "body.a | items",
    "body.a | inline_refs",
    "body.a | drop_keys('a')",
    "body.a | find('a', body.b)",
    "body.a | dedupe",
    "body.a | b64decode",
    "body.a * body.b",
    "body.a // body.b",
    "body.a % body.b",
    "-body.a",
    "body.a | replace('a', 'b')",
    "stable_id('x', body.a)",
    "body.a | put(body.b, 1)",
    "body.a | string",
    "body.a | to_format",
    "body.a == body.b",
    "body.a | length",
    "min(body.a, body.b)",
    "body.a | float",
    "body.a | get(body.b)",
    "body.a | split('x')",
    "body.a | tojson",
    "body.a | where('a', body.b)",
]


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(a=JSON, b=JSON)
def test_no_wire_value_makes_a_function_raise(a: Any, b: Any, compile_text: Any) -> None:
    for text in READS:
        expr, out = compile_text(text, "response_read", "any")
        assert expr is not None, list(out)
        bind_expr(expr)({"a": a, "b": b}, {}, 200)
