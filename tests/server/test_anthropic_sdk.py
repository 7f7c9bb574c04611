"""The anthropic SDK as a real client over a real socket, in front of a vendor of another format."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anthropic
import pytest
from running import Running, running, write_workspace
from vendor import Vendor, answers, chat, streams

HI: Any = [{"role": "user", "content": "Hello?"}]
TOOL: Any = {
    "name": "weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}
CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Paris"}'}}


@pytest.fixture
async def sdk(sidecar: Running) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(base_url=sidecar.url, api_key="any", max_retries=0) as client:
        yield client


async def test_a_message(sdk: anthropic.AsyncAnthropic, vendor: Vendor) -> None:
    message = await sdk.messages.create(model="one", max_tokens=50, system="Be brief.", messages=HI)
    assert [block.model_dump(exclude_none=True) for block in message.content] == [
        {"type": "text", "text": "Hello!"}
    ]
    assert message.stop_reason == "end_turn"
    assert message.usage.input_tokens + message.usage.output_tokens == 15
    sent = vendor.bodies[0]
    assert [each["role"] for each in sent["messages"]] == ["system", "user"]
    assert sent["max_completion_tokens"] == 50


async def test_a_stream(sdk: anthropic.AsyncAnthropic, vendor: Vendor) -> None:
    vendor.answer = streams()
    async with sdk.messages.stream(model="both", max_tokens=50, messages=HI) as stream:
        text = "".join([piece async for piece in stream.text_stream])
        final = await stream.get_final_message()
    assert text == "Hello!"
    assert final.stop_reason == "end_turn"
    assert final.usage.output_tokens > 0


async def test_a_tool_there_and_back(sdk: anthropic.AsyncAnthropic, vendor: Vendor) -> None:
    vendor.answer = answers(chat(None, tool_calls=[CALL]))  # type: ignore[arg-type] # null content, as vendors send
    messages: Any = [*HI]
    first = await sdk.messages.create(model="one", max_tokens=50, messages=messages, tools=[TOOL])
    assert first.stop_reason == "tool_use"
    call = first.content[-1]
    assert isinstance(call, anthropic.types.ToolUseBlock)
    assert call.input == {"city": "Paris"}
    messages.append({"role": "assistant", "content": first.content})
    messages.append(
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}]}
    )
    vendor.answer = answers(chat("It is sunny."))
    second = await sdk.messages.create(model="one", max_tokens=50, messages=messages, tools=[TOOL])
    assert second.stop_reason == "end_turn"
    sent = vendor.bodies[1]["messages"]
    assert [each["role"] for each in sent] == ["user", "assistant", "tool"]
    assert json.loads(sent[1]["tool_calls"][0]["function"]["arguments"]) == {"city": "Paris"}
    assert sent[2]["tool_call_id"] == call.id


async def test_a_count_of_tokens(sdk: anthropic.AsyncAnthropic, vendor: Vendor) -> None:
    counted = await sdk.messages.count_tokens(model="one", messages=HI, tools=[TOOL])
    assert counted.input_tokens > 1
    assert vendor.bodies == []


@pytest.mark.parametrize(
    ("status", "error", "word"),
    [
        (400, anthropic.BadRequestError, "invalid_request_error"),
        (429, anthropic.RateLimitError, "rate_limit_error"),
        (500, anthropic.InternalServerError, "api_error"),
        (503, anthropic.InternalServerError, "overloaded_error"),
    ],
)
async def test_errors(
    status: int, error: type[Exception], word: str, sdk: anthropic.AsyncAnthropic, vendor: Vendor
) -> None:
    vendor.answer = answers({"error": {"message": "no", "type": "x", "code": None}}, status)
    with pytest.raises(error) as raised:
        await sdk.messages.create(model="once", max_tokens=50, messages=HI)
    assert isinstance(raised.value, anthropic.APIStatusError)
    assert raised.value.type == word


async def test_what_is_wrong_is_named(sdk: anthropic.AsyncAnthropic) -> None:
    with pytest.raises(anthropic.NotFoundError, match="nobody"):
        await sdk.messages.create(model="nobody", max_tokens=50, messages=HI)
    wrong: Any = [{"role": "user", "content": [{"type": "txt", "text": "x"}]}]
    with pytest.raises(anthropic.BadRequestError, match=r"messages\[0\]\.content\[0\]\.type"):
        await sdk.messages.create(model="one", max_tokens=50, messages=wrong)


PROVIDER = """\
dialect: anthropic_messages
base_url: http://127.0.0.1:{port}
auth: none
residency: on_host
models:
  m-2: {{context: 32k, output: 4k, input_price: $1/M, output_price: $10/M}}
"""
ROUTES = "deployments:\n  own: {provider: own, model: m-2}\nroutes:\n  own: own\n"
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "m-2",
    "content": [{"type": "text", "text": "Hello!", "citations": None}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 5, "output_tokens": 2},
}


async def test_a_vendor_of_the_same_format(vendor: Vendor, tmp_path: Path) -> None:
    """The body passes through, and so do the headers that say which version of the API it is of."""
    folder = write_workspace(tmp_path / "ws", vendor.port, routes=ROUTES)
    (folder / "providers.d" / "own.yaml").write_text(PROVIDER.format(port=vendor.port))
    vendor.answer = answers(MESSAGE)
    async with (
        running(folder) as sidecar,
        anthropic.AsyncAnthropic(base_url=sidecar.url, api_key="any", max_retries=0) as client,
    ):
        message = await client.messages.create(
            model="own", max_tokens=50, messages=HI, extra_headers={"anthropic-beta": "some-feature"}
        )
        assert message.usage.output_tokens == 2
        asked = (await vendor.asked()).last.partition(b"\r\n\r\n")[0].lower()
        assert b"anthropic-version: 2026-10-21" in asked
        assert b"anthropic-beta: some-feature" in asked
        assert asked.count(b"anthropic-version") == 1
        await sidecar.client.post("/v1/chat/completions", json={"model": "own", "messages": HI})
        written = (await vendor.asked()).last.partition(b"\r\n\r\n")[0].lower()
        assert b"anthropic-version: 2023-06-01" in written
        assert b"anthropic-beta" not in written
