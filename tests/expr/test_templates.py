"""Templates: what each construct makes, what faults say and where, and that text goes byte for byte."""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.compiler.expr import compile_template, reads, writes
from engine.diagnostics import Diagnostics
from engine.plan.code import WireTypeError, bind_template
from engine.plan.operations import UnsafeHeaderError

DATA = Path(__file__).parent / "data"


def table(name: str) -> Any:
    return yaml.load((DATA / name).read_text(), yaml.CSafeLoader)


def made(row: dict[str, Any], document_of: Callable[..., Any]) -> Callable[..., Any]:
    out = Diagnostics()
    template = compile_template(
        row["template"], document=document_of("t: {}\n"), path=("t",),
        scope=row.get("scope", "response_read"), want=row.get("want"), blocks=row.get("blocks"),
        escape=row.get("escape", "text"), out=out,
    )  # fmt: skip
    assert template is not None, list(out)
    return bind_template(template)


@pytest.mark.parametrize("row", table("templates.yaml"), ids=lambda row: row["name"])
def test_what_a_template_makes(row: dict[str, Any], document_of: Callable[..., Any]) -> None:
    args = row.get("args") or [row.get("body", {}), row.get("headers", {}), 200]
    before = copy.deepcopy(args)
    render = made(row, document_of)
    first = render(*args)
    assert json.dumps(first) == json.dumps(row["gives"])
    assert args == before
    if isinstance(first, dict):  # what is made is the caller's own: changing it must not change the next
        first["changed"] = True
        assert render(*args) == row["gives"]


@pytest.mark.parametrize("row", table("template_errors.yaml"), ids=lambda row: row["file"][:60])
def test_what_is_said_of_a_fault(row: dict[str, Any], compile_yaml: Callable[..., Any]) -> None:
    template, out = compile_yaml(
        row["file"], row.get("scope", "response_read"), row.get("want"), escape=row.get("escape", "text")
    )
    assert template is None
    found = next(iter(out))
    assert found.code == row["code"], list(out)
    assert row.get("says", "") in found.message
    assert row.get("help", "") in (found.help or "")
    assert found.span is not None
    if "at" in row:
        assert f"{found.span.line}:{found.span.column}" == row["at"]


def test_all_faults_of_a_template_are_told(compile_yaml: Callable[..., Any]) -> None:
    text = "t:\n  a: ${{ bad }}\n  b: {$fi: 1}\n  c: [{x: '${{ body. }}'}]\n"
    template, out = compile_yaml(text, "response_read")
    assert template is None
    assert [(d.code, d.span.line) for d in out] == [("E301", 2), ("E330", 3), ("E300", 4)]


# --- text of users

TEXTS = [
    "123",
    "-1",
    "1.0",
    "[1]",
    "{}",
    '{"a": 1}',
    "None",
    "null",
    "true",
    "True",
    "",
    " ",
    "{{ x }}",
    "{% x %}",
    "${{ body.x }}",
    "{",
    "}",
    "{}",
    "}}",
    "{0}",
    "{x!r}",
    "%s",
    "%(x)s",
    "$HOME",
    "\\",
    "\\n",
    "\n",
    "\r\n",
    "\t",
    "\x00",
    "\x7f",
    "\u2028",
    "'",
    '"',
    "'''",
    '"""',
    "`",
    "#",
    "a: b",
    "- a",
    "&a",
    "*a",
    "!t",
    "|",
    ">",
    "😀",
    "e\u0301",
    "\u202e",
    "\ufeff",
    "漢字",
    "\ud83d",
    "a" * 10,
]


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_text_goes_through_as_it_is(text: str, render: Callable[..., Any]) -> None:
    source = (
        "t: {a: '${{ body.x }}', b: 'x${{ body.x }}y', c: {$let: {v: '${{ body.x }}'}, $in: '${{ v }}'},"
        " d: {$switch: body.x, $cases: {never: 1}, $default: '${{ body.x }}'}, e: ['${{ body.x }}'],"
        " f: {$for: i, $in: body.l, $do: '${{ i }}', $join: ''}}\n"
    )
    given = render(source, "response_read", {"x": text, "l": [text]}, {}, 200)
    assert given == {"a": text, "b": f"x{text}y", "c": text, "d": text, "e": [text], "f": text}


