"""cohere_v2 against Cohere's SDK: its types judge what we send, its client reads what we answer."""

from __future__ import annotations

from typing import Any

import cohere
import corpus
import httpx
import orjson
import pytest
import replies
from cohere.core.api_error import ApiError
from cohere.v2.types import v2chat_stream_response
from cohere_request import judge
from dialect import Shipped
from strict import faults, strict_model

from engine.errors import RequestError
from engine.wire.canonical import Request
from engine.wire.whole import Collector, events_of

COHERE = Shipped("cohere_v2")

#: What this format cannot carry at all.
REFUSED = {"audio", "a pdf", "a file by id", "an image in a tool result", "several answers"}
FACTS: list[dict[str, Any]] = [{}, {"thinking": "none"}]


@pytest.mark.parametrize("name", corpus.names())
def test_requests_are_the_sdks(name: str) -> None:
    for facts in FACTS:
        if name in REFUSED:
            with pytest.raises(RequestError):
                COHERE.write(corpus.request(name), facts)
            continue
        body = COHERE.write(corpus.request(name), facts)
        judge(body)
        asked: set[str] = set()
        for message in body["messages"]:
            assert message["role"] in ("system", "user", "assistant", "tool")
            assert message.get("content") or message.get("tool_calls") or message["role"] in ("tool", "user")
            asked |= {call["id"] for call in message.get("tool_calls") or ()}
            assert message["role"] != "tool" or message["tool_call_id"] in asked


@pytest.mark.parametrize(
    "change",
    [
        {"messages": []},
        {"messages": [{"role": "developer", "content": "hi"}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "hi", "cache": {}}]}]},
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        {"tool_choice": "auto"},
        {"top_p": 1},
        {"temperature": "hot"},
        {"thinking": {"type": "adaptive"}},
    ],
)
def test_the_oracle_refuses_what_is_wrong(change: dict[str, Any]) -> None:
    good = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    assert faults(judge, good) == []
    assert faults(judge, {**good, **change}) != []


#: What has no place in this format, and what `kept` looks at apart.
LOST = {"parallel_tool_calls", "top_logprobs", "logit_bias", "user", "metadata", "service_tier", "verbosity"}
LOST |= {"stream", "include_usage", "messages", "reasoning"}


def kept(request: Request) -> Request:
    """What this format keeps of a request: the ledger's fields, and turns as it has them."""
    turns: list[Any] = []
    for message in COHERE.adjust(request)["messages"]:
        role = "system" if message["role"] == "developer" else message["role"]
        content = [part for part in map(kept_part, message["content"]) if part]
        if content:
            turns.append({"role": role, "content": content})
    found: Any = {name: value for name, value in COHERE.adjust(request).items() if name not in LOST}
    if "tools" in found:
        choice = found.get("tool_choice", {})
        named = [t for t in found["tools"] if choice.get("mode") != "named" or t["name"] == choice["name"]]
        strict = any(tool.get("strict") for tool in named)
        empty = {"type": "object", "properties": {}}
        found["tools"] = [
            {"name": t["name"], "parameters": t.get("parameters", empty)}
            | ({"description": t["description"]} if "description" in t else {})
            | ({"strict": True} if strict else {})
            for t in named
        ]
        if choice.get("mode") == "named":
            found["tool_choice"] = {"mode": "required"}
        elif choice.get("mode") == "auto":
            del found["tool_choice"]
    if "response_format" in found:
        form = found["response_format"]
        found["response_format"] = {key: form[key] for key in ("type", "schema") if key in form}
    effort = request.get("reasoning", {}).get("effort")
    budget = request.get("reasoning", {}).get("budget")
    budget = budget or {"minimal": 512, "low": 1024, "medium": 4096}.get(effort or "")
    if effort == "none" or budget:
        found["reasoning"] = {"effort": "none"} if effort == "none" else {"budget": budget}
    return {"operation": "chat", **found, "model": "wire-model", "messages": turns, "include_usage": True}


def kept_part(part: Any) -> Any:
    part = {key: value for key, value in part.items() if key != "cache"}
    match part["type"]:
        case "reasoning" | "native" if part.get("origin") != "cohere_v2":
            return None
        case "refusal":
            return {**part, "type": "text"}
    return part


@pytest.mark.parametrize("name", [name for name in corpus.names() if name not in REFUSED])
def test_what_is_kept_survives_the_wire(name: str) -> None:
    request = corpus.request(name)
    assert COHERE.read(COHERE.write(request)) == kept(request)


