"""ollama against Ollama's SDK, made strict: its types judge what we send, its client reads what we answer."""

from __future__ import annotations

from typing import Any

import corpus
import httpx
import ollama
import orjson
import pytest
import replies
from dialect import Shipped
from ollama_request import Message, judge
from strict import faults

from engine.errors import RequestError
from engine.wire.canonical import Request
from engine.wire.whole import Collector, events_of

OLLAMA = Shipped("ollama")

#: What this format cannot carry at all.
REFUSED = {"audio", "a pdf", "a file by id", "several answers", "an image by url"}
FACTS: list[dict[str, Any]] = [{}, {"thinking": "effort"}, {"thinking": "none"}]


@pytest.mark.parametrize("name", corpus.names())
def test_requests_are_the_servers(name: str) -> None:
    for facts in FACTS:
        if name in REFUSED:
            with pytest.raises(RequestError):
                OLLAMA.write(corpus.request(name), facts)
            continue
        judge(OLLAMA.write(corpus.request(name), facts))


@pytest.mark.parametrize(
    "change",
    [
        {"messages": [{"role": "developer", "content": "hi"}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]},
        {"messages": [{"role": "user", "content": "hi", "images": ["data:image/png;base64,AAAA"]}]},
        {"options": {"max_tokens": 1}},
        {"options": {"temperature": "hot"}},
        {"max_tokens": 1},
        {"think": "xhigh"},
    ],
)
def test_the_oracle_refuses_what_is_wrong(change: dict[str, Any]) -> None:
    good = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    assert faults(judge, good) == []
    assert faults(judge, {**good, **change}) != []


#: What has no place in this format, and what `kept` looks at apart.
LOST = {"parallel_tool_calls", "logit_bias", "user", "metadata", "service_tier", "verbosity"}
LOST |= {"stream", "include_usage", "messages", "reasoning", "tool_choice"}


def kept(request: Request) -> Request:
    """What this format keeps of a request, and turns as it has them."""
    adjusted = OLLAMA.adjust(request)
    turns: list[Any] = []
    for message in adjusted["messages"]:
        role = "system" if message["role"] == "developer" else message["role"]
        content = [part for part in map(kept_part, message["content"]) if part]
        texts = [part["text"] for part in content if part["type"] == "text"]
        if role != "tool":
            said = ("" if role == "assistant" else "\n").join(texts)
            front = [part for part in content if part["type"] == "reasoning"]
            back = [part for part in content if part["type"] not in ("reasoning", "text")]
            content = [*front, *([{"type": "text", "text": said}] if said else []), *back]
        if turns and role == turns[-1]["role"] == "tool":
            turns[-1]["content"] += content
        elif content:
            turns.append({"role": role, "content": content})
    found: Any = {name: value for name, value in adjusted.items() if name not in LOST}
    choice = adjusted.get("tool_choice", {})
    if "tools" in found:
        empty = {"type": "object", "properties": {}}
        found["tools"] = [
            {"name": t["name"], "parameters": t.get("parameters", empty)}
            | ({"description": t["description"]} if "description" in t else {})
            for t in found["tools"]
            if choice.get("mode") != "named" or t["name"] == choice["name"]
        ]
        if choice.get("mode") == "none":
            del found["tools"]
    if "response_format" in found:
        form = found["response_format"]
        found["response_format"] = {key: form[key] for key in ("type", "schema") if key in form}
    if reasoning := request.get("reasoning"):
        found["reasoning"] = {"effort": "none" if reasoning.get("effort") == "none" else "medium"}
    rest = {"model": "wire-model", "messages": turns, "include_usage": True, "stream": True}
    return {"operation": "chat", **found, **rest}  # type: ignore[typeddict-item]  # checked by the comparison


def kept_part(part: Any) -> Any:
    part = {key: value for key, value in part.items() if key not in ("cache", "detail")}
    match part["type"]:
        case "reasoning" | "native" if "origin" in part:
            return None
        case "refusal":
            return {**part, "type": "text"}
        case "tool_call" if not part["arguments"].endswith("}"):
            return {**part, "arguments": orjson.dumps({"arguments": part["arguments"]}).decode()}
    return part


@pytest.mark.parametrize("name", [name for name in corpus.names() if name not in REFUSED])
def test_what_is_kept_survives_the_wire(name: str) -> None:
    request = corpus.request(name)
    found: Any = OLLAMA.read(OLLAMA.write(request))
    for message in found["messages"]:
        for part in message["content"]:
            if part["type"] == "tool_result":
                part.pop("name", None)
    assert found == kept(request)


# --- answers


class Wire:
    """Ollama's client on a wire of ours: it gets `answer`, what it sent is in `sent`."""

    def __init__(self, answer: bytes, status: int = 200) -> None:
        self.sent: list[dict[str, Any]] = []

        def handle(request: httpx.Request) -> httpx.Response:
            self.sent.append(orjson.loads(request.content))
            return httpx.Response(status, headers={"content-type": "application/x-ndjson"}, content=answer)

        self.client = ollama.Client(host="http://engine", transport=httpx.MockTransport(handle))


