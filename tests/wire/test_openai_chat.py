"""openai_chat against the openai SDK's own types: what it may send, what it reads."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import sys
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import ConfigDict, TypeAdapter

from engine.errors import NoRoute, RequestError, UpstreamError
from engine.wire.sse import SseDecoder

_spec = importlib.util.spec_from_file_location("dialects", Path(__file__).with_name("dialects.py"))
assert _spec is not None
assert _spec.loader is not None
if "dialects" not in sys.modules:
    sys.modules["dialects"] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules["dialects"])
dialects: Any = sys.modules["dialects"]
DIALECT = dialects.bound()


@cache
def strict_params() -> TypeAdapter[Any]:
    """The SDK's request type, refusing keys it does not know (a TypedDict does not by itself)."""
    import openai.types.chat as package
    import openai.types.shared_params as shared

    for root in (package, shared):
        for module_info in pkgutil.walk_packages(root.__path__, root.__name__ + "."):
            module = importlib.import_module(module_info.name)
            for value in list(vars(module).values()):
                is_typed_dict = (
                    isinstance(value, type) and issubclass(value, dict) and hasattr(value, "__total__")
                )
                if is_typed_dict and value.__module__.startswith("openai.types"):
                    value.__pydantic_config__ = ConfigDict(extra="forbid")
    from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming

    return TypeAdapter(CompletionCreateParamsNonStreaming)


def consumed(value: Any) -> Any:
    """Iterables validate as they are read: read them all."""
    if isinstance(value, dict):
        return {key: consumed(item) for key, item in value.items()}
    if isinstance(value, str | int | float | bool | None):
        return value
    return [consumed(item) for item in value]


def validate(body: dict[str, Any]) -> None:
    consumed(strict_params().validate_python(body))


NO_REASONING = {"drop": ["reasoning_content", "reasoning_details"]}


def write(request: Any, model: str = "wire", drop: Any = NO_REASONING) -> dict[str, Any]:
    body: dict[str, Any] = DIALECT.write_request("chat", request, {}, {"wire_model": model}, drop)
    return body


# --- canonical requests, as a strategy

