"""bedrock_converse against botocore: its shapes judge what is sent, its parsers read what is shown."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator
from typing import Any

import aws
import corpus
import orjson
import pytest
from botocore.eventstream import EventStream
from botocore.exceptions import EventStreamError
from botocore.model import Shape
from botocore.parsers import EventStreamJSONParser, create_parser
from botocore.serialize import create_serializer
from dialect import Shipped

from engine.errors import RequestError, UpstreamError
from engine.wire.canonical import Event, Reply, Request
from engine.wire.eventstream import MEDIA_TYPE
from engine.wire.whole import Collector, events_of

DIALECT: Any = Shipped("bedrock_converse").bound

#: Models by their ids on the wire, with what is known of them.
CLAUDE = ("us.anthropic.claude-sonnet-5-5-v1:0", {"thinking": "adaptive"})
OLDER = (
    "anthropic.claude-3-7-sonnet-20250219-v1:0",
    {"thinking": "budget", "schema_by": "tool", "output": 8192},
)
NOVA = ("amazon.nova-pro-v1:0", {})
OSS = ("openai.gpt-oss-120b-1:0", {"thinking": "effort"})
MISTRAL = ("mistral.mistral-large-2407-v1:0", {})
LLAMA = ("meta.llama3-70b-instruct-v1:0", {"forced_tools": False, "schema_by": "tool"})
MODELS = {"claude": CLAUDE, "older": OLDER, "nova": NOVA, "oss": OSS, "mistral": MISTRAL, "llama": LLAMA}

#: What this format cannot carry at all.
REFUSED = {"several answers", "an image by url", "a file by id"}


def sent(request: Request, model: tuple[str, Any] = CLAUDE) -> tuple[dict[str, Any], list[str]]:
    """The body of a request, and what `adjust` did to it."""
    told: list[str] = []
    target = {"wire_model": model[0], "max_tokens": None}
    operation = DIALECT.operation("chat")
    request = operation.adjust(request, model[1], target, {}, told)
    body = DIALECT.write_request("chat", request, model[1], target, {})
    return orjson.loads(orjson.dumps(body)), told


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", corpus.names())
def test_the_corpus_is_taken(name: str, model: str) -> None:
    if name in REFUSED:
        with pytest.raises(RequestError) as raised:
            sent(corpus.request(name), MODELS[model])
        assert raised.value.code == "unsupported"
        return
    body, _ = sent(corpus.request(name), MODELS[model])
    assert aws.faults("Converse", body, modelId=MODELS[model][0]) == []
    roles = [message["role"] for message in body["messages"]]
    assert roles == [("user", "assistant")[number % 2] for number in range(len(roles))]


def said(block: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [block]}]}


GOOD: dict[str, Any] = {"modelId": "a.b", "messages": [{"role": "user", "content": [{"text": "hi"}]}]}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"messages": [{"role": "tool", "content": [{"text": "x"}]}]}, "none of"),
        ({"inferenceConfig": {"temperature": 1.7}}, "more than"),
        ({"inferenceConfig": {"maxTokens": 0}}, "valid min value"),
        ({"extra": 1}, "extra"),
        (said({"toolUse": {"toolUseId": "ä", "name": "f", "input": {}}}), "does not match"),
        (said({"text": "x", "cachePoint": {"type": "default"}}), "union"),
        (said({"image": {"format": "png", "source": {"bytes": "ä"}}}), "base64"),
    ],
)
def test_the_judge_judges(change: dict[str, Any], word: str) -> None:
    assert aws.faults("Converse", GOOD) == []
    assert any(word in fault for fault in aws.faults("Converse", {**GOOD, **change}))


def unpacked(shape: Shape, value: Any) -> Any:
    """A body off the wire as botocore's caller would have given it: blobs are bytes."""
    if shape.type_name == "blob":
        return b64decode(value)
    if shape.type_name == "structure" and not getattr(shape, "is_document_type", False):
        return {key: unpacked(shape.members[key], item) for key, item in value.items()}
    if shape.type_name == "list":
        return [unpacked(shape.member, item) for item in value]
    return value


@pytest.mark.parametrize(
    "name", ["everything at once", "a pdf", "audio", "two calls at once", "a json schema"]
)
@pytest.mark.parametrize("stream", [False, True])
def test_botocore_would_send_the_same(name: str, stream: bool) -> None:
    body, _ = sent(corpus.request(name))
    operation = aws.operation("ConverseStream" if stream else "Converse")
    given = {"modelId": CLAUDE[0], **unpacked(operation.input_shape, body)}
    theirs = create_serializer("rest-json").serialize_to_request(given, operation)
    bound = DIALECT.operation("chat")
    path = (bound.stream_path if stream else bound.path)({"wire_model": CLAUDE[0]}, {}, {})
    assert path == theirs["url_path"]
    assert body == orjson.loads(theirs["body"])