FINISHES = {"stop": "stop", "length": "length", "tool_calls": "stop", "content_filter": "stop"}


def told(name: str) -> tuple[str, list[Any], str]:
    """The text, calls and reason of a reply as this format tells them."""
    reply: Any = replies.reply(name)
    parts = reply["choices"][0]["message"]["content"]
    text = "".join(part["text"] for part in parts if part["type"] in ("text", "refusal"))
    calls = [(p["name"], orjson.loads(p["arguments"] or "{}")) for p in parts if p["type"] == "tool_call"]
    return text, calls, FINISHES[reply["choices"][0]["finish_reason"]]


@pytest.mark.parametrize("name", replies.REPLIES)
def test_answers_are_the_sdks(name: str) -> None:
    reply: Any = replies.reply(name)
    body = OLLAMA.answer(reply)
    Message.model_validate(body["message"])
    assert body.keys() - {"message"} <= ollama.ChatResponse.model_fields.keys()
    found = Wire(orjson.dumps(body)).client.chat(model="m", messages=[{"role": "user", "content": "hi"}])
    calls = [(call.function.name, call.function.arguments) for call in found.message.tool_calls or ()]
    assert (found.message.content, calls, found.done_reason) == told(name)
    assert (found.prompt_eval_count, found.eval_count, found.created_at) == (9, 5, "2023-11-14T22:13:20Z")


@pytest.mark.parametrize("name", replies.REPLIES)
def test_streams_are_the_sdks(name: str) -> None:
    reply: Any = replies.reply(name)
    data = OLLAMA.stream(events_of(reply))
    for line in data.splitlines():
        body = orjson.loads(line)
        Message.model_validate(body["message"])
        assert body.keys() - {"message"} <= ollama.ChatResponse.model_fields.keys()
    messages = [{"role": "user", "content": "hi"}]
    seen = list(Wire(data).client.chat(model="m", messages=messages, stream=True))
    calls = [(c.function.name, c.function.arguments) for each in seen for c in each.message.tool_calls or ()]
    assert ("".join(each.message.content or "" for each in seen), calls, seen[-1].done_reason) == told(name)
    assert [each.done for each in seen] == [False] * (len(seen) - 1) + [True]
    found = OLLAMA.events(data)
    assert OLLAMA.events(data, 1) == found
    collector = Collector()
    collector.add(found)
    again = OLLAMA.answer(collector.reply(1700000000))
    assert again == OLLAMA.answer(reply)


def test_an_error_is_the_sdks() -> None:
    body = OLLAMA.bound.write_error(RequestError("messages is missing", code="missing", param="messages"))
    with pytest.raises(ollama.ResponseError) as caught:
        Wire(orjson.dumps(body), status=400).client.chat(model="m", messages=[])
    assert (caught.value.status_code, caught.value.error) == (400, "messages is missing")


def test_what_the_sdk_sends_is_read() -> None:
    def weather(city: str) -> str:
        """The weather.

        Args:
            city: where
        """
        return city

    wire = Wire(orjson.dumps(OLLAMA.answer(replies.reply("text"))))  # type: ignore[arg-type]  # a plain dict
    wire.client.chat(
        model="llama3.2",
        messages=[
            {"role": "user", "content": "hi", "images": [b"\x89PNG\r\n\x1a\n"]},
            {
                "role": "assistant",
                "tool_calls": [{"function": {"name": "weather", "arguments": {"city": "Rome"}}}],
            },
            {"role": "tool", "content": "sunny", "tool_name": "weather"},
        ],
        tools=[weather],
        options={"num_predict": 5},
        think=True,
    )
    found: Any = OLLAMA.read(wire.sent[0])
    call = found["messages"][1]["content"][0]
    assert found["messages"][0]["content"][1] == {
        "type": "image",
        "data": "iVBORw0KGgo=",
        "media_type": "image/png",
    }
    assert (call["name"], call["arguments"]) == ("weather", '{"city":"Rome"}')
    assert found["messages"][2]["content"][0]["id"] == call["id"]
    assert found["tools"][0]["name"] == "weather"
    assert (found["max_tokens"], found["reasoning"], found["stream"]) == (5, {"effort": "medium"}, False)


def test_embeddings_are_the_sdks() -> None:
    embeddings = Shipped("ollama", "embeddings")
    reply: Any = {"embeddings": [{"index": 0, "vector": [0.5, 1.0]}], "usage": {"input_tokens": 4}}
    wire = Wire(orjson.dumps(embeddings.answer(reply)))
    found = wire.client.embed(model="wire-model", input=["hi"], dimensions=2, truncate=False)
    assert (found.embeddings, found.prompt_eval_count) == ([[0.5, 1.0]], 4)
    assert embeddings.write(embeddings.read(wire.sent[0])) == wire.sent[0]
