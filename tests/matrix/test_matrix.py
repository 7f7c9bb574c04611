"""The real SDKs against every chat dialect through one sidecar: what a client asks by what a vendor speaks.

`CELLS` says of each question what it needs of the vendor; one that has no such thing must give the documented
error, so no cell is empty.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, Final

import anthropic
import openai
import pytest
from fakes import ARGUMENTS, DIALECTS, TEXT, Fakes, answers, has
from pydantic import BaseModel

on_one_loop = pytest.mark.asyncio(loop_scope="module")

HI: Final[Any] = [{"role": "user", "content": "How large is Paris?"}]
SCHEMA: Final[Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
FUNCTION: Final[Any] = {"name": "weather", "description": "The weather.", "parameters": SCHEMA}
GPT_TOOLS: Final[Any] = [{"type": "function", "function": FUNCTION}]
RESPONSES_TOOLS: Final[Any] = [{"type": "function", "strict": False, **FUNCTION}]
CLAUDE_TOOLS: Final[Any] = [{"name": "weather", "description": "The weather.", "input_schema": SCHEMA}]


#: What a client of the chat must give back as it came: signatures of reasoning and of calls.
OPAQUE: Final = {"reasoning_details", "extra_content"}


class Trip(BaseModel):
    """The form of an answer."""

    city: str
    days: int


class Asking:
    """One cell: a client, the fakes, and the vendor it asks."""

    def __init__(self, gpt: Any, claude: Any, fakes: Fakes, vendor: str) -> None:
        self.gpt: openai.AsyncOpenAI = gpt
        self.claude: anthropic.AsyncAnthropic = claude
        self.fakes = fakes
        self.vendor = vendor

    def counts(self, given: int | None, taken: int | None, cached: int | None, *, stream: bool) -> None:
        """The vendor's numbers, or an estimate where it tells none of a stream."""
        said = answers(self.vendor)
        if stream and said.get("stream_usage") == "estimated":
            assert given
            assert taken
            return
        want = said["usage"]
        assert (given, taken, cached or 0) == (want["input"], want["output"], want.get("cached", 0))

    def sent(self, turn: int = -1) -> str:
        """What the vendor was asked, as text."""
        return json.dumps(self.fakes.calls[turn][2], ensure_ascii=False)


# --- the openai SDK


def gpt_counts(a: Asking, usage: Any, *, stream: bool = False) -> None:
    """Usage of the chat and the old completions."""
    assert usage is not None
    details = usage.prompt_tokens_details
    a.counts(
        usage.prompt_tokens,
        usage.completion_tokens,
        details.cached_tokens if details else None,
        stream=stream,
    )
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


async def gpt_chat(a: Asking) -> None:
    messages: Any = [{"role": "system", "content": "Be brief."}, *HI]
    reply = await a.gpt.chat.completions.create(model=a.vendor, messages=messages, max_tokens=99)
    assert (reply.choices[0].message.content, reply.choices[0].finish_reason) == (TEXT, "stop")
    assert reply.id
    gpt_counts(a, reply.usage)
    assert "Be brief." in a.sent()
    assert "99" in a.sent()


