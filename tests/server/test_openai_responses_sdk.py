"""The openai SDK's `responses` and `completions` over a real socket, before a vendor of Chat Completions."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from openai.types.responses import ResponseFunctionToolCall
from pydantic import BaseModel
from running import Running
from vendor import Vendor, answers, chat, streams

TOOL: Any = {
    "type": "function",
    "name": "weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    "strict": False,
}
CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Paris"}'}}


@pytest.fixture
async def sdk(sidecar: Running) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{sidecar.url}/v1", api_key="any", max_retries=0) as client:
        yield client


async def test_a_response(sdk: openai.AsyncOpenAI, vendor: Vendor) -> None:
    response = await sdk.responses.create(
        model="one", instructions="Be brief.", input="Hello?", max_output_tokens=50
    )
    assert response.output_text == "Hello!"
    assert response.status == "completed"
    assert response.usage is not None
    assert response.usage.total_tokens == 15
    sent = vendor.bodies[0]
    assert [each["role"] for each in sent["messages"]] == ["system", "user"]
    assert sent["max_completion_tokens"] == 50


async def test_a_stream(sdk: openai.AsyncOpenAI, vendor: Vendor) -> None:
    vendor.answer = streams()
    async with sdk.responses.stream(model="both", input="Hello?") as stream:
        types = [event.type async for event in stream]
        final = await stream.get_final_response()
    assert final.output_text == "Hello!"
    assert types[0] == "response.created"
    assert types[-1] == "response.completed"
    assert final.usage is not None
    assert final.usage.output_tokens > 0


async def test_a_tool_there_and_back(sdk: openai.AsyncOpenAI, vendor: Vendor) -> None:
    thought = [{"type": "reasoning.text", "text": "Hm.", "signature": "s", "format": "anthropic-claude-v1"}]
    nothing: Any = None  # as vendors send it beside calls
    vendor.answer = answers(chat(nothing, tool_calls=[CALL], reasoning_details=thought))
    said: Any = [{"role": "user", "content": "Hello?"}]
    first = await sdk.responses.create(model="one", input=said, tools=[TOOL])
    call = first.output[-1]
    assert isinstance(call, ResponseFunctionToolCall)
    assert json.loads(call.arguments) == {"city": "Paris"}
    said += [item.model_dump(exclude_none=True) for item in first.output]
    said.append({"type": "function_call_output", "call_id": call.call_id, "output": "sunny"})
    vendor.answer = answers(chat("It is sunny."))
    second = await sdk.responses.create(model="one", input=said, tools=[TOOL])
    assert second.output_text == "It is sunny."
    _, assistant, result = vendor.bodies[1]["messages"]
    assert assistant["tool_calls"] == [CALL]
    assert assistant["reasoning_details"] == thought  # through a client of another format and back
    assert result == {"role": "tool", "tool_call_id": "call_1", "content": "sunny"}


class City(BaseModel):
    name: str


async def test_structured_output(sdk: openai.AsyncOpenAI, vendor: Vendor) -> None:
    vendor.answer = answers(chat('{"name": "Paris"}'))
    response = await sdk.responses.parse(model="one", input="Which?", text_format=City)
    assert response.output_parsed == City(name="Paris")
    assert vendor.bodies[0]["response_format"]["json_schema"]["name"] == "City"


async def test_errors(sdk: openai.AsyncOpenAI, vendor: Vendor) -> None:
    unheard: Any = [{"role": "tool", "content": "x"}]
    with pytest.raises(openai.BadRequestError) as wrong:
        await sdk.responses.create(model="one", input=unheard)
    assert (wrong.value.code, wrong.value.param) == ("invalid_value", "input[0].role")
    with pytest.raises(openai.NotFoundError):
        await sdk.responses.create(model="nobody", input="Hello?")
    vendor.answer = answers({"error": {"message": "no", "type": "t", "code": "c"}}, 429)
    with pytest.raises(openai.RateLimitError):
        await sdk.responses.create(model="once", input="Hello?")


async def test_what_only_openai_keeps_goes_nowhere_else(sdk: openai.AsyncOpenAI, vendor: Vendor) -> None:
    kept: list[dict[str, Any]] = [
        {"previous_response_id": "resp_1"},
        {"background": True},
        {"conversation": "conv_1"},
        {"input": [{"type": "item_reference", "id": "rs_1"}]},
        {"tools": [{"type": "web_search"}]},
    ]
    for each in kept:
        with pytest.raises(openai.BadRequestError):
            await sdk.responses.create(**{"model": "once", "input": "Hello?", **each})
    assert vendor.bodies == []


async def test_completions(sdk: openai.AsyncOpenAI, vendor: Vendor) -> None:
    whole = await sdk.completions.create(model="one", prompt="Hello?", max_tokens=50)
    assert whole.choices[0].text == "Hello!"
    assert vendor.bodies[0]["messages"] == [{"role": "user", "content": "Hello?"}]
    vendor.answer = streams()
    stream = await sdk.completions.create(model="one", prompt=["Hello?"], stream=True)
    assert "".join([chunk.choices[0].text async for chunk in stream]) == "Hello!"
    with pytest.raises(openai.BadRequestError, match="at most 1"):
        await sdk.completions.create(model="one", prompt=["a", "b"])
