"""anthropic_messages against its SDK: whose types judge what is sent and shown, whose client reads it."""

from __future__ import annotations

from typing import Any

import anthropic
import corpus
import httpx2
import orjson
import pytest
from anthropic.types import Message, RawMessageStreamEvent
from anthropic.types.message_count_tokens_params import MessageCountTokensParams
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming
from dialect import Shipped
from strict import faults, strict, strict_model

from engine.errors import ERROR_CODES, NoRoute, RequestError, UpstreamError
from engine.wire.canonical import Event, Reply, Request
from engine.wire.sse import SseDecoder
from engine.wire.whole import Collector, events_of

DIALECT: Any = Shipped("anthropic_messages").bound

REQUEST = strict(MessageCreateParamsNonStreaming, "anthropic.types")
COUNT = strict(MessageCountTokensParams, "anthropic.types")
MESSAGE = strict_model(Message)
EVENT = strict_model(RawMessageStreamEvent)

NEW = {"api_version": "2026-10-21", "thinking": "adaptive"}
OLD = {"api_version": "2023-06-01", "thinking": "budget", "output": 8192}
TOOL = {"api_version": "2026-10-21", "thinking": "effort", "schema_by": "tool"}

#: What the newer SDK has no place for, and the older version of the API has.
SAMPLING = {"temperature", "top_p", "top_k"}


def sent(request: Request, facts: dict[str, Any], op: str = "chat") -> tuple[dict[str, Any], list[str]]:
    """The body of a request, and what `adjust` did to it."""
    told: list[str] = []
    target = {"wire_model": "claude-x", "max_tokens": None}
    request = DIALECT.operation(op).adjust(request, facts, target, {}, told)
    body = DIALECT.write_request(op, request, facts, target, {})
    return orjson.loads(orjson.dumps(body)), told


#: What this format cannot carry at all.
REFUSED = {"several answers", "audio"}


@pytest.mark.parametrize("facts", [NEW, OLD, TOOL, {}], ids=["new", "old", "tool", "unknown"])
@pytest.mark.parametrize("name", corpus.names())
def test_the_corpus_is_taken(name: str, facts: dict[str, Any]) -> None:
    if name in REFUSED:
        with pytest.raises(RequestError) as raised:
            sent(corpus.request(name), facts)
        assert raised.value.code == "unsupported"
        return
    body, told = sent(corpus.request(name), facts)
    if facts.get("api_version") == "2026-10-21":
        assert not SAMPLING & body.keys()
        assert {name.partition("=")[0] for name in told} >= SAMPLING & corpus.request(name).keys()
    assert faults(REQUEST, {key: value for key, value in body.items() if key not in SAMPLING}) == []
    assert 0 <= body.get("temperature", 0) <= 1


@pytest.mark.parametrize("name", [n for n in corpus.names() if n not in REFUSED])
def test_the_corpus_is_counted(name: str) -> None:
    body, _ = sent(corpus.request(name), NEW, "count_tokens")
    assert faults(COUNT, body) == []
    assert DIALECT.read_request("count_tokens", body, {})["messages"]


#: Corpus entries whose messages come back in another shape, and what that shape is.
MERGED = {
    "two user messages": [("user", 2)],
    "two system messages": [("system", 2), ("user", 1)],
    "two calls at once": [("user", 1), ("assistant", 2), ("tool", 2)],
    "developer first": [("system", 1), ("user", 1)],
}
#: Entries of which something is not carried: told by the ledger, or not this format's to keep.
LOSSY = {
    "a name", "an image with detail", "an empty result", "ids of another vendor", "a foreign block",
    "arguments that are no json", "any json", "reasoning of another vendor", "a refusal",
    "reasoning without a signature", "system in the middle", "a megabyte",
}  # fmt: skip


