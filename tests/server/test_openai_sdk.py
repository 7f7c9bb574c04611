"""The openai SDK as a real client over a real socket: both sides understand what they get."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import openai
import pytest
from running import HELLO, Running
from vendor import Vendor, answers, chat, streams

TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Paris"}'}}


@pytest.fixture
async def sdk(sidecar: Running) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{sidecar.url}/v1", api_key="any", max_retries=0) as client:
        yield client


async def test_a_chat(sdk: openai.AsyncOpenAI, vendor: Vendor) -> None:
    reply = await sdk.chat.completions.create(model="one", messages=HELLO)  # type: ignore[arg-type] # plain dicts
    assert reply.choices[0].message.content == "Hello!"
    assert reply.usage is not None
    assert reply.usage.total_tokens == 15


async def test_a_stream(sdk: openai.AsyncOpenAI, vendor: Vendor) -> None:
    vendor.answer = streams()
    stream = await sdk.chat.completions.create(
        model="both",
        messages=HELLO,  # type: ignore[arg-type]
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "Hello!"
    assert [c.usage.total_tokens for c in chunks if c.usage] == [15]
    # The headers had gone before the cost was known: it is a member of the last chunk.
    assert [(c.model_extra or {}).get("x_engine") for c in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1].model_extra == {"x_engine": {"cost": 0.000042, "deployment": "near", "calls": 3}}


async def test_a_tool_there_and_back(sdk: openai.AsyncOpenAI, vendor: Vendor) -> None:
    vendor.answer = answers(chat(None, tool_calls=[CALL]))  # type: ignore[arg-type] # null content, as vendors send
    messages = [*HELLO]
    first = await sdk.chat.completions.create(model="one", messages=messages, tools=[TOOL])  # type: ignore[arg-type]
    calls = first.choices[0].message.tool_calls
    assert calls is not None
    assert first.choices[0].finish_reason == "tool_calls"
    assert json.loads(calls[0].function.arguments) == {"city": "Paris"}  # type: ignore[union-attr]
    messages.append(first.choices[0].message.model_dump(exclude_none=True))
    messages.append({"role": "tool", "tool_call_id": "call_1", "content": "sunny"})
    vendor.answer = answers(chat("It is sunny."))
    second = await sdk.chat.completions.create(model="one", messages=messages, tools=[TOOL])  # type: ignore[arg-type]
    assert second.choices[0].message.content == "It is sunny."
    assert [message["role"] for message in vendor.bodies[1]["messages"]] == ["user", "assistant", "tool"]


async def test_the_list_of_models(sdk: openai.AsyncOpenAI) -> None:
    assert "one" in [model.id async for model in sdk.models.list()]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, openai.BadRequestError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
    ],
)
async def test_a_vendors_errors(
    sdk: openai.AsyncOpenAI, vendor: Vendor, status: int, error: type[openai.APIStatusError]
) -> None:
    vendor.answer = answers({"error": {"message": "no", "type": "t", "code": "c"}}, status)
    with pytest.raises(error) as caught:
        await sdk.chat.completions.create(model="once", messages=HELLO)  # type: ignore[arg-type]
    assert caught.value.code


async def test_our_errors(sdk: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        await sdk.chat.completions.create(model="nobody", messages=HELLO)  # type: ignore[arg-type]
    assert unknown.value.code == "model_not_found"
    assert "one" in unknown.value.message
    with pytest.raises(openai.BadRequestError) as empty:
        await sdk.chat.completions.create(model="one", messages=[])
    assert (empty.value.code, empty.value.param) == ("invalid_value", "messages")


async def test_an_error_inside_a_stream(sdk: openai.AsyncOpenAI, vendor: Vendor) -> None:
    async def cuts(connection: object) -> None:
        from vendor import begin

        begin(connection)  # type: ignore[arg-type] # the vendor's own type
        connection.end()  # type: ignore[attr-defined]

    vendor.answer = cuts
    stream = await sdk.chat.completions.create(model="one", messages=HELLO, stream=True)  # type: ignore[arg-type]
    with pytest.raises(openai.APIError):
        _ = [chunk async for chunk in stream]