async def gpt_stream(a: Asking) -> None:
    stream = await a.gpt.chat.completions.create(
        model=a.vendor, messages=HI, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == TEXT
    assert [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason] == [
        "stop"
    ]
    assert len({chunk.id for chunk in chunks} - {"", "chatcmpl-0"}) == 1
    (usage,) = [chunk.usage for chunk in chunks if chunk.usage]
    gpt_counts(a, usage, stream=True)


async def gpt_accumulates(a: Asking) -> None:
    """What the SDK puts together of a stream is what a whole answer says."""
    async with a.gpt.chat.completions.stream(
        model=a.vendor, messages=HI, stream_options={"include_usage": True}
    ) as stream:
        async for _ in stream:
            pass
        reply = await stream.get_final_completion()
    assert (reply.choices[0].message.content, reply.choices[0].finish_reason) == (TEXT, "stop")
    gpt_counts(a, reply.usage, stream=True)


def is_the_call(call: Any) -> str:
    """Checks a call of the chat's; its id."""
    assert call.function.name == "weather"
    assert json.loads(call.function.arguments) == ARGUMENTS
    assert call.id
    return str(call.id)


async def gpt_tools(a: Asking) -> None:
    a.fakes.say("call")
    messages = list(HI)
    first = await a.gpt.chat.completions.create(model=a.vendor, messages=messages, tools=GPT_TOOLS)
    assert first.choices[0].finish_reason == "tool_calls"
    (call,) = first.choices[0].message.tool_calls or ()
    gpt_counts(a, first.usage)
    messages.append(first.choices[0].message.model_dump(include={"role", "content", "tool_calls", *OPAQUE}))
    messages.append({"role": "tool", "tool_call_id": is_the_call(call), "content": "sunny, naïvely"})
    await gpt_second_turn(a, messages)


async def gpt_second_turn(a: Asking, messages: Any) -> None:
    a.fakes.say("text")
    second = await a.gpt.chat.completions.create(model=a.vendor, messages=messages, tools=GPT_TOOLS)
    assert second.choices[0].message.content == TEXT
    assert "sunny, naïvely" in a.sent()
    assert "Rome" in a.sent()
    assert "weather" in a.sent(0)


async def gpt_tools_streamed(a: Asking) -> None:
    a.fakes.say("call")
    messages = list(HI)
    async with a.gpt.chat.completions.stream(model=a.vendor, messages=messages, tools=GPT_TOOLS) as stream:
        async for _ in stream:
            pass
        reply = await stream.get_final_completion()
    assert reply.choices[0].finish_reason == "tool_calls"
    (call,) = reply.choices[0].message.tool_calls or ()
    is_the_call(call)
    messages.append(reply.choices[0].message.model_dump(exclude_none=True, exclude={"parsed"}))
    messages[-1]["tool_calls"] = [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": "weather", "arguments": call.function.arguments},
        }
    ]
    messages.append({"role": "tool", "tool_call_id": call.id, "content": "sunny, naïvely"})
    await gpt_second_turn(a, messages)


async def gpt_schema(a: Asking) -> None:
    a.fakes.say("form")
    reply = await a.gpt.chat.completions.parse(model=a.vendor, messages=HI, response_format=Trip)
    assert reply.choices[0].message.parsed == Trip(city="Paris", days=2)
    assert "properties" in a.sent()


async def gpt_responses(a: Asking) -> None:
    reply = await a.gpt.responses.create(model=a.vendor, instructions="Be brief.", input=HI)
    assert (reply.output_text, reply.status) == (TEXT, "completed")
    assert reply.id
    responses_counts(a, reply.usage)
    assert "Be brief." in a.sent()


def responses_counts(a: Asking, usage: Any, *, stream: bool = False) -> None:
    assert usage is not None
    a.counts(usage.input_tokens, usage.output_tokens, usage.input_tokens_details.cached_tokens, stream=stream)


async def gpt_responses_stream(a: Asking) -> None:
    async with a.gpt.responses.stream(model=a.vendor, input=HI) as stream:
        events = [event async for event in stream]
        final = await stream.get_final_response()
    assert final.output_text == TEXT
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == TEXT
    assert [e.type for e in events if e.type in ("response.created", "response.completed")] == [
        "response.created",
        "response.completed",
    ]
    responses_counts(a, final.usage, stream=True)


async def gpt_responses_tools(a: Asking) -> None:
    a.fakes.say("call")
    said: Any = list(HI)
    first = await a.gpt.responses.create(model=a.vendor, input=said, tools=RESPONSES_TOOLS)
    await responses_second_turn(a, said, first)


async def gpt_responses_tools_streamed(a: Asking) -> None:
    a.fakes.say("call")
    said: Any = list(HI)
    async with a.gpt.responses.stream(model=a.vendor, input=said, tools=RESPONSES_TOOLS) as stream:
        async for _ in stream:
            pass
        first = await stream.get_final_response()
    await responses_second_turn(a, said, first)