text = st.text(min_size=1, max_size=12)
name = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)
schema = st.fixed_dictionaries(
    {"type": st.just("object")},
    optional={"properties": st.just({"a": {"type": ["string", "null"], "default": None}})},
)
text_part = st.fixed_dictionaries({"type": st.just("text"), "text": text})
user_part = st.one_of(
    text_part,
    st.fixed_dictionaries(
        {"type": st.just("image"), "data": st.just("AAAA"), "media_type": st.just("image/png")},
        optional={"detail": st.sampled_from(["low", "high", "auto"])},
    ),
    st.fixed_dictionaries({"type": st.just("image"), "url": st.just("https://example.org/a.png")}),
    st.fixed_dictionaries(
        {"type": st.just("audio"), "data": st.just("BBBB"), "format": st.sampled_from(["wav", "mp3"])}
    ),
    st.fixed_dictionaries(
        {
            "type": st.just("file"),
            "data": st.just("CCCC"),
            "media_type": st.just("application/pdf"),
            "filename": st.just("a.pdf"),
        }
    ),
    st.fixed_dictionaries({"type": st.just("file"), "file_id": st.just("file-1")}),
)
call_part = st.fixed_dictionaries({"type": st.just("tool_call"), "id": name, "name": name, "arguments": text})
assistant = st.builds(
    lambda said, refused, calls: {"role": "assistant", "content": [*said, *refused, *calls]},
    st.lists(text_part, max_size=1),
    st.lists(st.fixed_dictionaries({"type": st.just("refusal"), "text": text}), max_size=1),
    st.lists(call_part, max_size=2),
).filter(lambda m: bool(m["content"]))
message = st.one_of(
    st.fixed_dictionaries(
        {
            "role": st.sampled_from(["system", "developer"]),
            "content": st.lists(text_part, min_size=1, max_size=2),
        },
        optional={"name": name},
    ),
    st.fixed_dictionaries({"role": st.just("user"), "content": st.lists(user_part, min_size=1, max_size=3)}),
    assistant,
    st.fixed_dictionaries(
        {
            "role": st.just("tool"),
            "content": st.lists(
                st.fixed_dictionaries(
                    {
                        "type": st.just("tool_result"),
                        "id": name,
                        "content": st.lists(text_part, min_size=1, max_size=1),
                    }
                ),
                min_size=1,
                max_size=1,
            ),
        }
    ),
)
tool = st.fixed_dictionaries(
    {"name": name}, optional={"description": text, "parameters": schema, "strict": st.booleans()}
)
number = st.floats(0, 1)
request = st.fixed_dictionaries(
    {
        "operation": st.just("chat"),
        "model": st.just("wire"),
        "messages": st.lists(message, min_size=1, max_size=4),
    },
    optional={
        "tools": st.lists(tool, min_size=1, max_size=2),
        "tool_choice": st.one_of(
            st.sampled_from([{"mode": m} for m in ("auto", "none", "required")]),
            st.just({"mode": "named", "name": "f"}),
        ),
        "parallel_tool_calls": st.booleans(),
        "max_tokens": st.integers(1, 99),
        "temperature": number,
        "top_p": number,
        "frequency_penalty": number,
        "presence_penalty": number,
        "seed": st.integers(0, 9),
        "n": st.integers(1, 3),
        "stop": st.lists(text, min_size=1, max_size=2),
        "logprobs": st.booleans(),
        "top_logprobs": st.integers(0, 5),
        "logit_bias": st.just({"50": 1}),
        "user": text,
        "metadata": st.just({"a": "b"}),
        "cache_key": text,
        "service_tier": st.sampled_from(["auto", "flex"]),
        "store": st.booleans(),
        "reasoning": st.sampled_from([{"effort": e} for e in ("low", "medium", "high")]),
        "verbosity": st.sampled_from(["low", "high"]),
        "response_format": st.one_of(
            st.just({"type": "text"}),
            st.just({"type": "json_object"}),
            st.fixed_dictionaries(
                {"type": st.just("json_schema"), "name": name, "schema": schema},
                optional={"strict": st.booleans(), "description": text},
            ),
        ),
    },
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(request)
def test_requests_survive_the_wire_and_are_the_sdks(canonical: Any) -> None:
    body = write(canonical)
    validate(body)
    assert DIALECT.read_request("chat", orjson.loads(orjson.dumps(body)), {}) == canonical


def test_the_oracle_refuses_what_is_wrong() -> None:
    good = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    validate(good)
    for bad in (
        {**good, "top_k": 1},
        {**good, "messages": [{"role": "usr", "content": "hi"}]},
        {"model": "m"},
    ):
        with pytest.raises(ValueError):
            validate(bad)


def test_user_text_goes_through_byte_for_byte() -> None:
    for said in (
        "[1]",
        "123",
        "None",
        "${{ body.model }}",
        "{{ x }}",
        "null",
        " \n\t",
        "\u2028",
        "🙂",
        "a\\u0000",
    ):
        body = write(
            DIALECT.read_request("chat", {"model": "m", "messages": [{"role": "user", "content": said}]}, {})
        )
        assert body["messages"] == [{"role": "user", "content": said}]


def test_nulls_are_absent() -> None:
    nulls = {
        "tools": None,
        "stop": None,
        "temperature": None,
        "response_format": None,
        "tool_choice": None,
        "n": None,
    }
    read = DIALECT.read_request(
        "chat", {"model": "m", "messages": [{"role": "user", "content": "hi"}], **nulls}, {}
    )
    assert set(read) == {"operation", "model", "messages"}
    schema_with_null = {"type": "object", "properties": {"a": {"default": None, "enum": [None, 1]}}}
    tools = [{"type": "function", "function": {"name": "f", "parameters": schema_with_null}}]
    read = DIALECT.read_request(
        "chat", {"model": "m", "messages": [{"role": "user", "content": "hi"}], "tools": tools}, {}
    )
    assert write(read)["tools"] == tools


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ([], None),
        ({}, "model"),
        ({"model": 1, "messages": []}, "model"),
        ({"model": "", "messages": [{"role": "user", "content": "x"}]}, "model"),
        ({"model": "m"}, "messages"),
        ({"model": "m", "messages": None}, "messages"),
        ({"model": "m", "messages": "hi"}, "messages"),
        ({"model": "m", "messages": []}, "messages"),
        ({"model": "m", "messages": ["hi"]}, "messages[0]"),
        ({"model": "m", "messages": [{"content": "hi"}]}, "messages[0].role"),
        ({"model": "m", "messages": [{"role": ["user"], "content": "hi"}]}, "messages[0].role"),
        ({"model": "m", "messages": [{"role": "user"}]}, "messages[0].content"),
        ({"model": "m", "messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        (
            {"model": "m", "messages": [{"role": "user", "content": [{"type": "smell"}]}]},
            "messages[0].content[0].type",
        ),
        (
            {
                "model": "m",
                "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}],
            },
            "messages[0].content[0].image_url.url",
        ),
        ({"model": "m", "messages": [{"role": "assistant"}]}, "messages[0]"),
        ({"model": "m", "messages": [{"role": "user", "content": "x"}], "n": 0}, "n"),
        ({"model": "m", "messages": [{"role": "user", "content": "x"}], "stream": "yes"}, "stream"),
        ({"model": "m", "messages": [{"role": "user", "content": "x"}], "stop": [1]}, "stop[0]"),
        (
            {
                "model": "m",
                "messages": [{"role": "user", "content": "x"}],
                "tools": [{"type": "function", "function": {}}],
            },
            "tools[0].function.name",
        ),
        (
            {
                "model": "m",
                "messages": [{"role": "user", "content": "x"}],
                "response_format": {"type": "json_schema"},
            },
            "response_format.json_schema",
        ),
        ({"model": "m", "messages": [{"role": "user", "content": "x"}], "temperature": 3}, "temperature"),
    ],
)
def test_wrong_requests_name_the_field(body: Any, param: str | None) -> None:
    with pytest.raises(RequestError) as caught:
        DIALECT.read_request("chat", body, {})
    assert caught.value.param == param
    assert caught.value.status == 400
    assert len(caught.value.message) < 200