@pytest.mark.parametrize("name", [n for n in corpus.names() if n not in REFUSED | LOSSY])
def test_what_is_kept_comes_back(name: str) -> None:
    request = corpus.request(name)
    body, told = sent(request, {"thinking": "budget"} if "budget" in request.get("reasoning", {}) else {})
    back = DIALECT.read_request("chat", body, {})
    if name in MERGED:
        assert [(m["role"], len(m["content"])) for m in back["messages"]] == MERGED[name]
    else:
        assert back["messages"] == request["messages"]
    changed = {each.partition("=")[0].partition(".")[0] for each in told}
    for field in ("max_tokens", "temperature", "top_p", "top_k", "stop", "user", "service_tier", "reasoning"):
        if field in request and field not in changed:
            assert back.get(field) == request.get(field), field
    if "tools" in request:
        kept = [
            {**tool, "parameters": tool.get("parameters", {"type": "object"})} for tool in request["tools"]
        ]
        assert back["tools"] == kept
    if "tool_choice" in request:
        assert back["tool_choice"] == request["tool_choice"]
    if "response_format" in request:
        assert back["response_format"]["schema"] == request["response_format"]["schema"]


def test_system_turns_stay_where_they_are_in_the_newer_version() -> None:
    body, _ = sent(corpus.request("system in the middle"), NEW)
    assert [m["role"] for m in body["messages"]] == ["user", "assistant", "system", "user"]
    assert "system" not in body
    body, _ = sent(corpus.request("system in the middle"), OLD)
    assert [m["role"] for m in body["messages"]] == ["user", "assistant", "user"]
    assert body["system"] == [{"type": "text", "text": "Be brief."}]


def test_a_conversation_of_system_turns_alone_is_one_of_a_user() -> None:
    alone = Request(messages=[{"role": "system", "content": [{"type": "text", "text": "Say hi."}]}])
    for facts in (OLD, NEW):
        body, _ = sent(alone, facts)
        assert body["messages"] == [{"role": "user", "content": [{"type": "text", "text": "Say hi."}]}]
        assert "system" not in body


def test_results_are_one_turn_and_ids_agree() -> None:
    body, _ = sent(corpus.request("two calls at once"), OLD)
    assert [block["type"] for block in body["messages"][2]["content"]] == ["tool_result", "tool_result"]
    body, _ = sent(corpus.request("ids of another vendor"), OLD)
    call, result = body["messages"][1]["content"][0], body["messages"][2]["content"][0]
    assert call["id"] == result["tool_use_id"]
    assert call["id"].startswith("toolu_")
    assert len(call["id"]) <= 64


@pytest.mark.parametrize(
    ("reasoning", "facts", "thinking", "effort"),
    [
        ({"effort": "high"}, {"thinking": "adaptive"}, {"type": "adaptive"}, "high"),
        ({"effort": "high"}, {"thinking": "effort"}, None, "high"),
        ({"effort": "high"}, {"thinking": "none"}, None, None),
        ({"effort": "high"}, {"thinking": "budget"}, {"type": "enabled", "budget_tokens": 9999}, None),
        ({"effort": "low"}, {"thinking": "budget"}, {"type": "enabled", "budget_tokens": 2048}, None),
        ({"budget": 5000}, {"thinking": "adaptive"}, {"type": "adaptive"}, "medium"),
        ({"budget": 5000}, {}, {"type": "enabled", "budget_tokens": 5000}, None),
        ({"effort": "none"}, {"thinking": "budget"}, {"type": "disabled"}, None),
        (
            {"effort": "max"},
            {"thinking": "adaptive", "efforts": ["low", "high"]},
            {"type": "adaptive"},
            "high",
        ),
        ({"effort": "low", "summary": "auto"}, {}, {"type": "adaptive", "display": "summarized"}, "low"),
    ],
)
def test_thought_is_asked_as_the_model_takes_it(
    reasoning: Any, facts: Any, thinking: Any, effort: Any
) -> None:
    request = {**corpus.request("one word"), "reasoning": reasoning, "max_tokens": 10_000}
    body, _ = sent(request, facts)
    assert body.get("thinking") == thinking
    assert body.get("output_config", {}).get("effort") == effort