LOSSY = {
    "a name", "an image with detail", "an empty result", "ids of another vendor", "a foreign block", "a pdf",
    "arguments that are no json", "any json", "reasoning of another vendor", "a refusal", "assistant first",
    "reasoning without a signature", "system in the middle", "a megabyte", "two user messages",
    "two system messages", "two calls at once", "developer first",
}  # fmt: skip


@pytest.mark.parametrize("name", [n for n in corpus.names() if n not in REFUSED | LOSSY])
def test_what_is_kept_comes_back(name: str) -> None:
    request = corpus.request(name)
    model = OLDER if "budget" in request.get("reasoning", {}) else CLAUDE
    body, told = sent(request, model)
    back = DIALECT.read_request("chat", body, {})
    assert back["messages"] == request["messages"]
    changed = {each.partition("=")[0].partition(".")[0] for each in told}
    for field in (
        "max_tokens", "temperature", "top_p", "top_k", "stop", "metadata", "service_tier", "reasoning",
    ):  # fmt: skip
        if field in request and field not in changed:
            assert back.get(field) == request.get(field), field
    if request.get("parallel_tool_calls") is False:
        assert back["parallel_tool_calls"] is False
    if "tools" in request and request.get("tool_choice") != {"mode": "none"}:
        kept = [
            {**tool, "parameters": tool.get("parameters", {"type": "object"})} for tool in request["tools"]
        ]
        assert back["tools"] == kept
        assert back.get("tool_choice") == request.get("tool_choice")
    if "response_format" in request:
        assert back["response_format"]["schema"] == request["response_format"]["schema"]