# --- answers

REPLY = {
    "id": "x",
    "created": 1,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "finish_reason": "tool_calls",
            "message": {
                "role": "assistant",
                "content": [
                    {"type": "reasoning", "text": "hm"},
                    {"type": "text", "text": "Par"},
                    {
                        "type": "text",
                        "text": "is",
                        "citations": [{"url": "https://a", "title": "A", "start": 0, "end": 2}],
                    },
                    {"type": "tool_call", "id": "t", "name": "f", "arguments": "{}"},
                ],
            },
        },
        {
            "index": 1,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": [{"type": "refusal", "text": "no"}]},
        },
    ],
    "usage": {"input_tokens": 5, "cached_tokens": 2, "output_tokens": 7, "reasoning_tokens": 3},
}


def test_answers_are_the_sdks() -> None:
    body = DIALECT.write_response("chat", REPLY, {})
    parsed = ChatCompletion.model_validate(body, strict=True)
    assert parsed.choices[0].message.content == "Paris"
    assert parsed.choices[0].message.tool_calls
    assert parsed.choices[0].message.annotations
    assert parsed.choices[1].message.content is None
    assert parsed.choices[1].message.refusal == "no"
    assert parsed.usage
    assert parsed.usage.total_tokens == 12
    read = DIALECT.read_response("chat", body, {})
    assert read["usage"] == REPLY["usage"]
    assert read["choices"][0]["message"]["content"][-1] == {
        "type": "tool_call",
        "id": "t",
        "name": "f",
        "arguments": "{}",
    }
    bare = {
        "choices": [{"message": {"content": []}, "finish_reason": "stop"}],
        "id": "x",
        "created": 1,
        "model": "m",
    }
    ChatCompletion.model_validate(DIALECT.write_response("chat", bare, {}))


EVENTS: list[dict[str, Any]] = [
    {"type": "start", "id": "x", "model": "m", "created": 1},
    {"type": "reasoning", "choice": 0, "text": "hm"},
    {"type": "text", "choice": 0, "text": "Par"},
    {"type": "text", "choice": 1, "text": "żółć 🙂"},
    {"type": "tool_call", "choice": 0, "index": 0, "id": "t", "name": "f"},
    {"type": "tool_arguments", "choice": 0, "index": 0, "arguments": '{"a":'},
    {"type": "tool_arguments", "choice": 0, "index": 0, "arguments": "1}"},
    {"type": "finish", "choice": 1, "finish_reason": "length"},
    {"type": "finish", "choice": 0, "finish_reason": "tool_calls"},
    {"type": "usage", "usage": {"input_tokens": 5, "cached_tokens": 2, "output_tokens": 7}},
]


def written(**more: Any) -> bytes:
    writer = DIALECT.stream_writer("chat", {"include_usage": True, **more})
    out: bytes = writer.events(EVENTS) + writer.end()
    return out


def plain(events: list[Any]) -> list[Any]:
    return [{k: v for k, v in e.items() if k != "native_finish_reason"} for e in events]


def test_streams_are_the_sdks_and_read_back() -> None:
    data = written()
    frames = [f.data for f in SseDecoder().feed(data)]
    assert frames[-1] == b"[DONE]"
    chunks = [
        ChatCompletionChunk.model_validate_json(frame, strict=True)
        for frame in frames[:-1]
        if frame is not None
    ]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices == []
    assert chunks[-1].usage
    assert len({c.id for c in chunks}) == 1
    reader = DIALECT.stream_reader("chat")
    assert plain(reader.feed(data) + reader.eof()) == EVENTS