def test_a_tool_that_must_be_called_stands_against_thought() -> None:
    request = {**corpus.request("choice required"), "reasoning": {"effort": "high"}, "max_tokens": 9000}
    body, told = sent(request, NEW)
    assert "thinking" not in body
    assert "reasoning" in told
    body, told = sent(request, {**NEW, "forced_tools": False})
    assert body["tool_choice"] == {"type": "auto"}
    assert body["thinking"] == {"type": "adaptive"}
    assert "tool_choice.mode=auto" in told


def test_thought_by_a_budget_is_not_begun_amid_a_tools_turn() -> None:
    request = corpus.request("reasoning and tools")
    body, told = sent(request, OLD)
    assert "thinking" not in body
    assert "reasoning" in told
    assert sent(request, NEW)[0]["thinking"] == {"type": "adaptive"}
    request["messages"][1]["content"].insert(
        0, {"type": "reasoning", "text": "hm", "signature": "s", "origin": "anthropic_messages"}
    )
    body, told = sent(request, OLD)
    assert body["thinking"]["type"] == "enabled"
    assert told == []


@pytest.mark.parametrize(
    ("name", "choice", "tools"),
    [
        ("a json schema", {"type": "tool", "name": "engine_answer"}, ["engine_answer"]),
        ("a json schema with tools", {"type": "any"}, ["weather", "engine_answer"]),
    ],
)
def test_a_schema_by_a_tool(name: str, choice: Any, tools: list[str]) -> None:
    body, _ = sent(corpus.request(name), TOOL)
    assert body["tool_choice"] == choice
    assert [tool["name"] for tool in body["tools"]] == tools
    assert "format" not in body.get("output_config", {})


