"""Conversations that nobody thought of, through the formats with blocks: their oracles take them, and what
was said comes back to the letter.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import aws
import orjson
import pytest
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming
from conversations import conversations
from dialect import Shipped
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strict import faults, strict

PARAMS = strict(MessageCreateParamsNonStreaming, "anthropic.types")
CLAUDE = "eu.anthropic.claude-x-v1:0"
JUDGES: dict[str, Callable[[Any], list[str]]] = {
    "anthropic_messages": lambda body: faults(PARAMS, body),
    "bedrock_converse": lambda body: aws.faults("Converse", body, modelId=CLAUDE),
}
DIALECTS: dict[str, Any] = {name: Shipped(name).bound for name in JUDGES}
FACTS = [
    {"api_version": "2026-10-21", "thinking": "adaptive"},
    {"api_version": "2026-10-21", "thinking": "budget", "schema_by": "tool"},
    {"api_version": "2026-10-21", "thinking": "none", "forced_tools": False},
]


def said(messages: Any) -> list[tuple[str, str, str]]:
    """Who said which text, thought and call, in order: neighbours of one role are one turn here."""
    found = []
    for message in messages:
        for part in message["content"]:
            kind = part["type"]
            if kind == "tool_result":
                found += [("tool", "text", inner["text"]) for inner in part["content"]]
            elif kind == "tool_call":
                given = orjson.dumps(orjson.loads(part["arguments"]), option=orjson.OPT_SORT_KEYS)
                found.append((message["role"], part["name"], given.decode()))
            elif kind in {"text", "reasoning"}:
                found.append((message["role"], kind, part["text"] + part.get("signature", "")))
            else:
                found.append((message["role"], kind, part["data"]))
    return found


def written(request: dict[str, Any]) -> dict[str, Any]:
    """The request with the arguments of its calls as text."""
    for message in request["messages"]:
        for part in message["content"]:
            if part["type"] == "tool_call":
                part["arguments"] = orjson.dumps(part.pop("given")).decode()
    return request


@pytest.mark.parametrize("name", JUDGES)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_conversation_is_taken_and_comes_back(name: str, data: st.DataObject) -> None:
    dialect = DIALECTS[name]
    request = written(data.draw(conversations(name)))
    facts = data.draw(st.sampled_from(FACTS))
    target = {"wire_model": CLAUDE, "max_tokens": None}
    adjusted = dialect.operation("chat").adjust(request, facts, target, {}, [])
    body = orjson.loads(orjson.dumps(dialect.write_request("chat", adjusted, facts, target, {})))
    assert JUDGES[name](body) == []
    back = dialect.read_request("chat", body, {})
    told = said(back["messages"])
    if request.get("response_format") == {"type": "json_object"}:
        told = [each for each in told if each[2] != "Answer with one JSON object and nothing else."]
    assert told == said(request["messages"])
