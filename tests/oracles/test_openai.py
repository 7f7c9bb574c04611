"""The OpenAI dialects against the openai SDK: its request types made strict, its models, its client."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import corpus
import httpx2
import openai
import orjson
import pytest
from openai.types.responses import Response, ResponseStreamEvent, response_create_params
from replies import REPLIES, reply
from strict import faults, strict, strict_model

from engine.compiler.samples import difference
from engine.wire.dialect import BoundDialect
from engine.wire.sse import SseDecoder
from engine.wire.whole import Collector, events_of

_spec = importlib.util.spec_from_file_location("dialects", Path(__file__).parents[1] / "wire" / "dialects.py")
assert _spec is not None
assert _spec.loader is not None
if "dialects" not in sys.modules:
    sys.modules["dialects"] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules["dialects"])
dialects: Any = sys.modules["dialects"]


def dialect(name: str) -> BoundDialect:
    return BoundDialect(dialects.shipped_dialect(name))


RESPONSES = dialect("openai_responses")
REQUEST = strict(response_create_params.ResponseCreateParamsNonStreaming, "openai.types")
ANSWER = strict_model(Response)
EVENT = strict_model(ResponseStreamEvent)


def write(bound: BoundDialect, request: Any) -> dict[str, Any]:
    return bound.write_request("chat", request, {}, {"wire_model": "gpt-6-luna"}, {"drop": []})


@pytest.mark.parametrize("name", corpus.names())
def test_responses_requests(name: str) -> None:
    body = write(RESPONSES, corpus.request(name))
    if name == "audio":  # the SDK has a type for it, `ResponseInputAudioParam`, and forgets it in the union
        body["input"][0]["content"] = [p for p in body["input"][0]["content"] if p["type"] != "input_audio"]
    assert faults(REQUEST, body) == []


def stream(bound: BoundDialect, reply: Any, request: Any, error: Any = None) -> bytes:
    writer = bound.stream_writer("chat", request)
    data = b"".join(writer.events([event]) for event in events_of(reply))
    return data + writer.end()


def data_of(wire: bytes) -> list[Any]:
    return [orjson.loads(frame.data) for frame in SseDecoder().feed(wire) if frame.data != b"[DONE]"]


def client(wire: bytes, content_type: str = "text/event-stream", status: int = 200) -> openai.OpenAI:
    def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, content=wire, headers={"content-type": content_type})

    http = httpx2.Client(transport=httpx2.MockTransport(answer))
    return openai.OpenAI(api_key="k", base_url="http://engine.test/v1", http_client=http, max_retries=0)


ASK: dict[str, Any] = {"model": "assistant", "include_usage": True}


@pytest.mark.parametrize("name", REPLIES)
def test_responses_answers(name: str) -> None:
    body = RESPONSES.write_response("chat", reply(name), ASK)
    assert faults(ANSWER, without_extra_content(body)) == []


@pytest.mark.parametrize("name", REPLIES)
def test_responses_streams(name: str) -> None:
    wire = stream(RESPONSES, reply(name), ASK)
    events = data_of(wire)
    for event in events:
        assert faults(EVENT, without_extra_content(event)) == [], event
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    whole = RESPONSES.write_response("chat", reply(name), ASK)
    last = events[-1]["response"]
    assert [without_id(item) for item in last["output"]] == [without_id(item) for item in whole["output"]]
    assert {**last, "output": [], "id": ""} == {**whole, "output": [], "id": ""}


@pytest.mark.parametrize("name", REPLIES)
def test_the_sdk_follows_responses_streams(name: str) -> None:
    wire = stream(RESPONSES, reply(name), ASK)
    with client(wire).responses.stream(model="m", input="hi") as found:
        types = [event.type for event in found]
        if types[-1] == "response.completed":
            final = found.get_final_response()
            assert final.output_text == "".join(p["text"] for p in parts(name) if p["type"] == "text")
            calls = [item for item in final.output if item.type == "function_call"]
            assert [(c.call_id, c.name, c.arguments) for c in calls] == [
                (p["id"], p["name"], p["arguments"]) for p in parts(name) if p["type"] == "tool_call"
            ]
            assert final.usage is not None
            assert final.usage.input_tokens_details.cached_tokens == 4
    assert types[:2] == ["response.created", "response.in_progress"]
    raw = client(wire).responses.create(model="m", input="hi", stream=True)
    assert [event.type for event in raw] == [event["type"] for event in data_of(wire)]


@pytest.mark.parametrize("name", REPLIES)
def test_responses_answers_come_back(name: str) -> None:
    found = RESPONSES.read_response("chat", RESPONSES.write_response("chat", reply(name), ASK), {})
    assert difference(told(name), found) is None
    assert found["choices"][0]["message"]["content"] == [] or parts(name)


@pytest.mark.parametrize("name", REPLIES)
def test_responses_streams_come_back(name: str) -> None:
    wire = stream(RESPONSES, reply(name), ASK)
    whole = read_stream(RESPONSES, [wire])
    assert read_stream(RESPONSES, [wire[i : i + 1] for i in range(len(wire))]) == whole
    collector = Collector()
    collector.add(whole)
    assert difference(told(name), collector.reply(created=0)) is None


def read_stream(bound: BoundDialect, pieces: list[bytes]) -> list[Any]:
    reader = bound.stream_reader("chat")
    return [event for piece in pieces for event in reader.feed(piece)] + list(reader.eof())


def told(name: str) -> dict[str, Any]:
    """What an answer says beside its id: the format has ids of its own kind."""
    return {key: value for key, value in reply(name).items() if key != "id"}


def parts(name: str) -> list[dict[str, Any]]:
    return REPLIES[name][0]


def without_id(item: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in item.items() if key != "id"}


def without_extra_content(value: Any) -> Any:
    """Without our own member, which OpenAI's clients keep and its types do not name."""
    if isinstance(value, dict):
        return {k: without_extra_content(v) for k, v in value.items() if k != "extra_content"}
    return [without_extra_content(item) for item in value] if isinstance(value, list) else value
