"""A client that does not stream, and a vendor that is silent: the limits of a stream hold where written."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pulse import Pulse
from running import Running, running, write_workspace
from scripted import Connection, chunk, head
from vendor import DONE, Vendor, answers, begins_only, chat, event, silence, streams

ROUTES = """\
deployments:
  near: {provider: fake, model: m-1}
  spare: {provider: fake, model: spare, endpoint: "http://127.0.0.1:%d/v1"}
  old: {provider: fake, model: old}
routes:
  quick:
    start: {fallback: [near, spare]}
    timeout: {first_token: 300ms, idle: 300ms}
    retry: {extra: 0}
    admit: {n: 2, tools: true}
  plain: {start: {fallback: [near, spare]}, retry: {extra: 0}, admit: {n: 2, tools: true}}
  still: {start: old, timeout: {first_token: 300ms, total: 1s}, retry: {extra: 0}}
"""
MODELS = """\
  spare: {context: 32k, output: 4k, input_price: $1/M, output_price: $10/M}
  old: {context: 32k, output: 4k, input_price: $1/M, output_price: $10/M, can: [tools]}
"""
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


@pytest.fixture
async def second() -> AsyncIterator[Vendor]:
    """Another vendor, for what falls over to it."""
    async with Vendor() as served:
        yield served


@pytest.fixture
async def server(vendor: Vendor, second: Vendor, tmp_path: Path) -> AsyncIterator[Running]:
    folder = write_workspace(tmp_path / "ws", vendor.port, routes=ROUTES % second.port)
    with (folder / "providers.d" / "fake.yaml").open("a") as file:
        file.write(MODELS)
    async with running(folder) as started:
        yield started


@pytest.mark.parametrize("vendors", [silence, begins_only])
async def test_a_silent_vendor_is_left_in_time(
    server: Running, vendor: Vendor, second: Vendor, vendors: Any
) -> None:
    vendor.answer, second.answer = vendors, streams()
    async with Pulse() as pulse:
        answer = await server.chat("quick")
        assert pulse.seconds < 2
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-engine-deployment"] == "spare"
    assert answer.headers["x-engine-calls"] == "2"
    body = answer.json()
    assert body["choices"][0]["message"]["content"] == "Hello!"
    assert body["object"] == "chat.completion"
    assert "stream" not in body
    assert vendor.bodies[0]["stream"] is True
    assert vendor.bodies[0]["stream_options"] == {"include_usage": True}


async def test_where_nothing_is_written_the_answer_is_asked_for_whole(
    server: Running, vendor: Vendor
) -> None:
    assert (await server.chat("plain")).status_code == 200
    assert "stream" not in vendor.bodies[0]


async def test_a_model_that_cannot_stream_has_only_its_total(server: Running, vendor: Vendor) -> None:
    async def late(connection: Connection) -> None:
        await asyncio.sleep(0.35)
        await answers(chat("At last."))(connection)

    vendor.answer = late
    answer = await server.chat("still")
    assert answer.json()["choices"][0]["message"]["content"] == "At last."
    assert "stream" not in vendor.bodies[0]
    vendor.answer = silence
    begun = time.monotonic()
    async with Pulse() as pulse:
        assert (await server.chat("still")).status_code == 504
        assert pulse.seconds < 2
    assert time.monotonic() - begun > 0.9


def pieces(*bodies: dict[str, Any]) -> bytes:
    base = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_764_000_000, "model": "m-1"}
    return b"".join(chunk(b"data: " + json.dumps({**base, **body}).encode() + b"\n\n") for body in bodies)


def token(text: str) -> dict[str, Any]:
    return {"token": text, "logprob": -0.5, "bytes": None, "top_logprobs": []}


USAGE = {
    "prompt_tokens": 12,
    "completion_tokens": 3,
    "total_tokens": 15,
    "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 1},
}


def choice(index: int = 0, finish: str | None = None, logprobs: Any = None, **delta: Any) -> dict[str, Any]:
    return {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish}


def call(index: int, **fields: Any) -> dict[str, Any]:
    return {"index": index, **fields}


# What one vendor would say to the same request, in pieces and whole.
CASES: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {
    "text with logprobs, two choices": (
        [
            {"choices": [choice(role="assistant", content="")]},
            {"choices": [choice(content="He", logprobs={"content": [token("He")], "refusal": None})]},
            {"choices": [choice(1, content="Yes")]},
            {"choices": [choice(content="y", logprobs={"content": [token("y")], "refusal": None})]},
            {"choices": [choice(finish="stop")]},
            {"choices": [choice(1, finish="length")]},
            {"choices": [], "usage": USAGE},
        ],
        [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hey", "refusal": None},
                "logprobs": {"content": [token("He"), token("y")], "refusal": None},
                "finish_reason": "stop",
            },
            {
                "index": 1,
                "message": {"role": "assistant", "content": "Yes", "refusal": None},
                "logprobs": None,
                "finish_reason": "length",
            },
        ],
    ),
    "tool calls": (
        [
            {"choices": [choice(role="assistant", content=None)]},
            {
                "choices": [
                    choice(
                        tool_calls=[
                            call(0, id="c1", type="function", function={"name": "weather", "arguments": ""})
                        ]
                    )
                ]
            },
            {"choices": [choice(tool_calls=[call(0, function={"arguments": '{"city":'})])]},
            {"choices": [choice(tool_calls=[call(0, function={"arguments": '"Paris"}'})])]},
            {
                "choices": [
                    choice(
                        tool_calls=[
                            call(1, id="c2", type="function", function={"name": "weather", "arguments": "{}"})
                        ]
                    )
                ]
            },
            {"choices": [choice(finish="tool_calls")], "usage": USAGE},
        ],
        [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": None,
                    "refusal": None,
                    "tool_calls": [
                        {
                            "id": "c1",
                            "type": "function",
                            "function": {"name": "weather", "arguments": '{"city":"Paris"}'},
                        },
                        {"id": "c2", "type": "function", "function": {"name": "weather", "arguments": "{}"}},
                    ],
                },
                "logprobs": None,
                "finish_reason": "tool_calls",
            }
        ],
    ),
}


@pytest.mark.parametrize("name", CASES)
async def test_the_answer_is_the_same_either_way(server: Running, vendor: Vendor, name: str) -> None:
    stream, choices = CASES[name]

    async def flows(connection: Connection) -> None:
        connection.send(head(200, "text/event-stream") + pieces(*stream) + DONE)

    vendor.answer = flows
    collected = await server.chat("quick", tools=[TOOL], n=2, logprobs=True)
    whole = chat() | {"choices": choices, "usage": USAGE}
    vendor.answer = answers(whole)
    passed = await server.chat("plain", tools=[TOOL], n=2, logprobs=True)
    assert collected.status_code == passed.status_code == 200
    assert collected.json() == passed.json() == whole
    assert collected.headers["x-engine-cost"] == passed.headers["x-engine-cost"]
    sent, plain = vendor.bodies
    assert sent == plain | {"stream": True, "stream_options": {"include_usage": True}}


async def test_the_socket_is_used_again_after_a_collected_answer(server: Running, vendor: Vendor) -> None:
    vendor.answer = streams()
    for _ in range(3):
        assert (await server.chat("quick")).status_code == 200
    assert len(vendor.connections) == 1


async def test_a_stream_that_was_cut_is_another_targets_answer(
    server: Running, vendor: Vendor, second: Vendor
) -> None:
    async def cuts(connection: Connection) -> None:
        connection.send(head(200, "text/event-stream") + event({"content": "Hel"}))
        connection.end()

    vendor.answer, second.answer = cuts, streams()
    answer = await server.chat("quick")
    assert answer.json()["choices"][0]["message"]["content"] == "Hello!"
    assert answer.headers["x-engine-deployment"] == "spare"
