"""What goes wrong at a vendor, as the SDKs' exceptions: every class of failure by every chat dialect."""

from __future__ import annotations

from typing import Any, Final

import anthropic
import openai
import pytest
from fakes import DIALECTS, Fakes
from running import Running

pytestmark = pytest.mark.asyncio(loop_scope="module")

HI: Final[Any] = [{"role": "user", "content": "Hello?"}]

#: Failure class -> exception of the openai SDK, its `code`, exception of the anthropic SDK, its `type`. Our
#: credential and our model's name are no fault of the client's: they are told as a bad gateway.
TOLD: Final[dict[str, tuple[type[Exception], str, type[Exception], str]]] = {
    "auth": (openai.InternalServerError, "upstream_auth", anthropic.InternalServerError, "api_error"),
    "not_found": (
        openai.InternalServerError,
        "upstream_not_found",
        anthropic.InternalServerError,
        "api_error",
    ),
    "rate_limited": (
        openai.RateLimitError,
        "rate_limit_exceeded",
        anthropic.RateLimitError,
        "rate_limit_error",
    ),
    "context_length": (
        openai.BadRequestError,
        "context_length_exceeded",
        anthropic.BadRequestError,
        "invalid_request_error",
    ),
    "server": (openai.InternalServerError, "upstream_error", anthropic.InternalServerError, "api_error"),
    "overloaded": (
        openai.InternalServerError,
        "overloaded",
        anthropic.InternalServerError,
        "overloaded_error",
    ),
}


async def gpt_asks(gpt: openai.AsyncOpenAI, vendor: str, way: str) -> None:
    match way:
        case "chat":
            await gpt.chat.completions.create(model=vendor, messages=HI)
        case "stream":
            await gpt.chat.completions.create(model=vendor, messages=HI, stream=True)
        case "responses":
            await gpt.responses.create(model=vendor, input="Hello?")
        case _:
            await gpt.completions.create(model=vendor, prompt="Hello?")


@pytest.mark.parametrize("failure", TOLD)
@pytest.mark.parametrize("vendor", DIALECTS)
async def test_an_answer_that_is_an_error(
    vendor: str,
    failure: str,
    gpt: openai.AsyncOpenAI,
    claude: anthropic.AsyncAnthropic,
    fakes: Fakes,
    sidecar: Running,
) -> None:
    fakes.say(f"error:{failure}")
    error, code, claude_error, word = TOLD[failure]
    for way in ("chat", "stream", "responses", "completions"):
        sidecar.sidecar.host.health.keep((), ())  # each asks anew: nobody is paused for what was before
        with pytest.raises(openai.APIStatusError) as raised:
            await gpt_asks(gpt, vendor, way)
        assert type(raised.value) is error, way
        assert raised.value.code == code, way
        if failure == "rate_limited":
            assert raised.value.response.headers["retry-after"] == "7", way
    sidecar.sidecar.host.health.keep((), ())
    with pytest.raises(anthropic.APIStatusError) as told:
        await claude.messages.create(model=vendor, max_tokens=9, messages=HI)
    assert isinstance(told.value, claude_error)
    assert told.value.type == word
    if failure == "rate_limited":
        assert told.value.response.headers["retry-after"] == "7"
    assert fakes.faults == []


async def gpt_streams(gpt: openai.AsyncOpenAI, vendor: str, said: list[str]) -> None:
    async for chunk in await gpt.chat.completions.create(model=vendor, messages=HI, stream=True):
        said += [each.delta.content or "" for each in chunk.choices]


async def gpt_responds(gpt: openai.AsyncOpenAI, vendor: str, said: list[str]) -> None:
    async for event in await gpt.responses.create(model=vendor, input="Hello?", stream=True):
        said += [event.delta] if event.type == "response.output_text.delta" else []


async def claude_streams(claude: anthropic.AsyncAnthropic, vendor: str, said: list[str]) -> None:
    async with claude.messages.stream(model=vendor, max_tokens=9, messages=HI) as stream:
        async for piece in stream.text_stream:
            said.append(piece)


@pytest.mark.parametrize("vendor", DIALECTS)
async def test_an_error_inside_a_stream(
    vendor: str, gpt: openai.AsyncOpenAI, claude: anthropic.AsyncAnthropic, fakes: Fakes
) -> None:
    """What came before it arrived; then the SDK raises, in every format."""
    heard: list[list[str]] = [[], [], []]
    fakes.say("stream_error", heard[0])
    with pytest.raises(openai.APIError):
        await gpt_streams(gpt, vendor, heard[0])
    fakes.say("stream_error", heard[1])
    with pytest.raises(openai.APIError):
        await gpt_responds(gpt, vendor, heard[1])
    fakes.say("stream_error", heard[2])
    with pytest.raises(anthropic.APIStatusError):
        await claude_streams(claude, vendor, heard[2])
    assert ["".join(said) for said in heard] == ["Größe: "] * 3
    assert fakes.faults == []
