"""A fault inside a scalar is shown at its own line and column, in every style that YAML has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from engine.compiler.expr import Place, compile_expression
from engine.diagnostics import Diagnostics

#: Each holds the unknown name BAD once; the place of that word in the file is where the fault must be shown.
FILES = {
    "plain": "when: request.stream and BAD\n",
    "plain, indented": "a:\n  - when:    request.stream and BAD   # why\n",
    "plain over lines": "when: request.stream\n  and\n  BAD\n",
    "plain over lines with a gap": "when: request.stream\n\n  and BAD\n",
    "single quotes": "when: 'request.stream and BAD'\n",
    "single quotes doubled": "when: 'key.org == ''acme'' and BAD'\n",
    "single quotes over lines": "when: 'request.stream\n  and BAD'\n",
    "double quotes": 'when: "request.stream and BAD"\n',
    "double quotes escaped": 'when: "key.org == \\"acme\\" and BAD"\n',
    "double quotes with codes": "when: \"key.org == '\\u00e9\\x41' and BAD\"\n",
    "double quotes over lines": 'when: "request.stream \\\n   and BAD"\n',
    "literal block": "when: |\n  request.stream\n  and BAD\n",
    "literal block, stripped": "when: |-\n    request.stream\n    and BAD\n",
    "folded block": "when: >\n  request.stream\n  and BAD\n",
    "folded block, stripped": "when: >-\n  request.stream\n  and BAD\n",
    "flow map": "{a: {when: request.stream and BAD}}\n",
    "flow list": "[{when: request.stream and BAD}]\n",
    "after other letters": "when: 'key.org == \"äöü😀\" and BAD'\n",
    "windows lines": "a: 1\r\nwhen: request.stream and BAD\r\n",
}


def paths(data: Any, at: tuple[Any, ...] = ()) -> Any:
    if isinstance(data, dict | list):
        for key, value in data.items() if isinstance(data, dict) else enumerate(data):
            if key == "when":
                return (*at, key), value
            found = paths(value, (*at, key))
            if found:
                return found
    return None


@pytest.mark.parametrize("text", FILES.values(), ids=FILES)
def test_the_place_of_a_fault(text: str, document_of: Callable[..., Any]) -> None:
    document = document_of(text, "case" if text.startswith("[") else "dialect")
    path, value = paths(document.data)
    out = Diagnostics()
    assert compile_expression(value, place=Place(document, path), scope="route", out=out) is None
    (found,) = out
    assert found.code == "E301"
    before, _, _ = text.partition("BAD")
    lines = before.replace("\r\n", "\n").split("\n")
    assert found.span is not None
    assert (found.span.line, found.span.column) == (len(lines), len(lines[-1]) + 1)
    assert (found.span.end_line, found.span.end_column) == (len(lines), len(lines[-1]) + 4)


def test_text_that_yaml_cut(document_of: Callable[..., Any]) -> None:
    document = document_of("- when: key.tags.tier == #gold\n  use: gpt\n", "case")
    out = Diagnostics()
    place = Place(document, (0, "when"))
    assert compile_expression(document.data[0]["when"], place=place, scope="route", out=out) is None
    (found,) = out
    assert found.code == "E321"
    assert found.help == "put it in quotes:  - when: 'key.tags.tier == #gold'"


def test_a_comment_behind_a_whole_expression_is_only_a_comment(document_of: Callable[..., Any]) -> None:
    document = document_of("when: request.stream # for chats\n")
    out = Diagnostics()
    assert compile_expression(document.data["when"], place=Place(document, ("when",)), scope="route", out=out)
    assert len(out) == 0


@pytest.mark.parametrize(
    ("value", "code"), [(True, None), (5, "E318"), (None, "E300"), ([1], "E300"), ({}, "E300")]
)
def test_what_is_no_text(value: Any, code: str | None, document_of: Callable[..., Any]) -> None:
    document = document_of("when: x\n")
    out = Diagnostics()
    expr = compile_expression(value, place=Place(document, ("when",)), scope="route", out=out)
    assert [d.code for d in out] == ([code] if code else [])
    assert (expr is None) == (code is not None)