def test_usage_is_written_only_where_it_was_asked_for() -> None:
    assert b'"usage"' in written()
    assert b'"usage"' not in written(include_usage=False)


def test_every_cut_gives_the_same_events() -> None:
    data = written()
    for cut in range(len(data) + 1):
        reader = DIALECT.stream_reader("chat", keep_raw=True)
        found = reader.feed(data[:cut])
        raw = reader.raw
        found += reader.feed(data[cut:])
        raw += reader.raw
        assert plain(found + reader.eof()) == EVENTS, cut
        assert raw == data, cut
    bytewise = DIALECT.stream_reader("chat")
    assert plain([e for i in range(len(data)) for e in bytewise.feed(data[i : i + 1])]) == EVENTS


def test_every_early_end_is_a_cut() -> None:
    data = written()
    whole = data.index(b'"finish_reason":"tool_calls"')
    whole = data.index(b"\n\n", whole) + 2
    for end in range(len(data)):
        reader = DIALECT.stream_reader("chat")
        found = reader.feed(data[:end]) + reader.eof()
        assert [e["type"] for e in found].count("usage") + [e["type"] for e in found].count("error") == 1
        assert (found[-1]["type"] == "error") == (end < whole), end


def test_servers_that_repeat_themselves() -> None:
    """Some send id and name with every piece, usage with every chunk, and finish twice."""

    def datum(delta: Any, finish: Any = None, **more: Any) -> bytes:
        return (
            b"data: "
            + orjson.dumps(
                {
                    "id": "x",
                    "created": 1,
                    "model": "m",
                    "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
                    **more,
                }
            )
            + b"\n\n"
        )

    piece = {"index": 0, "id": "t", "function": {"name": "f", "arguments": "{"}}
    reader = DIALECT.stream_reader("chat")
    found = reader.feed(
        datum({"tool_calls": [piece]}, usage={"prompt_tokens": 1, "completion_tokens": 1})
        + datum(
            {"tool_calls": [{**piece, "function": {"name": "f", "arguments": "}"}}]},
            usage={"prompt_tokens": 1, "completion_tokens": 2},
        )
        + datum({}, "tool_calls")
        + datum({}, "tool_calls", usage={"prompt_tokens": 1, "completion_tokens": -3})
        + b"data: [DONE]\n\ndata: more\n\n"
    )
    assert [e["type"] for e in found] == [
        "start",
        "tool_call",
        "tool_arguments",
        "tool_arguments",
        "finish",
        "usage",
    ]
    assert found[-1]["usage"] == {"input_tokens": 1, "output_tokens": 2}
    assert reader.feed(b"data: {}\n\n") == []


def test_bytes_that_are_no_text_leave_the_stream_alive() -> None:
    data = written().replace(b"Par", b"P\xff\xfer")
    reader = DIALECT.stream_reader("chat")
    found = reader.feed(data)
    assert next(e["text"] for e in found if e["type"] == "text") == "P\ufffd\ufffdr"
    assert found[-1]["type"] == "usage"


@pytest.mark.parametrize(
    ("error", "type_", "code"),
    [
        (NoRoute("there is no `x`"), "invalid_request_error", "model_not_found"),
        (RequestError("bad", param="messages[0]"), "invalid_request_error", "bad_request"),
        (UpstreamError("rate_limited", "slow"), "rate_limit_error", "rate_limit_exceeded"),
        (UpstreamError("cut", "gone"), "server_error", "upstream_cut"),
        (UpstreamError("auth", "our key"), "server_error", "upstream_auth"),
    ],
)
def test_errors_have_openais_shape(error: Any, type_: str, code: str) -> None:
    body = DIALECT.write_error(error)["error"]
    assert set(body) == {"message", "type", "param", "code"}
    assert (body["type"], body["code"], body["param"]) == (type_, code, error.param)
    writer = DIALECT.stream_writer("chat", {})
    told = SseDecoder().feed(DIALECT.stream_error(writer, error))[0].data
    assert told is not None
    assert orjson.loads(told)["error"]["code"] == code


def test_the_list_of_models() -> None:
    from openai.types import Model

    body = DIALECT.write_models([{"id": "assistant", "owned_by": "engine", "created": 1}])
    assert body["object"] == "list"
    Model.model_validate(body["data"][0], strict=True)