def test_only_its_own_opaque_things_go_up() -> None:
    mine, other = "anthropic_messages", "gemini"
    request = Request(
        messages=[
            {"role": "user", "content": [{"type": "text", "text": "hi"}]},
            {
                "role": "assistant",
                "content": [
                    {"type": "reasoning", "text": "a", "signature": "s", "origin": mine},
                    {"type": "reasoning", "text": "b", "signature": "s", "origin": other},
                    {"type": "reasoning", "redacted": "r", "origin": mine},
                    {"type": "native", "origin": other, "provider_data": {"type": "x"}},
                    {"type": "native", "origin": mine, "provider_data": {
                        "type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}}},
                    {"type": "text", "text": "hello", "citations": [
                        {"url": "u", "text": "t", "provider_data": {
                            "type": "web_search_result_location", "url": "u", "title": "t", "cited_text": "t",
                            "encrypted_index": "e"}},
                        {"url": "v"}]},
                ],
            },
        ]
    )  # fmt: skip
    body, _ = sent(request, NEW)
    assert faults(REQUEST, body) == []
    said = body["messages"][1]["content"]
    assert [block["type"] for block in said] == ["thinking", "redacted_thinking", "server_tool_use", "text"]
    assert len(said[3]["citations"]) == 1
    assert DIALECT.read_request("chat", body, {})["messages"][1]["content"][-1]["citations"][0]["url"] == "u"


# --- answers: what a client of this format is shown

PARTS: dict[str, list[dict[str, Any]]] = {
    "text": [{"type": "text", "text": "Paris."}],
    "nothing": [],
    "thought": [
        {"type": "reasoning", "text": "hm", "signature": "c2ln", "origin": "anthropic_messages"},
        {"type": "reasoning", "redacted": "zzz", "origin": "anthropic_messages"},
        {"type": "text", "text": "So."},
    ],
    "thought of another": [
        {"type": "reasoning", "text": "hm", "signature": "c2ln", "origin": "gemini"},
        {"type": "reasoning", "redacted": "zzz", "origin": "openai_responses"},
        {"type": "text", "text": "So.", "signature": "ts", "origin": "gemini"},
        {"type": "tool_call", "id": "c1", "name": "f", "arguments": '{"a":1}', "signature": "cs",
         "origin": "gemini"},
    ],
    "unsigned thought": [{"type": "reasoning", "text": "hm"}, {"type": "text", "text": "So."}],
    "two calls": [
        {"type": "text", "text": "Let me see."},
        {"type": "tool_call", "id": "c1", "name": "f", "arguments": '{"a":1}'},
        {"type": "tool_call", "id": "c2", "name": "g", "arguments": "{}"},
    ],
    "cited": [
        {
            "type": "text",
            "text": "It is so.",
            "citations": [{"url": "https://example.org", "title": "t", "text": "so it is"}],
        }
    ],
    "a search": [
        {"type": "native", "origin": "anthropic_messages", "provider_data": {
            "type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "x"}}},
        {"type": "native", "origin": "anthropic_messages", "provider_data": {
            "type": "web_search_tool_result", "tool_use_id": "s1", "content": []}},
        {"type": "text", "text": "Found."},
    ],
}  # fmt: skip
USAGE = {
    "input_tokens": 15,
    "cached_tokens": 7,
    "cache_write_tokens": 3,
    "output_tokens": 9,
    "reasoning_tokens": 4,
}


def reply(parts: list[dict[str, Any]], reason: str = "stop", native: str | None = None) -> Reply:
    choice: Any = {"index": 0, "message": {"role": "assistant", "content": parts}, "finish_reason": reason}
    if native is not None:
        choice["native_finish_reason"] = native
    usage: Any = dict(USAGE)
    return Reply(id="msg_1", created=7, model="assistant", choices=[choice], usage=usage)


def streamed(events: list[Event]) -> bytes:
    writer = DIALECT.stream_writer("chat", Request(stream=True))
    return writer.events(events) + writer.end()


def shown_events(data: bytes) -> list[dict[str, Any]]:
    decoder = SseDecoder()
    frames = decoder.feed(data) + decoder.eof()
    events = [orjson.loads(frame.data) for frame in frames if frame.data]
    assert [frame.name for frame in frames] == [event["type"] for event in events]
    return events


@pytest.mark.parametrize("name", PARTS)
def test_an_answer_is_a_message(name: str) -> None:
    body = DIALECT.write_response("chat", reply(PARTS[name]), {})
    assert faults(MESSAGE, body) == []
    assert body["usage"]["input_tokens"] == 5
    assert body["usage"]["cache_read_input_tokens"] == 7
    assert body["usage"]["cache_creation_input_tokens"] == 3


@pytest.mark.parametrize("name", PARTS)
def test_a_stream_is_one_for_the_sdk(name: str) -> None:
    data = streamed(events_of(reply(PARTS[name])))
    for event in shown_events(data):
        assert faults(EVENT, event) == []
    whole = DIALECT.write_response("chat", reply(PARTS[name]), {})
    client = sdk(lambda _: httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=data))
    with client.messages.stream(
        model="m", max_tokens=9, messages=[{"role": "user", "content": "hi"}]
    ) as stream:
        final = stream.get_final_message()
    want = Message.model_validate(whole)
    assert [b.model_dump(exclude_none=True) for b in final.content] == [
        b.model_dump(exclude_none=True) for b in want.content
    ]
    assert final.stop_reason == want.stop_reason
    assert final.usage.output_tokens == 9
    assert final.usage.cache_read_input_tokens == 7
    assert final.usage.input_tokens == 5


@pytest.mark.parametrize("name", PARTS)
def test_a_stream_comes_back_wherever_it_is_cut(name: str) -> None:
    want = Collector()
    want.add(events_of(reply(PARTS[name])))
    data = streamed(events_of(reply(PARTS[name])))
    whole = DIALECT.stream_reader("chat")
    events = whole.feed(data) + whole.eof()
    for size in (1, 2, 7):
        reader = DIALECT.stream_reader("chat")
        cut = [e for i in range(0, len(data), size) for e in reader.feed(data[i : i + size])] + reader.eof()
        assert cut == events
    found = Collector()
    found.add(events)
    back = found.reply(7)
    assert back["usage"] == {"cache_write_1h_tokens": 0, **USAGE} or back["usage"] == USAGE
    assert back["choices"][0]["finish_reason"] == "stop"
    if name in {"text", "nothing", "thought", "two calls", "a search"}:
        assert _content(back) == _content(want.reply(7))


def _content(answer: Reply) -> Any:
    return answer["choices"][0]["message"]["content"]


def test_what_a_client_sends_back_is_what_it_was_shown() -> None:
    """Signatures of other vendors survive a client of this format."""
    for name in ("thought", "thought of another", "unsigned thought", "two calls", "a search"):
        body = DIALECT.write_response("chat", reply(PARTS[name]), {})
        said = {"role": "assistant", "content": body["content"]}
        again = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}, said]}
        found = DIALECT.read_request("chat", orjson.loads(orjson.dumps(again)), {})
        assert found["messages"][1]["content"] == PARTS[name]


