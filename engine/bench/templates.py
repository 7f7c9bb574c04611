"""What templates cost: a request rendered, an event of a stream translated or passed on, vendors compiled.

A tool conversation of six messages is turned into another vendor's shape, by a template of this file and by
the shipped dialects of Anthropic and Google. Beside the first runs a plain walk over the same template's
structure, each expression compiled once by Jinja2 (`compile_expression`): what a template language costs that
is interpreted. Both must give the same body, else the run is void. Streams are in `translation.py`, compiling
in `compiling.py`.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any, Final, cast

from engine.bench import compiling, translation
from engine.bench.report import Report
from engine.builtin import builtin_root
from engine.compiler.expr import compile_template
from engine.compiler.expr.lexer import ENVIRONMENT
from engine.compiler.load import Source, load
from engine.compiler.parse import parse
from engine.compiler.vendors import Vendors
from engine.diagnostics import Diagnostics
from engine.plan.code import bind_template
from engine.wire.canonical import Request
from engine.wire.dialect import BoundDialect

#: Microseconds for the conversation: a few percent of what a request costs in all.
BAR_US: Final = 40.0

TEMPLATE: Final = """
t:
  model: ${{ target.wire_model }}
  max_tokens: ${{ target.max_tokens }}
  stream: ${{ target.stream }}
  system:
    $for: m
    $in: request.messages
    $when: m.role in ("system", "developer")
    $flat: true
    $do: {$for: p, $in: m.content, $do: {type: text, text: '${{ p.text }}'}}
  messages:
    $for: m
    $in: request.messages
    $when: m.role not in ("system", "developer")
    $merge_adjacent: {by: role, concat: content}
    $do:
      role: '${{ "assistant" if m.role == "assistant" else "user" }}'
      content:
        $for: p
        $in: m.content
        $do:
          $switch: p.type
          $cases:
            text: {type: text, text: '${{ p.text }}'}
            image:
              type: image
              source: {type: base64, media_type: '${{ p.media_type }}', data: '${{ p.data }}'}
            tool_call: {type: tool_use, id: '${{ p.id }}', name: '${{ p.name }}', input: '${{ p.arguments }}'}
            tool_result:
              type: tool_result
              tool_use_id: ${{ p.id }}
              content: {$for: c, $in: p.content, $do: {type: text, text: '${{ c.text }}'}}
  tools:
    $for: t
    $in: request.tools
    $do: {name: '${{ t.name }}', description: '${{ t.description }}', input_schema: '${{ t.parameters }}'}
  tool_choice: {type: '${{ request.tool_choice.mode }}'}
  stop_sequences: ${{ request.stop }}