async def responses_second_turn(a: Asking, said: Any, first: Any) -> None:
    (call,) = [item for item in first.output if item.type == "function_call"]
    assert (call.name, json.loads(call.arguments)) == ("weather", ARGUMENTS)
    fields = {"type", "id", "call_id", "name", "arguments", "encrypted_content", "summary", "content", "role"}
    said += [item.model_dump(exclude_none=True, include=fields) for item in first.output]
    said.append({"type": "function_call_output", "call_id": call.call_id, "output": "sunny, naïvely"})
    a.fakes.say("text")
    second = await a.gpt.responses.create(model=a.vendor, input=said, tools=RESPONSES_TOOLS)
    assert second.output_text == TEXT
    assert "sunny, naïvely" in a.sent()
    assert "Rome" in a.sent()


async def gpt_responses_schema(a: Asking) -> None:
    a.fakes.say("form")
    reply = await a.gpt.responses.parse(model=a.vendor, input=HI, text_format=Trip)
    assert reply.output_parsed == Trip(city="Paris", days=2)


async def gpt_completions(a: Asking) -> None:
    reply = await a.gpt.completions.create(model=a.vendor, prompt="How large is Paris?", max_tokens=99)
    assert (reply.choices[0].text, reply.choices[0].finish_reason) == (TEXT, "stop")
    assert reply.id
    gpt_counts(a, reply.usage)
    assert "How large is Paris?" in a.sent()


async def gpt_completions_stream(a: Asking) -> None:
    stream = await a.gpt.completions.create(
        model=a.vendor, prompt="How large?", stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert "".join(c.choices[0].text for c in chunks if c.choices) == TEXT
    (usage,) = [chunk.usage for chunk in chunks if chunk.usage]
    gpt_counts(a, usage, stream=True)


# --- the anthropic SDK


def claude_counts(a: Asking, usage: Any, *, stream: bool = False) -> None:
    """Here the input count leaves out what the cache gave."""
    cached = usage.cache_read_input_tokens or 0
    a.counts(usage.input_tokens + cached, usage.output_tokens, cached, stream=stream)


async def claude_messages(a: Asking) -> None:
    reply = await a.claude.messages.create(model=a.vendor, max_tokens=99, system="Be brief.", messages=HI)
    assert [block.text for block in reply.content if block.type == "text"] == [TEXT]
    assert (reply.stop_reason, reply.role) == ("end_turn", "assistant")
    assert reply.id not in ("", "msg_0")
    claude_counts(a, reply.usage)
    assert "Be brief." in a.sent()
    assert "99" in a.sent()


async def claude_stream(a: Asking) -> None:
    async with a.claude.messages.stream(model=a.vendor, max_tokens=99, messages=HI) as stream:
        text = "".join([piece async for piece in stream.text_stream])
        final = await stream.get_final_message()
    assert text == TEXT
    assert [block.text for block in final.content if block.type == "text"] == [TEXT]
    assert final.stop_reason == "end_turn"
    claude_counts(a, final.usage, stream=True)


async def claude_tools(a: Asking) -> None:
    a.fakes.say("call")
    first = await a.claude.messages.create(model=a.vendor, max_tokens=99, messages=HI, tools=CLAUDE_TOOLS)
    claude_counts(a, first.usage)
    await claude_second_turn(a, first)


async def claude_tools_streamed(a: Asking) -> None:
    a.fakes.say("call")
    async with a.claude.messages.stream(
        model=a.vendor, max_tokens=99, messages=HI, tools=CLAUDE_TOOLS
    ) as stream:
        first = await stream.get_final_message()
    await claude_second_turn(a, first)


async def claude_second_turn(a: Asking, first: Any) -> None:
    assert first.stop_reason == "tool_use"
    (call,) = [block for block in first.content if block.type == "tool_use"]
    assert (call.name, call.input, bool(call.id)) == ("weather", ARGUMENTS, True)
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "sunny, naïvely"}
    messages: Any = [
        *HI,
        {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in first.content]},
        {"role": "user", "content": [result]},
    ]
    a.fakes.say("text")
    second = await a.claude.messages.create(
        model=a.vendor, max_tokens=99, messages=messages, tools=CLAUDE_TOOLS
    )
    assert [block.text for block in second.content if block.type == "text"] == [TEXT]
    assert "sunny, naïvely" in a.sent()
    assert "Rome" in a.sent()


