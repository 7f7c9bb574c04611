"""The OpenAI dialects against the openai SDK: its request types made strict, its models, its client."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import corpus
import httpx2
import openai
import orjson
import pytest
from openai.types import Completion, completion_create_params
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.chat import completion_create_params as chat_params
from openai.types.responses import Response, ResponseStreamEvent, response_create_params
from replies import REPLIES, reply
from strict import faults, strict, strict_model

from engine.compiler.samples import difference
from engine.errors import RequestError
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

NAMES = ("openai_chat", "openai_responses", "openai_completions")
BOUND = {name: BoundDialect(dialects.shipped_dialect(name)) for name in NAMES}
REQUEST = {
    "openai_chat": strict(chat_params.CompletionCreateParamsNonStreaming, "openai.types"),
    "openai_responses": strict(response_create_params.ResponseCreateParamsNonStreaming, "openai.types"),
    "openai_completions": strict(completion_create_params.CompletionCreateParamsNonStreaming, "openai.types"),
}
ANSWER = {
    "openai_chat": strict_model(ChatCompletion),
    "openai_responses": strict_model(Response),
    "openai_completions": strict_model(Completion),
}
EVENT = {
    "openai_chat": strict_model(ChatCompletionChunk),
    "openai_responses": strict_model(ResponseStreamEvent),
    "openai_completions": strict_model(Completion),
}
#: What compatible servers know and OpenAI's types do not: OpenAI's provider file drops it.
COMPATIBLE = ("top_k", "min_p", "repetition_penalty")
#: Our own members of answers, and those of other vendors: the SDK keeps them and its types do not name them.
BESIDE = ("extra_content", "reasoning_content", "reasoning_details")
#: What OpenAI's own chunks have, and its types of them do not.
UNNAMED = {"openai_chat": ("annotations",)}
ASK: dict[str, Any] = {"model": "assistant", "include_usage": True}
TWO_WAYS = [(name, each) for name in NAMES[:2] for each in REPLIES]


PROVIDER: dict[str, Any] = {"drop": ["reasoning_content", "reasoning_details"], "takes": []}
#: What a format says it cannot carry. The old Completions carry hardly anything.
REFUSED = {"openai_chat": {"an image in a tool result"}, "openai_responses": {"several answers"}}


def write(name: str, request: Any) -> dict[str, Any]:
    body = BOUND[name].write_request("chat", request, {}, {"wire_model": "gpt-6-luna"}, PROVIDER)
    return {key: value for key, value in body.items() if key not in COMPATIBLE}


def refused(name: str, request: Any) -> bool:
    try:
        BOUND[name].operation("chat").adjust(request, {}, {}, PROVIDER, [])
    except RequestError as error:
        return error.code == "unsupported"
    return False


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("case", corpus.names())
def test_requests(name: str, case: str) -> None:
    request = corpus.request(case)
    if refused(name, request):
        assert case in REFUSED.get(name, {case})
        return
    body = write(name, request)
    if case == "audio" and name == "openai_responses":
        # The SDK has a type for it, `ResponseInputAudioParam`, and forgets it in the union.
        body["input"][0]["content"] = [p for p in body["input"][0]["content"] if p["type"] != "input_audio"]
    assert faults(REQUEST[name], body) == []


@pytest.mark.parametrize(("name", "case"), [*TWO_WAYS, ("openai_completions", "text")])
def test_answers(name: str, case: str) -> None:
    body = BOUND[name].write_response("chat", reply(case), ASK)
    assert faults(ANSWER[name], named(body)) == []


@pytest.mark.parametrize(("name", "case"), [*TWO_WAYS, ("openai_completions", "text")])
def test_streams(name: str, case: str) -> None:
    for event in data_of(stream(name, reply(case))):
        if name == "openai_completions":  # the SDK types a chunk as an answer, which has ended
            for choice in event["choices"]:
                choice["finish_reason"] = choice["finish_reason"] or "stop"
        assert faults(EVENT[name], named(event, *UNNAMED.get(name, ()))) == [], event


@pytest.mark.parametrize(("name", "case"), TWO_WAYS)
def test_answers_come_back(name: str, case: str) -> None:
    found = BOUND[name].read_response("chat", BOUND[name].write_response("chat", reply(case), ASK), {})
    assert difference(told(name, case), found) is None


@pytest.mark.parametrize(("name", "case"), [*TWO_WAYS, ("openai_completions", "text")])
def test_streams_come_back_however_they_are_cut(name: str, case: str) -> None:
    wire = stream(name, reply(case))
    whole = read_stream(name, [wire])
    assert read_stream(name, [wire[i : i + 1] for i in range(len(wire))]) == whole
    collector = Collector()
    collector.add(whole)
    assert difference(told(name, case, in_order=True), collector.reply(created=0)) is None


@pytest.mark.parametrize("case", REPLIES)
def test_a_response_stream_ends_with_what_it_said(case: str) -> None:
    events = data_of(stream("openai_responses", reply(case)))
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    whole = BOUND["openai_responses"].write_response("chat", reply(case), ASK)
    last = events[-1]["response"]
    assert [without_id(item) for item in last["output"]] == [without_id(item) for item in whole["output"]]
    assert {**last, "output": [], "id": ""} == {**whole, "output": [], "id": ""}


@pytest.mark.parametrize("case", REPLIES)
def test_the_sdk_follows_response_streams(case: str) -> None:
    wire = stream("openai_responses", reply(case))
    with client(wire).responses.stream(model="m", input="hi") as found:
        types = [event.type for event in found]
        if types[-1] == "response.completed":
            final = found.get_final_response()
            assert final.output_text == text_of(case)
            calls = [item for item in final.output if item.type == "function_call"]
            assert [(c.call_id, c.name, c.arguments) for c in calls] == calls_of(case)
            assert final.usage is not None
            assert final.usage.input_tokens_details.cached_tokens == 4
    assert types[:2] == ["response.created", "response.in_progress"]
    raw = client(wire).responses.create(model="m", input="hi", stream=True)
    assert [event.type for event in raw] == [event["type"] for event in data_of(wire)]


@pytest.mark.parametrize("case", [case for case in REPLIES if REPLIES[case][1] in ("stop", "tool_calls")])
def test_the_sdk_follows_chat_streams(case: str) -> None:
    wire = stream("openai_chat", reply(case))
    with client(wire).chat.completions.stream(model="m", messages=[]) as found:
        final = found.get_final_completion()
    message = final.choices[0].message
    assert (message.content or "") == text_of(case)
    assert [(c.id, c.function.name, c.function.arguments) for c in message.tool_calls or ()] == calls_of(case)
    assert final.usage is not None
    assert final.usage.total_tokens == 14
    raw = client(wire).chat.completions.create(model="m", messages=[], stream=True)
    assert [chunk.model_dump(exclude_unset=True) for chunk in raw] == data_of(wire)


def test_the_sdk_follows_completions() -> None:
    wire = stream("openai_completions", reply("text"))
    chunks = list(client(wire).completions.create(model="m", prompt="hi", stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks if chunk.choices) == text_of("text")
    assert chunks[-1].usage is not None
    body = BOUND["openai_completions"].write_response("chat", reply("text"), ASK)
    whole = client(orjson.dumps(body), "application/json").completions.create(model="m", prompt="hi")
    assert whole.choices[0].text == text_of("text")


@pytest.mark.parametrize("name", NAMES)
def test_the_sdk_raises_a_stream_that_fails(name: str) -> None:
    writer = BOUND[name].stream_writer("chat", ASK)
    error = {"failure": "overloaded", "message": "Too busy", "code": "overloaded", "type": "server_error"}
    begun = writer.events(events_of(reply("text"))[:2])
    failed = writer.failure({"type": "error", "error": error})
    if name == "openai_responses":
        event = data_of(failed)[0]
        assert faults(EVENT[name], {k: v for k, v in event.items() if k != "error"}) == []
        found: Iterable[Any] = client(begun + failed).responses.create(model="m", input="hi", stream=True)
    elif name == "openai_chat":
        found = client(begun + failed).chat.completions.create(model="m", messages=[], stream=True)
    else:
        found = client(begun + failed).completions.create(model="m", prompt="hi", stream=True)
    with pytest.raises(openai.APIError, match="Too busy"):
        list(found)


def stream(name: str, answer: Any) -> bytes:
    writer = BOUND[name].stream_writer("chat", ASK)
    return b"".join([writer.events([event]) for event in events_of(answer)]) + writer.end()


def read_stream(name: str, pieces: list[bytes]) -> list[Any]:
    reader = BOUND[name].stream_reader("chat")
    return [event for piece in pieces for event in reader.feed(piece)] + list(reader.eof())


def data_of(wire: bytes) -> list[Any]:
    frames = SseDecoder().feed(wire)
    return [orjson.loads(frame.data) for frame in frames if frame.data and frame.data != b"[DONE]"]


def client(wire: bytes, content_type: str = "text/event-stream") -> openai.OpenAI:
    def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, content=wire, headers={"content-type": content_type})

    http = httpx2.Client(transport=httpx2.MockTransport(answer))
    return openai.OpenAI(api_key="k", base_url="http://engine.test/v1", http_client=http, max_retries=0)


def told(name: str, case: str, in_order: bool = False) -> dict[str, Any]:
    """What an answer says, as far as the format has a place for it."""
    found = {key: value for key, value in reply(case).items() if key != "id" or name != "openai_responses"}
    if name == "openai_chat" and not in_order:  # its answers put text, refusal and calls beside each other
        order = ("reasoning", "text", "refusal", "tool_call")
        content = found["choices"][0]["message"]["content"]
        content.sort(key=lambda part: order.index(part["type"]))
        found["choices"][0]["message"]["content"] = joined(content)
    return found


def joined(content: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Neighbouring texts as one."""
    out: list[dict[str, Any]] = []
    for part in content:
        if part["type"] == "text" and out and out[-1]["type"] == "text":
            out[-1] = {**out[-1], "text": out[-1]["text"] + part["text"]}
        else:
            out.append(part)
    return out


def text_of(case: str) -> str:
    return "".join(part["text"] for part in REPLIES[case][0] if part["type"] == "text")


def calls_of(case: str) -> list[tuple[str, str, str]]:
    calls = [part for part in REPLIES[case][0] if part["type"] == "tool_call"]
    return [(part["id"], part["name"], part["arguments"]) for part in calls]


def without_id(item: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in item.items() if key != "id"}


def named(value: Any, *more: str) -> Any:
    """Without the members that the SDK's types do not name and its clients keep."""
    if isinstance(value, dict):
        return {key: named(item, *more) for key, item in value.items() if key not in (*BESIDE, *more)}
    return [named(item, *more) for item in value] if isinstance(value, list) else value