@pytest.mark.parametrize(
    ("reason", "native", "stop"),
    [
        ("stop", None, "end_turn"),
        ("stop", "STOP", "end_turn"),
        ("stop", "stop_sequence", "stop_sequence"),
        ("stop", "pause_turn", "pause_turn"),
        ("length", "length", "max_tokens"),
        ("length", "model_context_window_exceeded", "model_context_window_exceeded"),
        ("tool_calls", "tool_calls", "tool_use"),
        ("content_filter", "SAFETY", "refusal"),
        ("error", "malformed_tool_use", "refusal"),
    ],
)
def test_why_it_ended(reason: str, native: str | None, stop: str) -> None:
    answer = reply(PARTS["text"], reason, native)
    body = DIALECT.write_response("chat", answer, {})
    last = shown_events(streamed(events_of(answer)))[-2]
    assert faults(MESSAGE, body) == []
    assert faults(EVENT, last) == []
    assert body["stop_reason"] == last["delta"]["stop_reason"] == stop
    assert body.get("stop_details") == last["delta"].get("stop_details")
    if reason == "error":
        assert "malformed_tool_use" in body["stop_details"]["explanation"]


def test_calls_whose_arguments_come_mixed() -> None:
    events: list[Event] = [
        {"type": "start", "id": "x", "model": "m"},
        {"type": "tool_call", "index": 0, "id": "a", "name": "f"},
        {"type": "tool_call", "index": 1, "id": "b", "name": "g"},
        {"type": "tool_arguments", "index": 0, "arguments": '{"x":'},
        {"type": "tool_arguments", "index": 1, "arguments": '{"y":'},
        {"type": "tool_arguments", "index": 0, "arguments": "1}"},
        {"type": "tool_arguments", "index": 1, "arguments": "2}"},
        {"type": "finish", "finish_reason": "tool_calls"},
        {"type": "usage", "usage": {"input_tokens": 1, "output_tokens": 1}},
    ]
    data = streamed(events)
    client = sdk(lambda _: httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=data))
    with client.messages.stream(
        model="m", max_tokens=9, messages=[{"role": "user", "content": "hi"}]
    ) as stream:
        final = stream.get_final_message()
    assert [(b.id, b.input) for b in final.content if b.type == "tool_use"] == [
        ("a", {"x": 1}),
        ("b", {"y": 2}),
    ]


# --- the SDK's client


def sdk(answer: Any) -> anthropic.Anthropic:
    transport = httpx2.MockTransport(answer)
    return anthropic.Anthropic(
        api_key="sk-ant-x", max_retries=0, http_client=httpx2.Client(transport=transport)
    )