@pytest.mark.parametrize(
    ("model", "reasoning", "more"),
    [
        (CLAUDE, {"effort": "high"}, {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}),
        (CLAUDE, {"effort": "none"}, {"thinking": {"type": "disabled"}}),
        (OLDER, {"effort": "low"}, {"thinking": {"type": "enabled", "budget_tokens": 2048}}),
        (OLDER, {"budget": 50_000}, {"thinking": {"type": "enabled", "budget_tokens": 9999}}),
        (NOVA, {"effort": "low"}, {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"}}),
        (NOVA, {"effort": "max"}, {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}}),
        (NOVA, {"effort": "none"}, {"reasoningConfig": {"type": "disabled"}}),
        (OSS, {"effort": "medium"}, {"reasoning_effort": "medium"}),
        (("openai.gpt-6-luna", {}), {"effort": "medium"}, {"reasoning": {"effort": "medium"}}),
        (LLAMA, {"effort": "medium"}, None),
    ],
)
def test_reasoning_is_asked_as_the_model_takes_it(model: Any, reasoning: Any, more: Any) -> None:
    request = Request(**{**corpus.request("one word"), "reasoning": reasoning, "max_tokens": 10_000})
    body, told = sent(request, model)
    assert body.get("additionalModelRequestFields") == more
    assert ("reasoning" in told) is (more is None)


def test_ids_fit_the_model_and_agree() -> None:
    for model, pattern in ((CLAUDE, 64), (MISTRAL, 9)):
        body, _ = sent(corpus.request("ids of another vendor"), model)
        call, result = body["messages"][1]["content"][0], body["messages"][2]["content"][0]
        assert call["toolUse"]["toolUseId"] == result["toolResult"]["toolUseId"]
        assert len(call["toolUse"]["toolUseId"]) <= pattern
    body, _ = sent(corpus.request("two calls at once"), MISTRAL)
    ids = [block["toolUse"]["toolUseId"] for block in body["messages"][1]["content"]]
    assert len(set(ids)) == 2
    assert all(len(each) == 9 and each.isalnum() for each in ids)


def test_a_history_of_tools_keeps_its_tools() -> None:
    body, _ = sent(corpus.request("history of tools without tools"))
    assert [tool["toolSpec"]["name"] for tool in body["toolConfig"]["tools"]] == ["weather"]
    request = corpus.request("a call and its result")
    request["tool_choice"] = {"mode": "none"}
    body, _ = sent(request)
    assert [tool["toolSpec"]["name"] for tool in body["toolConfig"]["tools"]] == ["weather"]
    assert "toolChoice" not in body["toolConfig"]
    body, _ = sent(corpus.request("choice none"))
    assert "toolConfig" not in body


def test_a_pictures_url_in_a_result_is_refused_too() -> None:
    request = corpus.request("an image in a tool result")
    request["messages"][2]["content"][0]["content"][1] = {"type": "image", "url": "https://example.org/a.png"}
    with pytest.raises(RequestError):
        sent(request)
    request["messages"][2]["content"][0]["content"][1] = {"type": "image", "url": "s3://acme/a.png"}
    body, _ = sent(request)
    assert aws.faults("Converse", body, modelId=CLAUDE[0]) == []


def test_documents_have_names_of_their_own() -> None:
    part: Any = {
        "type": "file",
        "data": "YQ==",
        "media_type": "text/markdown",
        "filename": "né_w  file!!.tar.md",
    }
    request = Request(
        messages=[{"role": "user", "content": [part, dict(part), {**part, "filename": "ä" * 999}]}]
    )
    body, _ = sent(request)
    found = [block["document"] for block in body["messages"][0]["content"]]
    assert [each["name"] for each in found] == ["n w file tar-0-0", "n w file tar-0-1", "document-0-2"]
    assert {each["format"] for each in found} == {"md"}


# --- answers

PARTS: dict[str, list[dict[str, Any]]] = {
    "text": [{"type": "text", "text": "Paris."}],
    "nothing": [],
    "thought": [
        {"type": "reasoning", "text": "hm", "signature": "c2ln", "origin": "bedrock_converse"},
        {"type": "reasoning", "redacted": "enp6", "origin": "bedrock_converse"},
        {"type": "text", "text": "So."},
    ],
    "two calls": [
        {"type": "text", "text": "Let me see."},
        {"type": "tool_call", "id": "c1", "name": "f", "arguments": '{"a":1}'},
        {"type": "tool_call", "id": "c2", "name": "g", "arguments": "{}"},
    ],
}


def reply(parts: list[dict[str, Any]], reason: str = "stop", native: str | None = None) -> Reply:
    choice: Any = {"index": 0, "message": {"role": "assistant", "content": parts}, "finish_reason": reason}
    if native is not None:
        choice["native_finish_reason"] = native
    usage: Any = {"input_tokens": 15, "cached_tokens": 7, "cache_write_tokens": 3, "output_tokens": 9}
    return Reply(id="r", created=7, model="m", choices=[choice], usage=usage)


def content(answer: Any) -> Any:
    return answer["choices"][0]["message"]["content"]


@pytest.mark.parametrize("name", PARTS)
def test_an_answer_is_botocores(name: str) -> None:
    body = DIALECT.write_response("chat", reply(PARTS[name]), {})
    shape = aws.operation("Converse").output_shape
    assert list(aws.walk(shape, body, "")) == []
    parsed = create_parser("rest-json").parse(
        {"status_code": 200, "headers": {"x-amzn-requestid": "r"}, "body": orjson.dumps(body)}, shape
    )
    assert parsed["stopReason"] == "end_turn"
    assert parsed["usage"] == {
        "inputTokens": 5, "outputTokens": 9, "totalTokens": 24,
        "cacheReadInputTokens": 7, "cacheWriteInputTokens": 3,
    }  # fmt: skip
    assert len(parsed["output"]["message"]["content"]) == len(PARTS[name])
    back = DIALECT.read_response("chat", orjson.loads(orjson.dumps(body)), {"x-amzn-requestid": "r"})
    assert content(back) == PARTS[name]
    assert back["usage"] == reply([])["usage"]


class Raw:
    """A body as botocore's event stream reads it, cut in two."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def stream(self) -> Iterator[bytes]:
        yield self.data[:33]
        yield self.data[33:]

    def close(self) -> None:
        """Nothing is open."""


def botocore_reads(data: bytes) -> list[dict[str, Any]]:
    shape = aws.operation("ConverseStream").output_shape.members["stream"]
    return list(EventStream(Raw(data), shape, EventStreamJSONParser(), "ConverseStream"))


def streamed(events: list[Event]) -> bytes:
    writer = DIALECT.stream_writer("chat", Request(stream=True))
    assert writer.media_type == MEDIA_TYPE
    return writer.events(events) + writer.end()


@pytest.mark.parametrize("name", PARTS)
def test_a_stream_is_botocores_wherever_it_is_cut(name: str) -> None:
    data = streamed(events_of(reply(PARTS[name])))
    found = botocore_reads(data)
    assert [next(iter(event)) for event in (found[0], found[-2], found[-1])] == [
        "messageStart", "messageStop", "metadata",
    ]  # fmt: skip
    shape = aws.operation("ConverseStream").output_shape.members["stream"]
    for event in found:
        ((kind, inner),) = event.items()
        assert not set(inner) - set(shape.members[kind].members)
    opened = {e["contentBlockDelta"]["contentBlockIndex"] for e in found if "contentBlockDelta" in e}
    closed = [e["contentBlockStop"]["contentBlockIndex"] for e in found if "contentBlockStop" in e]
    assert sorted(closed) == sorted(opened) == list(range(len(opened)))
    whole = DIALECT.stream_reader("chat")
    events = whole.feed(data) + whole.eof()
    for size in (1, 5, 64):
        reader = DIALECT.stream_reader("chat")
        cut = [e for i in range(0, len(data), size) for e in reader.feed(data[i : i + size])] + reader.eof()
        assert cut == events
    collector = Collector()
    collector.add(events)
    assert content(collector.reply(7)) == PARTS[name] or name == "nothing"
    assert collector.reply(7)["usage"] == reply([])["usage"]


@pytest.mark.parametrize(
    ("reason", "native", "stop"),
    [
        ("stop", None, "end_turn"),
        ("stop", "stop_sequence", "stop_sequence"),
        ("length", "length", "max_tokens"),
        ("length", "model_context_window_exceeded", "model_context_window_exceeded"),
        ("tool_calls", "tool_calls", "tool_use"),
        ("content_filter", "SAFETY", "content_filtered"),
        ("content_filter", "guardrail_intervened", "guardrail_intervened"),
        ("error", "OTHER", "malformed_model_output"),
    ],
)
def test_why_it_ended(reason: str, native: str | None, stop: str) -> None:
    answer = reply(PARTS["text"], reason, native)
    assert DIALECT.write_response("chat", answer, {})["stopReason"] == stop
    last = botocore_reads(streamed(events_of(answer)))[-2]
    assert last["messageStop"]["stopReason"] == stop
    assert stop in aws.operation("Converse").output_shape.members["stopReason"].enum
    back = DIALECT.read_response("chat", DIALECT.write_response("chat", answer, {}), {})
    assert back["choices"][0]["finish_reason"] == reason


def test_every_stop_reason_is_known() -> None:
    known = aws.operation("Converse").output_shape.members["stopReason"].enum
    assert set(known) <= set(DIALECT.plan.finish)


# --- errors

ERRORS = {
    "rate_limited": ("ThrottlingException", "rate_limited"),
    "quota_exhausted": ("ServiceQuotaExceededException", "quota_exhausted"),
    "overloaded": ("ServiceUnavailableException", "overloaded"),
    "timeout": ("ModelTimeoutException", "timeout"),
    "server": ("InternalServerException", "server"),
    "bad_request": ("ValidationException", "bad_request"),
    "context_length": ("ValidationException", "bad_request"),
}


@pytest.mark.parametrize("failure", ERRORS)
def test_errors_are_botocores(failure: str) -> None:
    word, again = ERRORS[failure]
    error = UpstreamError(failure, "no")
    body = orjson.dumps(DIALECT.write_error(error))
    told = create_parser("rest-json").parse(
        {"status_code": DIALECT.status(error), "headers": {}, "body": body},
        aws.operation("Converse").output_shape,
    )
    assert told["Error"] == {"Message": "no", "Code": word}
    assert DIALECT.classify(DIALECT.status(error), {"x-amzn-errortype": word}, body)["failure"] == again


def test_every_error_of_the_service_has_a_class() -> None:
    for shape in aws.operation("Converse").error_shapes:
        status = shape.metadata["error"]["httpStatusCode"]
        found = DIALECT.classify(status, {"x-amzn-errortype": f"{shape.name}:http://x"}, b'{"message":"m"}')
        assert found["code"] == shape.name
        want = {
            "AccessDeniedException": "permission", "ThrottlingException": "rate_limited",
            "ResourceNotFoundException": "not_found", "ModelTimeoutException": "timeout",
            "InternalServerException": "server", "ServiceUnavailableException": "overloaded",
            "ValidationException": "bad_request", "ModelNotReadyException": "overloaded",
            "ModelErrorException": "server",
        }[shape.name]  # fmt: skip
        assert found["failure"] == want


@pytest.mark.parametrize(
    ("failure", "word", "again"),
    [
        ("rate_limited", "throttlingException", "rate_limited"),
        ("overloaded", "serviceUnavailableException", "overloaded"),
        ("bad_request", "validationException", "bad_request"),
        ("cut", "modelStreamErrorException", "server"),
        ("server", "internalServerException", "server"),
    ],
)
def test_an_error_in_a_stream(failure: str, word: str, again: str) -> None:
    writer = DIALECT.stream_writer("chat", Request(stream=True))
    data = writer.events([{"type": "start"}, {"type": "text", "text": "Par"}])
    data += DIALECT.stream_error(writer, UpstreamError(failure, "no"))
    with pytest.raises(EventStreamError) as raised:
        botocore_reads(data)
    assert raised.value.response["Error"] == {"Code": word, "Message": "no"}
    last = DIALECT.stream_reader("chat").feed(data)[-1]
    assert last["error"] == {"failure": again, "message": "no", "code": word}
