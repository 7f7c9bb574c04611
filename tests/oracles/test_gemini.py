"""gemini against google-genai: its types judge what we send, its client reads what we answer."""

from __future__ import annotations

from typing import Any

import corpus
import httpx
import orjson
import pydantic
import pytest
from dialect import Shipped
from gemini_request import judge
from google import genai
from google.genai import types

from engine.wire.canonical import Event, Reply, Request

GEMINI = Shipped("gemini")
COUNT = Shipped("gemini", "count_tokens")


FACTS = [
    {},
    {"thinking": "budget", "efforts": ("low", "high")},
    {"thinking": "level", "efforts": ("low", "xhigh")},
]


@pytest.mark.parametrize("name", corpus.names())
def test_requests_are_the_sdks(name: str) -> None:
    for facts in FACTS:
        judge(GEMINI.write(corpus.request(name), facts))


@pytest.mark.parametrize(
    "change",
    [
        {"contents": []},
        {"contents": [{"role": "assistant", "parts": [{"text": "hi"}]}]},
        {"contents": [{"role": "user", "parts": [{"type": "text", "text": "hi"}]}]},
        {"contents": [{"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {}}}]}]},
        {"generationConfig": {"maxTokens": 1}},
        {"generationConfig": {"thinkingConfig": {"thinkingLevel": "ULTRA"}}},
        {"max_tokens": 1},
    ],
)
def test_the_oracle_refuses_what_is_wrong(change: dict[str, Any]) -> None:
    good = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
    judge(good)
    with pytest.raises((pydantic.ValidationError, AssertionError, UserWarning)):
        judge({**good, **change})


#: What has no place in this format, and what `kept` looks at apart.
LOST = {"parallel_tool_calls", "logit_bias", "user", "verbosity", "stream", "include_usage", "messages"}


def kept(request: Request) -> Request:
    """What this format keeps of a request: the ledger's fields, and turns as it has them."""
    turns: list[Any] = []
    for message in request["messages"]:
        role = "system" if message["role"] in ("system", "developer") else message["role"]
        if role == "system" and any(turn["role"] != "system" for turn in turns):
            role = "user"
        content = [part for part in map(kept_part, message["content"]) if part]
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += content
        elif content:
            turns.append({"role": role, "content": content})
    found: Any = {name: value for name, value in request.items() if name not in LOST}
    if "tools" in found:
        names = ("name", "description", "parameters", "hosted")
        found["tools"] = [{k: v for k, v in tool.items() if k in names} for tool in found["tools"]]
    elif "tool_choice" in found:
        del found["tool_choice"]
    if "response_format" in found:
        form = found["response_format"]
        found["response_format"] = {key: form[key] for key in ("type", "schema") if key in form}
    if found.get("reasoning") == {"effort": "none"}:
        found["reasoning"] = {"effort": "minimal"}  # the models that take levels always think
    if found.get("service_tier") == "default":
        found["service_tier"] = "standard"
    return {"operation": "chat", **found, "messages": turns, "include_usage": True}


def kept_part(part: Any) -> Any:
    part = {key: value for key, value in part.items() if key not in ("cache", "detail", "filename")}
    match part["type"]:
        case "reasoning" | "native" if part.get("origin") != "gemini":
            return None
        case "refusal":
            return {**part, "type": "text"}
        case "image" if "url" in part:
            return {**part, "media_type": "image/png"}
        case "tool_call" if not part["arguments"].endswith("}"):
            return {**part, "arguments": orjson.dumps({"arguments": part["arguments"]}).decode()}
    return part


def reread(request: Request, body: dict[str, Any]) -> Request:
    """`body` read back, without the names of results and the signatures that say who made a call."""
    found: Any = GEMINI.read({"model": "assistant", **body})
    for message in found["messages"]:
        for part in message["content"]:
            if part.get("signature") == "skip_thought_signature_validator":
                del part["signature"], part["origin"]
            if part["type"] == "tool_result":
                del part["name"]
    return found


@pytest.mark.parametrize("name", corpus.names())
def test_what_is_kept_survives_the_wire(name: str) -> None:
    request = corpus.request(name)
    body = GEMINI.write(request, {"thinking": "level", "efforts": ("minimal", "low", "medium", "high")})
    assert reread(request, body) == kept(request)


# --- answers

TEXT = "Größe: 5 🙂"
REPLY: Reply = {
    "id": "r1",
    "created": 1,
    "model": "gemini-3.8-flash",
    "choices": [
        {
            "index": 0,
            "finish_reason": "tool_calls",
            "message": {
                "role": "assistant",
                "content": [
                    {"type": "reasoning", "text": "hm", "signature": "QUJD", "origin": "gemini"},
                    {"type": "reasoning", "text": "", "redacted": "s3cr3t/+", "origin": "anthropic_messages"},
                    {
                        "type": "text",
                        "text": TEXT,
                        "citations": [{"url": "https://a", "title": "A", "start": 0, "end": 5}],
                    },
                    {
                        "type": "tool_call",
                        "id": "t",
                        "name": "f",
                        "arguments": '{"a":1}',
                        "signature": "x/+==",
                        "origin": "openai_responses",
                    },
                    {"type": "tool_call", "id": "u", "name": "g", "arguments": ""},
                ],
            },
        },
        {
            "index": 1,
            "finish_reason": "length",
            "message": {"role": "assistant", "content": [{"type": "refusal", "text": "no"}]},
        },
    ],
    "usage": {"input_tokens": 5, "cached_tokens": 2, "output_tokens": 7, "reasoning_tokens": 3},
}
EVENTS: list[Event] = [
    {"type": "start", "id": "r1", "model": "gemini-3.8-flash", "created": 1},
    {"type": "reasoning", "text": "hm"},
    {"type": "reasoning", "text": "", "signature": "QUJD", "origin": "gemini"},
    {"type": "text", "text": "Grö"},
    {"type": "text", "text": "ße"},
    {"type": "citation", "citation": {"url": "https://a", "title": "A", "start": 0, "end": 5}},
    {
        "type": "tool_call",
        "index": 0,
        "id": "t",
        "name": "f",
        "signature": "sig",
        "origin": "anthropic_messages",
    },
    {"type": "tool_arguments", "index": 0, "arguments": '{"a"'},
    {"type": "tool_call", "index": 1, "id": "u", "name": "g"},
    {"type": "tool_arguments", "index": 0, "arguments": ":1}"},
    {"type": "finish", "finish_reason": "tool_calls"},
    {"type": "usage", "usage": {"input_tokens": 5, "output_tokens": 7, "reasoning_tokens": 3}},
]


class Wire:
    """Google's client on a wire of ours: it gets `answers`, what it sent is in `sent`."""

    def __init__(self, *answers: bytes, status: int = 200) -> None:
        self.sent: list[dict[str, Any]] = []
        self.urls: list[str] = []
        left = list(answers)

        def handle(request: httpx.Request) -> httpx.Response:
            self.sent.append(orjson.loads(request.content))
            self.urls.append(str(request.url))
            kind = "text/event-stream" if "alt=sse" in str(request.url) else "application/json"
            return httpx.Response(status, headers={"content-type": kind}, content=left.pop(0))

        http = httpx.Client(transport=httpx.MockTransport(handle))
        options = types.HttpOptions(base_url="http://engine", httpx_client=http)
        self.models = genai.Client(api_key="k", http_options=options).models


def test_answers_are_the_sdks() -> None:
    body = GEMINI.answer(REPLY)
    types.GenerateContentResponse.model_validate_json(orjson.dumps(body))
    wire = Wire(orjson.dumps(body))
    found = wire.models.generate_content(model="assistant", contents="hi")
    assert found.candidates
    first, second = found.candidates
    assert first.finish_reason is types.FinishReason.STOP
    assert second.finish_reason is types.FinishReason.MAX_TOKENS
    assert found.text == TEXT
    assert [(call.id, call.name, call.args) for call in found.function_calls or ()] == [
        ("t", "f", {"a": 1}),
        ("u", "g", {}),
    ]
    assert found.usage_metadata
    assert (found.usage_metadata.candidates_token_count, found.usage_metadata.thoughts_token_count) == (4, 3)
    grounding = first.grounding_metadata
    assert grounding
    assert grounding.grounding_supports
    assert grounding.grounding_supports[0].segment
    assert grounding.grounding_supports[0].segment.end_index == len(TEXT[:5].encode())


def test_an_answer_comes_back_through_the_sdk_as_it_was() -> None:
    """Also what other vendors want back unchanged."""
    wire = Wire(orjson.dumps(GEMINI.answer(REPLY)), b"{}")
    first = wire.models.generate_content(model="assistant", contents="hi")
    assert first.candidates
    assert first.candidates[0].content
    wire.models.generate_content(model="assistant", contents=[first.candidates[0].content])
    (message,) = GEMINI.read({"model": "assistant", **wire.sent[1]})["messages"]
    said: Any = REPLY["choices"][0]["message"]["content"]
    assert message["content"] == [
        said[0],
        {"type": "reasoning", "text": "", "redacted": "s3cr3t/+", "origin": "anthropic_messages"},
        {"type": "text", "text": TEXT},
        said[3],
        {**said[4], "arguments": "{}"},
    ]


def test_streams_are_the_sdks() -> None:
    wire = Wire(GEMINI.stream(EVENTS))
    chunks = list(wire.models.generate_content_stream(model="assistant", contents="hi"))
    parts = [
        p
        for c in chunks
        if c.candidates and c.candidates[0].content
        for p in c.candidates[0].content.parts or ()
    ]
    assert "".join(part.text or "" for part in parts if not part.thought) == "Größe"
    assert [(p.function_call.id, p.function_call.args) for p in parts if p.function_call] == [
        ("t", {"a": 1}),
        ("u", {}),
    ]
    last = chunks[-1].usage_metadata
    assert last
    assert last.total_token_count == 12
    found = GEMINI.events(GEMINI.stream(EVENTS))
    assert GEMINI.events(GEMINI.stream(EVENTS), 1) == found
    assert [event["type"] for event in found] == [
        "start", "reasoning", "reasoning", "text", "text", "tool_call", "tool_arguments", "tool_call",
        "tool_arguments", "citation", "finish", "usage",
    ]  # fmt: skip
    assert found[-1]["usage"] == EVENTS[-1]["usage"]
    assert found[9]["citation"] == EVENTS[5]["citation"]


def test_an_error_is_the_sdks() -> None:
    from engine.errors import RequestError

    body = GEMINI.bound.write_error(RequestError("contents is missing", code="missing", param="contents"))
    with pytest.raises(genai.errors.ClientError) as caught:
        Wire(orjson.dumps(body), status=400).models.generate_content(model="m", contents="hi")
    assert (caught.value.code, caught.value.status, caught.value.message) == (
        400,
        "INVALID_ARGUMENT",
        "contents is missing",
    )


def test_what_the_sdk_sends_is_read() -> None:
    """Its own mixture of camelCase and snake_case."""
    wire = Wire(b"{}")
    weather = types.FunctionDeclaration(name="f", description="d", parameters_json_schema={"type": "object"})
    wire.models.generate_content(
        model="assistant",
        contents=[
            types.Content(role="user", parts=[types.Part.from_bytes(data=b"\0\1", mime_type="image/png")]),
            types.Content(
                role="model",
                parts=[types.Part(function_call=types.FunctionCall(name="f", args={"my_key": 1}))],
            ),
            types.Content(
                role="user", parts=[types.Part.from_function_response(name="f", response={"a_b": 1})]
            ),
        ],
        config=types.GenerateContentConfig(
            system_instruction="Be brief.",
            max_output_tokens=5,
            top_k=4,
            tools=[
                types.Tool(function_declarations=[weather]),
                types.Tool(google_search=types.GoogleSearch()),
            ],
            tool_config=types.ToolConfig(
                function_calling_config=types.FunctionCallingConfig(
                    mode=types.FunctionCallingConfigMode.ANY, allowed_function_names=["f"]
                )
            ),
            thinking_config=types.ThinkingConfig(
                thinking_level=types.ThinkingLevel.LOW, include_thoughts=True
            ),
        ),
    )
    request: Any = GEMINI.read({"model": "assistant", **wire.sent[0]})
    call = request["messages"][2]["content"][0]
    assert request == {
        "operation": "chat",
        "model": "assistant",
        "messages": [
            {"role": "system", "content": [{"type": "text", "text": "Be brief."}]},
            {"role": "user", "content": [{"type": "image", "data": "AAE=", "media_type": "image/png"}]},
            {
                "role": "assistant",
                "content": [
                    {"type": "tool_call", "id": call["id"], "name": "f", "arguments": '{"my_key":1}'}
                ],
            },
            {
                "role": "tool",
                "content": [
                    {
                        "type": "tool_result",
                        "id": call["id"],
                        "name": "f",
                        "content": [{"type": "text", "text": '{"a_b":1}'}],
                    }
                ],
            },
        ],
        "tools": [
            {"hosted": {"googleSearch": {}}},
            {"name": "f", "description": "d", "parameters": {"type": "object"}},
        ],
        "tool_choice": {"mode": "named", "name": "f"},
        "max_tokens": 5,
        "top_k": 4,
        "reasoning": {"effort": "low"},
        "include_usage": True,
    }
    judge(GEMINI.write(request))


# --- embeddings and counts


def test_embeddings_are_the_sdks() -> None:
    """What its client sends is read, written for the vendor as it was, and answered so that it reads it."""
    embeddings = Shipped("gemini", "embeddings")
    reply: Any = {"embeddings": [{"index": 0, "vector": [0.5, 1.0]}, {"index": 1, "vector": [0.0, 2.0]}]}
    config = types.EmbedContentConfig(output_dimensionality=2, task_type="RETRIEVAL_QUERY")
    wire = Wire(orjson.dumps(embeddings.answer({**reply, "usage": {"input_tokens": 4}})))
    found = wire.models.embed_content(model="wire-model", contents=["hi", "ho"], config=config)
    assert [each.values for each in found.embeddings or ()] == [[0.5, 1.0], [0.0, 2.0]]
    request: Any = embeddings.read({"model": "assistant", **wire.sent[0]})
    assert request == {
        "operation": "embeddings",
        "model": "assistant",
        "input": [{"text": "hi"}, {"text": "ho"}],
        "dimensions": 2,
        "input_type": "query",
    }
    sent = embeddings.write(request)
    for each in wire.sent[0]["requests"]:
        del each["content"]["role"]  # the SDK's: it means nothing here
    assert sent == wire.sent[0]


@pytest.mark.parametrize("name", corpus.names())
def test_counts_are_of_the_sdks_requests(name: str) -> None:
    body = COUNT.write(corpus.request(name))["generateContentRequest"]
    assert body.pop("model") == "models/wire-model"
    judge(body)


def test_a_count_is_the_sdks() -> None:
    wire = Wire(orjson.dumps(COUNT.answer({"input_tokens": 7})))  # type: ignore[typeddict-unknown-key]  # a count
    assert wire.models.count_tokens(model="m", contents="hi").total_tokens == 7
    found: Any = COUNT.read({"model": "m", **wire.sent[0]})
    assert found["messages"] == [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]