def test_a_megabyte_of_text_is_the_same_object(render: Callable[..., Any]) -> None:
    text = "é[1]{{ x }}" * 100_000
    given = render("t: {a: '${{ body.x }}'}\n", "response_read", {"x": text}, {}, 200)
    assert given["a"] is text


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_text_written_in_a_template_is_only_text(text: str, document_of: Callable[..., Any]) -> None:
    """Literals and keys become Python source by `repr` alone."""
    if "${{" in text or text.startswith("$"):
        text = f"x{text}".replace("${{", "{{")
    out = Diagnostics()
    data = {text: text, "k": {text: "${{ body.x }}"}, "s": {"$switch": "body.x", "$cases": {text: text}}}
    template = compile_template(
        data, document=document_of("t: {}\n"), path=("t",), scope="response_read", out=out
    )
    assert template is not None, list(out)
    given = bind_template(template)({"x": text}, {}, 200)
    assert given == {text: text, "k": {text: text}, "s": text}


@pytest.mark.parametrize("text", ["a\r\nX-Evil: 1", "a\nb", "a\rb", "a\0b"])
def test_a_header_never_has_two_lines(text: str, render: Callable[..., Any]) -> None:
    for source in ("t: '${{ secrets.x }}'\n", "t: 'Bearer ${{ secrets.x }}'\n"):
        with pytest.raises(UnsafeHeaderError):
            render(source, "call", {}, {}, {"x": text}, escape="header")


# --- reading a client's request

READER = """
t:
  model: ${{ body.model | required }}
  max_tokens: ${{ body.max_completion_tokens | default(body.max_tokens) }}
  temperature: ${{ body.temperature }}
  stream: ${{ body.stream }}
  stop: ${{ [body.stop] if body.stop is string else body.stop }}
  metadata: ${{ body.metadata }}
  reasoning: {effort: '${{ body.effort }}'}
  messages:
    $for: m
    $in: body.messages
    $do:
      role: ${{ m.role | required }}
      content:
        $if: m.content is string
        $then: [{type: text, text: '${{ m.content }}'}]
        $else:
          $for: p
          $in: m.content
          $do: {type: text, text: '${{ p.text }}'}
"""
GOOD = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