def test_plan_and_thinking_go_back_as_what_they_were() -> None:
    content = [
        {"type": "reasoning", "text": "I will look.", "signature": "tool_plan", "origin": "cohere_v2"},
        {"type": "reasoning", "text": "hm", "signature": "thinking", "origin": "cohere_v2"},
        {"type": "tool_call", "id": "c", "name": "f", "arguments": "{}"},
    ]
    user = {"role": "user", "content": [{"type": "text", "text": "hi"}]}
    messages = [user, {"role": "assistant", "content": content}]
    request: Any = {"operation": "chat", "model": "m", "messages": messages}
    body = COHERE.write(request)
    judge(body)
    assert body["messages"][1]["tool_plan"] == "I will look."
    assert body["messages"][1]["content"] == [{"type": "thinking", "thinking": "hm"}]
    assert COHERE.read(body)["messages"] == request["messages"]


# --- answers


class Wire:
    """Cohere's client on a wire of ours: it gets `answer`, what it sent is in `sent`."""

    def __init__(self, answer: bytes, kind: str = "application/json", status: int = 200) -> None:
        self.sent: list[dict[str, Any]] = []

        def handle(request: httpx.Request) -> httpx.Response:
            self.sent.append(orjson.loads(request.content))
            return httpx.Response(status, headers={"content-type": kind}, content=answer)

        http = httpx.Client(transport=httpx.MockTransport(handle))
        self.client = cohere.ClientV2(api_key="k", base_url="http://engine", httpx_client=http)


HI = [cohere.UserChatMessageV2(content="hi")]
EVENTS = {
    each.model_fields["type"].default: each
    for each in vars(v2chat_stream_response).values()
    if isinstance(each, type) and "type" in getattr(each, "model_fields", ())
}
FINISHES = {
    "stop": "COMPLETE",
    "length": "MAX_TOKENS",
    "tool_calls": "TOOL_CALL",
    "content_filter": "COMPLETE",
}


@pytest.mark.parametrize("name", replies.REPLIES)
def test_answers_are_the_sdks(name: str) -> None:
    reply: Any = replies.reply(name)
    body = COHERE.answer(reply)
    strict_model(cohere.V2ChatResponse)(body)
    found = Wire(orjson.dumps(body)).client.chat(model="m", messages=HI)
    parts = reply["choices"][0]["message"]["content"]
    assert found.finish_reason == FINISHES[reply["choices"][0]["finish_reason"]]
    said = "".join(c.text for c in found.message.content or () if c.type == "text")
    assert said == "".join(part["text"] for part in parts if part["type"] in ("text", "refusal"))
    calls = [(call.id, call.function and call.function.name) for call in found.message.tool_calls or ()]
    assert calls == [(part["id"], part["name"]) for part in parts if part["type"] == "tool_call"]
    assert found.usage
    assert found.usage.tokens
    assert (found.usage.tokens.input_tokens, found.usage.cached_tokens) == (9, 4)


@pytest.mark.parametrize("name", replies.REPLIES)
def test_streams_are_the_sdks(name: str) -> None:
    reply: Any = replies.reply(name)
    events = events_of(reply)
    data = COHERE.stream(events)
    seen: list[Any] = []
    for line in data.splitlines():
        if line.startswith(b"data: "):
            event = orjson.loads(line[6:])
            strict_model(EVENTS[event["type"]])(event)
    for event in Wire(data, "text/event-stream").client.chat_stream(model="m", messages=HI):
        seen.append(event)
    assert seen[0].type == "message-start"
    assert seen[-1].type == "message-end"
    assert seen[-1].delta.finish_reason == FINISHES[reply["choices"][0]["finish_reason"]]
    for kind in ("content", "tool-call", "citation"):
        starts = [event.index for event in seen if event.type == f"{kind}-start"]
        assert starts == list(range(len(starts)))
        assert starts == [event.index for event in seen if event.type == f"{kind}-end"]
    found = COHERE.events(data)
    assert COHERE.events(data, 1) == found
    assert collected(found) == collected(events)