def test_what_the_sdk_sends_is_read() -> None:
    seen: list[Any] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(orjson.loads(request.content))
        return httpx2.Response(200, json=DIALECT.write_response("chat", reply(PARTS["text"]), {}))

    tool: Any = {"name": "f", "description": "d", "input_schema": {"type": "object", "properties": {}}}
    message = sdk(answer).messages.create(
        model="assistant",
        max_tokens=9,
        system="Be brief.",
        messages=[{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
        tools=[tool],
        tool_choice={"type": "any"},
        thinking={"type": "adaptive"},
    )
    assert message.content[0].type == "text"
    request = DIALECT.read_request("chat", seen[0], {})
    assert request["tool_choice"] == {"mode": "required"}
    assert request["reasoning"] == {"effort": "high"}
    assert [m["role"] for m in request["messages"]] == ["system", "user"]


ERRORS = [
    ("rate_limited", anthropic.RateLimitError, "rate_limit_error"),
    ("quota_exhausted", anthropic.APIStatusError, "billing_error"),
    ("overloaded", anthropic.InternalServerError, "overloaded_error"),
    ("full", anthropic.InternalServerError, "overloaded_error"),
    ("timeout", anthropic.InternalServerError, "timeout_error"),
    ("server", anthropic.InternalServerError, "api_error"),
    ("connect", anthropic.InternalServerError, "api_error"),
    ("cut", anthropic.InternalServerError, "api_error"),
    ("auth", anthropic.InternalServerError, "api_error"),
    ("context_length", anthropic.BadRequestError, "invalid_request_error"),
    ("content_policy", anthropic.BadRequestError, "invalid_request_error"),
    ("bad_request", anthropic.BadRequestError, "invalid_request_error"),
    ("unsupported", anthropic.BadRequestError, "invalid_request_error"),
]


@pytest.mark.parametrize(("failure", "kind", "word"), ERRORS, ids=[each[0] for each in ERRORS])
def test_the_sdk_raises_its_own_errors(failure: str, kind: type[Exception], word: str) -> None:
    error = UpstreamError(failure, "no")
    status, body = DIALECT.status(error), DIALECT.write_error(error)
    with pytest.raises(kind) as raised:
        sdk(lambda _: httpx2.Response(status, json=body)).messages.create(
            model="m", max_tokens=9, messages=[{"role": "user", "content": "hi"}]
        )
    found = raised.value
    assert isinstance(found, anthropic.APIStatusError)
    assert body["error"]["type"] == found.type == word
    assert found.error_code == ERROR_CODES[failure]
    assert DIALECT.classify(status, {}, orjson.dumps(body))["failure"] == {
        "full": "overloaded", "connect": "server", "cut": "server", "auth": "server",
        "context_length": "bad_request", "content_policy": "bad_request", "unsupported": "bad_request",
    }.get(failure, failure)  # fmt: skip


def test_errors_of_our_own() -> None:
    missing = NoRoute("no route takes `x`")
    assert DIALECT.status(missing) == 404
    assert DIALECT.write_error(missing)["error"]["type"] == "not_found_error"
    with pytest.raises(anthropic.NotFoundError):
        sdk(lambda _: httpx2.Response(404, json=DIALECT.write_error(missing))).messages.create(
            model="x", max_tokens=9, messages=[{"role": "user", "content": "hi"}]
        )
    wrong = RequestError("messages is missing", code="missing_required_parameter", param="messages")
    assert DIALECT.write_error(wrong)["error"]["details"] == {
        "error_code": "missing_required_parameter",
        "param": "messages",
    }
    refused = RequestError("no", status=403, code="not_allowed")
    assert DIALECT.write_error(refused)["error"]["type"] == "permission_error"


def test_an_error_in_a_stream() -> None:
    writer = DIALECT.stream_writer("chat", Request(stream=True))
    data = writer.events([{"type": "start", "id": "x", "model": "m"}, {"type": "text", "text": "Par"}])
    data += DIALECT.stream_error(writer, UpstreamError("overloaded", "Overloaded"))
    client = sdk(lambda _: httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=data))
    with pytest.raises(anthropic.APIStatusError, match="Overloaded"):
        for _ in client.messages.create(
            model="m", max_tokens=9, stream=True, messages=[{"role": "user", "content": "hi"}]
        ):
            pass
    reader = DIALECT.stream_reader("chat")
    assert reader.feed(data)[-1]["error"]["failure"] == "overloaded"


# --- passing through


def test_what_follows_the_usage_of_a_stream_that_passes_through_stays_behind_it() -> None:
    data = streamed(events_of(reply(PARTS["text"])))
    for size in (1, 50, len(data)):
        reader = DIALECT.stream_reader("chat", keep_raw=True, hold_usage=True)
        raw = b"".join(
            [reader.raw for i in range(0, len(data), size) if reader.feed(data[i : i + size]) is not None]
        )
        assert reader.done
        assert reader.usage_data is not None
        assert orjson.loads(reader.usage_data)["type"] == "message_delta"
        assert raw + reader.usage_raw + b"".join(reader.after) == data