@pytest.mark.parametrize(
    ("change", "path", "message"),
    [
        ({"model": 5}, "model", "`model` must be a string, not a number"),
        ({"model": None}, "model", "`model` is missing"),
        ({"max_completion_tokens": "9"}, "max_completion_tokens", "must be an integer, not a string"),
        ({"max_completion_tokens": 1.5}, "max_completion_tokens", "must be an integer"),
        ({"max_completion_tokens": True}, "max_completion_tokens", "must be an integer, not a boolean"),
        ({"temperature": [1]}, "temperature", "must be a number, not an array"),
        ({"stream": "yes"}, "stream", "must be a boolean"),
        ({"metadata": {"a": 1}}, "metadata", "must be an object of strings"),
        (
            {"effort": "huge"},
            "effort",
            'must be one of none, minimal, low, medium, high, xhigh, max, not "huge"',
        ),
        ({"messages": "hi"}, "messages", "must be an array, not a string"),
        ({"messages": ["hi"]}, "messages[0]", "must be an object, not a string"),
        ({"messages": [{"content": "x"}]}, "messages[0].role", "is missing"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages[0].role", "one of system"),
        (
            {"messages": [GOOD["messages"][0], {"role": "user", "content": 5}]},
            "messages[1].content",
            "an array",
        ),
        (
            {"messages": [{"role": "user", "content": [{"text": "a"}, 7]}]},
            "messages[0].content[1]",
            "an object",
        ),
        (
            {"messages": [{"role": "user", "content": [{"text": {}}]}]},
            "messages[0].content[0].text",
            "a string",
        ),
    ],
)
def test_a_wrong_field_is_named_as_the_client_wrote_it(
    change: dict[str, Any], path: str, message: str, render: Callable[..., Any]
) -> None:
    with pytest.raises(WireTypeError) as caught:
        render(READER, "request_read", GOOD | change, {}, want="Request")
    assert caught.value.path == path
    assert message in str(caught.value)


def test_a_right_request_is_read(render: Callable[..., Any]) -> None:
    body = GOOD | {"max_tokens": 5, "stop": "END", "temperature": 1, "stream": None}
    assert render(READER, "request_read", body, {}, want="Request") == {
        "model": "m",
        "max_tokens": 5,
        "temperature": 1,
        "stop": ["END"],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
    }


def test_without_strict_the_wrong_field_is_absent(render: Callable[..., Any]) -> None:
    body = GOOD | {"temperature": "hot", "messages": ["hi", {"role": "user", "content": 5}]}
    given = render(READER.replace(" | required", ""), "request_read", body, {}, want="Request", strict=False)
    assert given == {"model": "m", "messages": [{"role": "user"}]}


JUNK = [
    None,
    True,
    0,
    -1,
    1.5,
    "",
    "x",
    [],
    [1],
    [[]],
    [None],
    {},
    {"a": 1},
    {"text": {}},
    [{"text": 1}],
    {"type": []},
]


@pytest.mark.parametrize("junk", JUNK, ids=repr)
def test_junk_on_the_wire_never_crashes_a_reader(junk: Any, render: Callable[..., Any]) -> None:
    """Every field in turn holds something else; strict readers may only raise `WireTypeError`."""
    lenient = READER.replace(" | required", "")
    bodies = [junk, {"messages": junk}, {"messages": [junk]}]
    bodies += [
        {"messages": [dict.fromkeys(("role", "content"), junk)]},
        {"messages": [{"content": [junk]}]},
    ]
    bodies += [{name: junk} for name in ("model", "max_tokens", "stop", "metadata", "effort")]
    for body in bodies:
        render(lenient, "request_read", body, {}, want="Request", strict=False)
        with contextlib.suppress(WireTypeError):
            render(lenient, "request_read", body, {}, want="Request")


# --- what a template reads and writes


def test_reads_and_writes(compile_yaml: Callable[..., Any]) -> None:
    text = """
blocks:
  part: {text: '${{ p.text }}'}
t:
  model: ${{ target.wire_model }}
  temperature: ${{ request.temperature | clamp(0, 1) }}
  $merge: {$if: request.seed is defined, $then: {options: {seed: '${{ request.seed }}'}}}
  format: ${{ (request.response_format | default({})).type }}
  messages:
    $for: m
    $in: request.messages
    $do:
      $let: {c: '${{ m.content }}'}
      role: ${{ m.role }}
      parts: {$for: p, $in: c, $do: {$use: part}}
"""
    template, out = compile_yaml(text, "request_write")
    assert template is not None, list(out)
    assert reads(template) == {
        "temperature", "seed", "response_format.type", "messages", "messages.role", "messages.content",
        "messages.content.text",
    }  # fmt: skip
    assert reads(template, "target") == {"wire_model"}
    assert {"model", "options", "options.seed", "messages.role", "messages.parts.text"} <= writes(template)


def test_the_same_template_is_bound_once(compile_yaml: Callable[..., Any]) -> None:
    first, _ = compile_yaml("t: {a: '${{ body.a }}'}\n", "response_read")
    again, _ = compile_yaml("t: {a: '${{ body.a }}'}\n", "response_read")
    assert first == again
    assert bind_template(first) is bind_template(again)


def test_a_block_used_often_meets_the_limit(compile_yaml: Callable[..., Any]) -> None:
    """Blocks in blocks grow exponentially; the count is of what they become."""
    blocks = {"b0": {"x": 1, "y": 2}} | {f"b{n}": [{"$use": f"b{n - 1}"}] * 8 for n in range(1, 9)}
    template, out = compile_yaml(json.dumps({"blocks": blocks, "t": {"$use": "b8"}}), "response_read")
    assert template is None
    assert [d.code for d in out] == ["E333"]


def test_the_deepest_that_is_let_in_binds(document_of: Callable[..., Any]) -> None:
    """Python has limits of its own, on indentation, blocks and brackets: ours come first."""
    data: Any = "${{ (body.a | default({}))" + ".a" * 30 + " }}"
    for name in "abcdefgh":
        data = {"$for": name, "$in": "body.l", "$when": "body.x", "$do": {"k": data}}
    for _ in range(3):
        data = {"$if": "body.x", "$then": {"$switch": "body.x", "$cases": {"a": data}, "$default": 1}}
    out = Diagnostics()
    document = document_of("t: {}\n")
    template = compile_template(data, document=document, path=("t",), scope="response_read", out=out)
    assert template is not None, list(out)
    assert bind_template(template)({"x": "no"}, {}, 200) == 1
