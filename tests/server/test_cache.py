"""A cache over the sidecar's own HTTP: hits in either format, whole and streamed, and questions alike."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from running import HELLO, Running, running, write_workspace
from scripted import Connection
from vendor import Vendor, answers, chat, silence, streams

ROUTES = """\
deployments:
  near: {provider: fake, model: m-1}
  minilm: {provider: fake, model: e-1}
routes:
  exact: {start: {cache: near, exact: 1h}}
  alike: {start: {cache: near, semantic: {above: 0.9, ttl: 1h, embed: minilm}}}
  vectors: {match: {operations: [embeddings]}, start: {cache: minilm, exact: 1h}}
  slow: {start: {cache: {use: near, retry: {extra: 0}, timeout: {total: 300ms}}, exact: 1h}}
"""
PROVIDER = """\
operations: [chat, embeddings]
"""


@pytest.fixture
async def cached(vendor: Vendor, tmp_path: Path) -> AsyncIterator[Running]:
    folder = write_workspace(tmp_path / "ws", vendor.port, routes=ROUTES)
    provider = folder / "providers.d" / "fake.yaml"
    models = "  e-1: {context: 8k, input_price: $1/M}\n"
    provider.write_text(PROVIDER + provider.read_text() + models)
    async with running(folder) as started:
        yield started


PATHS = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}


async def ask(
    sidecar: Running, form: str, *, stream: bool, model: str = "exact", text: str = "Hello?", **headers: str
) -> tuple[str, Any]:
    """The text that a client gets, and the answer's headers."""
    body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": text}], "stream": stream}
    if form == "anthropic":
        body["max_tokens"] = 100
    answer = await sidecar.client.post(PATHS[form], json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    if not stream:
        told = answer.json()
        whole = told["choices"][0]["message"] if form == "openai" else told["content"][0]
        return whole["content" if form == "openai" else "text"], answer.headers
    lines = [line[6:] for line in answer.text.splitlines() if line.startswith("data: ")]
    events = [json.loads(line) for line in lines if line != "[DONE]"]
    if form == "openai":
        assert lines[-1] == "[DONE]"
        pieces = [choice["delta"].get("content") or "" for each in events for choice in each["choices"]]
    else:
        assert events[-1]["type"] == "message_stop"
        pieces = [each["delta"].get("text", "") for each in events if each["type"] == "content_block_delta"]
    return "".join(pieces), answer.headers


@pytest.mark.parametrize("form", PATHS)
@pytest.mark.parametrize("first", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("second", [False, True], ids=["whole", "stream"])
async def test_a_hit(cached: Running, vendor: Vendor, form: str, first: bool, second: bool) -> None:
    """The vendor's own format passes through byte for byte the first time, and is kept all the same."""
    vendor.answer = streams() if first else answers(chat("Hello!"))
    text, headers = await ask(cached, form, stream=first)
    assert (text, headers["x-engine-cache"], headers["x-engine-calls"]) == ("Hello!", "miss", "1")
    vendor.answer = silence
    text, headers = await ask(cached, form, stream=second)
    assert (text, headers["x-engine-cache"], headers["x-engine-calls"]) == ("Hello!", "hit", "0")
    assert headers["x-engine-deployment"] == "near"
    assert headers.get("x-engine-cost", "0.000000") == "0.000000"
    assert len(vendor.bodies) == 1


async def test_one_formats_answer_serves_the_other(cached: Running, vendor: Vendor) -> None:
    """The same conversation under the same limit is the same request, whoever tells it."""
    body = {"model": "exact", "messages": HELLO, "max_tokens": 100}
    vendor.answer = answers(chat("Hello!"))
    first = await cached.client.post(PATHS["openai"], json=body)
    second = await cached.client.post(PATHS["anthropic"], json=body)
    assert [each.headers["x-engine-cache"] for each in (first, second)] == ["miss", "hit"]
    assert second.json()["content"] == [{"type": "text", "text": "Hello!"}]


async def test_a_client_may_say_how(cached: Running, vendor: Vendor) -> None:
    vendor.answer = answers(chat("Hello!"))
    found = []
    for control in ("", "no-store", "no-cache", ""):
        headers = {"cache-control": control} if control else {}
        _, told = await ask(cached, "openai", stream=False, **headers)
        found.append(told["x-engine-cache"])
    assert found == ["miss", "bypass", "miss", "hit"]
    assert len(vendor.bodies) == 3


async def test_tool_calls_are_made_anew(cached: Running, vendor: Vendor) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "pay", "arguments": "{}"}}
    vendor.answer = answers(chat("", tool_calls=[call]))
    for _ in range(2):
        answer = await cached.chat("exact", tools=[{"type": "function", "function": {"name": "pay"}}])
        assert answer.headers["x-engine-cache"] == "miss"
    assert len(vendor.bodies) == 2