async def claude_counts_tokens(a: Asking) -> None:
    """By the vendor where it counts, by us where it does not."""
    counted = await a.claude.messages.count_tokens(model=a.vendor, messages=HI, system="Be brief.")
    if "counted" in answers(a.vendor):
        assert counted.input_tokens == 23
        assert a.fakes.calls[0][1] == answers(a.vendor)["asked"]["count"]
    else:
        assert 10 < counted.input_tokens < 100  # never too few
        assert a.fakes.calls == []


#: Every question, and what it needs of a vendor.
CELLS: Final[dict[str, tuple[Callable[[Asking], Awaitable[None]], str | None]]] = {
    "openai chat": (gpt_chat, None),
    "openai chat, streamed": (gpt_stream, None),
    "openai chat, put together by the SDK": (gpt_accumulates, None),
    "openai tools": (gpt_tools, "tools"),
    "openai tools, streamed": (gpt_tools_streamed, "tools"),
    "openai schema": (gpt_schema, "schema"),
    "openai responses": (gpt_responses, None),
    "openai responses, streamed": (gpt_responses_stream, None),
    "openai responses, tools": (gpt_responses_tools, "tools"),
    "openai responses, tools, streamed": (gpt_responses_tools_streamed, "tools"),
    "openai responses, schema": (gpt_responses_schema, "schema"),
    "openai completions": (gpt_completions, None),
    "openai completions, streamed": (gpt_completions_stream, None),
    "anthropic messages": (claude_messages, None),
    "anthropic messages, streamed": (claude_stream, None),
    "anthropic tools": (claude_tools, "tools"),
    "anthropic tools, streamed": (claude_tools_streamed, "tools"),
    "anthropic count": (claude_counts_tokens, None),
}


@on_one_loop
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("vendor", DIALECTS)
async def test_a_cell(
    vendor: str, cell: str, gpt: openai.AsyncOpenAI, claude: anthropic.AsyncAnthropic, fakes: Fakes
) -> None:
    ask, needs = CELLS[cell]
    asking = Asking(gpt, claude, fakes, vendor)
    if needs is None or has(vendor, needs):
        await ask(asking)
        assert fakes.faults == []
        return
    with pytest.raises((openai.BadRequestError, anthropic.BadRequestError)) as refused:
        await ask(asking)
    told = str(refused.value.body)
    assert "unsupported" in told
    assert fakes.calls == []  # nobody was asked what could not have been carried


def test_no_cell_is_empty() -> None:
    lacking = {vendor for vendor in DIALECTS if not (has(vendor, "tools") and has(vendor, "schema"))}
    assert lacking == {"replicate", "openai_completions"}


@on_one_loop
async def test_a_job_is_asked_for_until_it_is_done(gpt: openai.AsyncOpenAI, fakes: Fakes) -> None:
    fakes.job_lasts = 1
    reply = await gpt.chat.completions.create(model="replicate", messages=HI)
    assert reply.choices[0].message.content == TEXT
    assert [called.split(" ")[0] for _, called, _ in fakes.calls] == ["POST", "GET"]


@on_one_loop
async def test_a_job_is_followed_as_a_stream(gpt: openai.AsyncOpenAI, fakes: Fakes) -> None:
    await gpt_stream(Asking(gpt, None, fakes, "replicate"))
    assert fakes.calls[0][2]["stream"] is True
    assert fakes.calls[1][1].endswith("/stream")