def collected(events: Any) -> Any:
    """The reply of these events, as this format can tell it: one text, no signatures, citations in it."""
    collector = Collector()
    collector.add(events)
    found: Any = collector.reply(1)
    content = found["choices"][0]["message"]["content"] if found["choices"] else []
    return {
        "text": "".join(part["text"] for part in content if part["type"] in ("text", "refusal")),
        "thought": "".join(part.get("text", "") for part in content if part["type"] == "reasoning"),
        "calls": [
            (part["id"], part["name"], part["arguments"]) for part in content if part["type"] == "tool_call"
        ],
        "cited": [
            {key: cite[key] for key in ("url", "title", "start", "end")}
            for part in content
            for cite in part.get("citations", ())
        ],
        "finish": found["choices"][0]["finish_reason"].replace("content_filter", "stop"),
        "usage": {k: v for k, v in found["usage"].items() if k != "reasoning_tokens"},
    }


def test_an_error_is_the_sdks() -> None:
    body = COHERE.bound.write_error(RequestError("messages is missing", code="missing", param="messages"))
    with pytest.raises(ApiError) as caught:
        Wire(orjson.dumps(body), status=400).client.chat(model="m", messages=HI)
    assert caught.value.status_code == 400
    assert caught.value.body["message"] == "messages is missing"


def test_what_the_sdk_sends_is_read() -> None:
    wire = Wire(orjson.dumps(COHERE.answer(replies.reply("text"))))  # type: ignore[arg-type]  # a plain dict
    wire.client.chat(
        model="command-a",
        messages=[
            cohere.SystemChatMessageV2(content="Be brief."),
            cohere.UserChatMessageV2(content=[cohere.TextContent(text="hi")]),
        ],
        tools=[cohere.ToolV2(function=cohere.ToolV2Function(name="f", parameters={"type": "object"}))],
        tool_choice="REQUIRED",
        p=0.5,
        thinking=cohere.Thinking(type="enabled", token_budget=5),
    )
    assert COHERE.read(wire.sent[0]) == {
        "operation": "chat",
        "model": "command-a",
        "messages": [
            {"role": "system", "content": [{"type": "text", "text": "Be brief."}]},
            {"role": "user", "content": [{"type": "text", "text": "hi"}]},
        ],
        "tools": [{"name": "f", "parameters": {"type": "object"}}],
        "tool_choice": {"mode": "required"},
        "top_p": 0.5,
        "reasoning": {"budget": 5},
        "stream": False,
        "include_usage": True,
    }


# --- embeddings and rankings


@pytest.mark.parametrize("kind", ["float", "int8", "base64"])
def test_embeddings_are_the_sdks(kind: str) -> None:
    """What its client sends is read, written for the vendor as it was, and answered so that it reads it."""
    embeddings = Shipped("cohere_v2", "embeddings")
    reply: Any = {"embeddings": [{"index": 0, "vector": [1, 2]}, {"index": 1, "vector": [0, 3]}], "usage": {}}
    request: Any = {"input": [{"text": "hi"}, {"text": "ho"}]}
    request |= {"encoding_format": "base64"} if kind == "base64" else {}
    request |= {"number_type": "int8"} if kind == "int8" else {}
    body = embeddings.answer(reply, request)
    strict_model(cohere.EmbedByTypeResponse)(body)
    wire = Wire(orjson.dumps(body))
    found = wire.client.embed(
        model="wire-model",
        texts=["hi", "ho"],
        input_type="search_query",
        embedding_types=[kind],
        truncate="END",
    )
    vectors = {
        "float": found.embeddings.float_,
        "int8": found.embeddings.int8,
        "base64": found.embeddings.base64,
    }
    assert vectors[kind] == (["AACAPwAAAEA=", "AAAAAAAAQEA="] if kind == "base64" else [[1, 2], [0, 3]])
    read = embeddings.read(wire.sent[0])
    assert embeddings.write(read) == wire.sent[0]


def test_rankings_are_the_sdks() -> None:
    rerank = Shipped("cohere_v2", "rerank")
    reply: Any = {"id": "r", "results": [{"index": 1, "score": 0.9}, {"index": 0, "score": 0.5}], "usage": {}}
    body = rerank.answer(reply)
    strict_model(cohere.V2RerankResponse)(body)
    wire = Wire(orjson.dumps(body))
    found = wire.client.rerank(model="wire-model", query="q", documents=["a", "b"], top_n=2)
    assert [(each.index, each.relevance_score) for each in found.results] == [(1, 0.9), (0, 0.5)]
    assert rerank.write(rerank.read(wire.sent[0])) == wire.sent[0]