async def test_errors_are_not_kept(cached: Running, vendor: Vendor) -> None:
    vendor.answer = silence
    assert (await cached.chat("slow")).status_code == 504
    vendor.answer = answers(chat("Hello!"))
    assert (await cached.chat("slow")).headers["x-engine-cache"] == "miss"
    assert (await cached.chat("slow")).headers["x-engine-cache"] == "hit"


async def test_answers_outlive_a_reload_but_not_an_edit(cached: Running, vendor: Vendor) -> None:
    vendor.answer = answers(chat("Hello!"))
    routes = cached.folder / "routes" / "main.yaml"
    found = []
    for text in (
        ROUTES,
        ROUTES + "  more: near\n",
        ROUTES.replace("model: m-1", "model: m-1, wire_model: m-2"),
    ):
        routes.write_text(text)
        assert (await cached.client.post("/admin/reload")).status_code == 200
        found.append((await cached.chat("exact")).headers["x-engine-cache"])
    assert found == ["miss", "hit", "miss"]


async def test_questions_alike(cached: Running, vendor: Vendor) -> None:
    angles = {"What is a mutex?": 0.0, "Tell me what a mutex is": 0.2, "How do I bake bread?": 1.5}

    async def both(connection: Connection) -> None:
        body = vendor.bodies[-1]
        if "input" not in body:
            await answers(chat(body["messages"][0]["content"].upper()))(connection)
            return
        angle = angles[body["input"][0] if isinstance(body["input"], list) else body["input"]]
        data = [{"object": "embedding", "index": 0, "embedding": [math.cos(angle), math.sin(angle)]}]
        usage = {"prompt_tokens": 5, "total_tokens": 5}
        await answers({"object": "list", "data": data, "model": "e-1", "usage": usage})(connection)

    vendor.answer = both
    found = []
    for text in (*angles, "What is a mutex?"):
        said, headers = await ask(cached, "openai", stream=False, model="alike", text=text)
        found.append((said, headers["x-engine-cache"], headers["x-engine-calls"], headers["x-engine-cost"]))
    assert found == [
        ("WHAT IS A MUTEX?", "miss", "2", "0.000047"),
        ("WHAT IS A MUTEX?", "hit", "1", "0.000005"),
        ("HOW DO I BAKE BREAD?", "miss", "2", "0.000047"),
        ("WHAT IS A MUTEX?", "hit", "0", "0.000000"),
    ]


@pytest.mark.parametrize("form", [{}, {"encoding_format": "base64"}, {"encoding_format": "float"}])
async def test_vectors(cached: Running, vendor: Vendor, form: dict[str, str]) -> None:
    number: Any = "AACAPwAAAAA=" if form.get("encoding_format") == "base64" else [1.0, 0.0]
    data = [{"object": "embedding", "index": 0, "embedding": number}]
    usage = {"prompt_tokens": 5, "total_tokens": 5}
    vendor.answer = answers({"object": "list", "data": data, "model": "e-1", "usage": usage})
    body = {"model": "vectors", "input": ["Hello?"], **form}
    found = [await cached.client.post("/v1/embeddings", json=body) for _ in range(2)]
    assert [each.headers["x-engine-cache"] for each in found] == ["miss", "hit"]
    assert found[0].json()["data"] == found[1].json()["data"] == data
    assert len(vendor.bodies) == 1