"""


def _text(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "content": [{"type": "text", "text": text}]}


def _result(call: str) -> dict[str, Any]:
    inner = [{"type": "text", "text": "sunny"}]
    return {"role": "tool", "content": [{"type": "tool_result", "id": call, "content": inner}]}


def _conversation() -> dict[str, Any]:
    image = {"type": "image", "media_type": "image/png", "data": "AAAA"}
    calls = [{"type": "tool_call", "id": i, "name": "weather", "arguments": "{}"} for i in ("a", "b")]
    asked = _text("user", "What is this, and how is the weather?")
    asked["content"].append(image)
    return {
        "messages": [
            _text("system", "Be brief."),
            asked,
            {"role": "assistant", "content": calls},
            _result("a"),
            _result("b"),
            _text("user", "[1, 2]"),
        ],
        "tools": [{"name": "weather", "description": "d", "parameters": {"type": "object"}}],
        "tool_choice": {"mode": "auto"},
        "stop": ["END"],
    }


def run(smoke: bool) -> Report:
    """Measure both in turns, and compare the best of each; a smoke run only shows that it works."""
    report = Report("templates: one request of six messages, rendered", judged=not smoke)
    out = Diagnostics()
    document = parse(Source("bench.yaml", "dialect", TEMPLATE, ""), out)
    assert document is not None
    begun = time.perf_counter()
    template = compile_template(
        document.data["t"], document=document, path=("t",), scope="request_write", out=out
    )
    assert template is not None, list(out)
    compiled = bind_template(template)
    building = time.perf_counter() - begun
    request, target = _conversation(), {"wire_model": "m", "max_tokens": 100, "stream": True}
    reference = _Reference()
    names = {"request": request, "target": target}

    def ours() -> Any:
        return compiled(request, {}, target, {})

    def theirs() -> Any:
        return reference.walk(document.data["t"], names)

    if ours() != theirs():
        report.void = "the two renderings differ"
        return report
    rounds, times = (2, 20) if smoke else (15, 400)
    best = {"ours": float("inf"), "theirs": float("inf")}
    for _ in range(rounds):
        best["ours"] = min(best["ours"], _timed(ours, times))
        best["theirs"] = min(best["theirs"], _timed(theirs, max(1, times // 20)))
    report.add("compiled to Python", best["ours"] * 1e6, "us", at_most=BAR_US)
    report.add("walked, with Jinja2's expressions", best["theirs"] * 1e6, "us")
    report.add("ratio", best["theirs"] / best["ours"], "times", at_least=20.0)
    report.add("check, compile and bind", building * 1e3, "ms", note="once a plan")
    dialects = _Shipped()
    for name in ("anthropic_messages", "gemini"):
        took = [_timed(_written(dialects(name), request), times) for _ in range(rounds)]
        report.add(f"the shipped dialect {name}", statistics.median(took) * 1e6, "us", at_most=BAR_US)
    translation.measure(report, dialects, smoke)
    compiling.measure(report, smoke)
    return report


class _Shipped:
    """The shipped dialects, bound."""

    def __init__(self) -> None:
        out = Diagnostics()
        self._vendors = Vendors(load(builtin_root(), None, out), (), out)
        self._bound: dict[str, BoundDialect] = {}

    def __call__(self, name: str) -> BoundDialect:
        if name not in self._bound:
            dialect = self._vendors.dialect(name)
            assert dialect is not None, f"the dialect {name} does not compile"
            self._bound[name] = BoundDialect(dialect)
        return self._bound[name]


def _written(dialect: BoundDialect, request: dict[str, Any]) -> Callable[[], Any]:
    """Writes the request as a call would: the rules of `adjust`, then the body."""
    rules = dialect.operation("chat").adjust
    asked = cast(Request, {"operation": "chat", "model": "m", "max_tokens": 100, **request})
    target = {"name": "b", "model": "m", "wire_model": "m", "max_tokens": 100, "stream": True}
    provider = {"name": "b", "drop": [], "takes": []}

    def write() -> Any:
        ready = rules(asked, {}, target, provider, []) if rules else asked
        return dialect.write_request("chat", ready, {}, target, provider)

    return write


def _timed(call: Callable[[], Any], times: int) -> float:
    begun = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - begun) / times


class _Reference:
    """The directives that the template uses, evaluated as they are read. An undefined value is None."""

    def __init__(self) -> None:
        self.expressions: dict[str, Callable[..., Any]] = {}

    def value(self, text: str, names: dict[str, Any]) -> Any:
        compiled = self.expressions.get(text)
        if compiled is None:
            compiled = self.expressions[text] = ENVIRONMENT.compile_expression(text)
        return compiled(**names)

    def walk(self, node: Any, names: dict[str, Any]) -> Any:
        if isinstance(node, str):
            return self.value(node[3:-2], names) if node.startswith("${{") else node
        if not isinstance(node, dict):
            return node
        if "$for" in node:
            return self.loop(node, names)
        if "$switch" in node:
            case = node["$cases"].get(self.value(node["$switch"], names))
            return None if case is None else self.walk(case, names)
        made = {key: self.walk(value, names) for key, value in node.items()}
        return {key: value for key, value in made.items() if value is not None} or None

    def loop(self, node: dict[str, Any], names: dict[str, Any]) -> list[Any]:
        made: list[Any] = []
        for item in self.value(node["$in"], names) or []:
            inner = {**names, node["$for"]: item}
            if "$when" in node and not self.value(node["$when"], inner):
                continue
            value = self.walk(node["$do"], inner)
            if node.get("$flat"):
                made += value
            elif "$merge_adjacent" in node and made and made[-1]["role"] == value["role"]:
                made[-1] = {**made[-1], "content": made[-1]["content"] + value["content"]}
            elif value is not None:
                made.append(value)
        return made
