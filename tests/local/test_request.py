"""Canonical request to worker message: what is kept, refused and dropped."""

from __future__ import annotations

import json
from typing import Any

import pytest
from asking import ask

from engine.local.request import KEPT, REFUSED, Refused, dropped, to_generate
from engine.wire.canonical import Request

WEATHER = {
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}

REFUSALS: list[tuple[str, Any, int, str, str]] = [
    ("no messages", {"messages": []}, 8, "bad_request", "messages"),
    ("no room", ask(), 0, "bad_request", "max_tokens"),
    ("two answers", ask(n=2), 8, "unsupported", "n must be 1"),
    ("logprobs", ask(logprobs=True), 8, "unsupported", "logprobs"),
    ("bias", ask(logit_bias={"5": 1.0}), 8, "unsupported", "logit_bias"),
    ("sound", ask(modalities=["text", "audio"]), 8, "unsupported", "modalities"),
    ("free tool choice", ask(tools=[WEATHER]), 8, "unsupported", "tool_choice"),
    (
        "no such tool",
        ask(tools=[WEATHER], tool_choice={"mode": "named", "name": "x"}),
        8,
        "bad_request",
        "tool",
    ),
    (
        "hosted tool",
        ask(tools=[{"hosted": {}}], tool_choice={"mode": "required"}),
        8,
        "unsupported",
        "hosted",
    ),
    (
        "image",
        {"messages": [{"role": "user", "content": [{"type": "image", "url": "x"}]}]},
        8,
        "unsupported",
        "image",
    ),
    ("surrogate", ask("a\ud800b"), 8, "bad_request", "Unicode"),
    ("cold", ask(temperature=-1), 8, "bad_request", "temperature"),
    ("nucleus", ask(top_p=1.5), 8, "bad_request", "top_p"),
    ("penalty", ask(repetition_penalty=0), 8, "bad_request", "repetition_penalty"),
]


@pytest.mark.parametrize(
    ("request_", "max_tokens", "failure", "words"), [c[1:] for c in REFUSALS], ids=[c[0] for c in REFUSALS]
)
def test_refused(request_: Any, max_tokens: int, failure: str, words: str) -> None:
    with pytest.raises(Refused) as caught:
        to_generate(request_, max_tokens)
    assert caught.value.failure == failure
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("fields", "search"),
    [
        ({}, {"do_sample": False}),
        ({"temperature": 0, "top_p": 0.5}, {"do_sample": False}),
        ({"temperature": 0.7, "top_k": 1}, {"do_sample": False}),
        ({"temperature": 0.7}, {"do_sample": True, "temperature": 0.7, "top_p": 1.0, "top_k": 0}),
        (
            {"temperature": 1, "top_p": 0.9, "top_k": 40, "seed": -1},
            {"do_sample": True, "temperature": 1.0, "top_p": 0.9, "top_k": 40, "random_seed": 2**31 - 1},
        ),
        ({"repetition_penalty": 1.0}, {"do_sample": False, "repetition_penalty": 1.0}),
        ({"repetition_penalty": 1.1}, {"do_sample": False, "repetition_penalty": 1.1}),
    ],
)
def test_search_options(fields: dict[str, Any], search: dict[str, Any]) -> None:
    assert to_generate(ask(**fields), 8)["search"] == search


def test_parts_become_one_string_and_newer_roles_older_ones() -> None:
    said = [{"type": "text", "text": "42"}]
    messages: Any = [
        {"role": "developer", "content": [{"type": "text", "text": word} for word in ("be ", "brief")]},
        {"role": "assistant", "content": [
            {"type": "reasoning", "text": "hm"},
            {"type": "text", "text": "wait"},
            {"type": "tool_call", "id": "c1", "name": "f", "arguments": "{}"},
        ]},
        {"role": "tool", "content": [{"type": "tool_result", "id": "c1", "content": said}]},
    ]  # fmt: skip
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    assert json.loads(to_generate({"messages": messages}, 8)["messages"]) == [
        {"role": "system", "content": "be brief"},
        {"role": "assistant", "content": "wait", "tool_calls": [call]},
        {"role": "tool", "content": "42"},
    ]


def test_schemas_forbid_free_blanks() -> None:
    form = {"type": "json_schema", "schema": {"type": "object"}}
    kind, text = to_generate(ask(response_format=form), 8)["guidance"] or ("", "")
    assert kind == "json_schema"
    assert json.loads(text) == {"type": "object", "x-guidance": {"whitespace_flexible": False}}


def test_tools_that_define_one_name_twice() -> None:
    def tool(name: str, kind: str) -> Any:
        defined = {
            "$defs": {"p": {"type": kind}},
            "type": "object",
            "properties": {"p": {"$ref": "#/$defs/p"}},
        }
        return {"name": name, "parameters": defined}

    request = ask(tools=[tool("a", "string"), tool("b", "string")], tool_choice={"mode": "required"})
    schema = json.loads((to_generate(request, 8)["guidance"] or ("", ""))[1])
    assert schema["$defs"] == {"p": {"type": "string"}}
    assert [one["properties"]["name"]["const"] for one in schema["anyOf"]] == ["a", "b"]
    request["tools"][1] = tool("b", "integer")
    with pytest.raises(Refused, match="differently"):
        to_generate(request, 8)


def test_tool_choice_none_hides_the_tools() -> None:
    assert to_generate(ask(tools=[WEATHER], tool_choice={"mode": "none"}), 8)["tools"] is None


def test_every_canonical_field_is_kept_refused_or_dropped() -> None:
    everything: Any = dict.fromkeys(Request.__annotations__)
    assert everything.keys() >= KEPT | REFUSED
    assert {*dropped(everything)} == everything.keys() - KEPT - REFUSED
    assert dropped(ask(user="me", min_p=0.1)) == ("min_p", "user")
