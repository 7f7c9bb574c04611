"""A local model behind the sidecar: whole, streamed, after a vendor that is not there, and killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from running import CHAT, HELLO, Running, running, write_workspace
from vendor import Vendor

SENTENCE = "Hello from the tiny test model."

ROUTES = """\
deployments:
  here: {{provider: onnx, model: canned, path: {path}}}
  gone: {{provider: closed, model: m-1}}
  near: {{provider: fake, model: m-1}}
routes:
  local: here
  assistant: {{start: {{fallback: [gone, here]}}}}
  either: {{start: {{fallback: [here, near]}}, retry: {{extra: 0}}}}
"""


@pytest.fixture
async def local(vendor: Vendor, canned_model: Path, tmp_path: Path) -> AsyncIterator[Running]:
    """The routes `local`, `assistant` (a closed port first) and `either` (the vendor second)."""
    routes = ROUTES.format(path=json.dumps(str(canned_model)))
    folder = write_workspace(
        tmp_path / "ws", vendor.port, routes=routes, settings="decision_log: log.jsonl\n"
    )
    async with running(folder) as started:
        yield started


async def records(local: Running, count: int) -> list[dict[str, Any]]:
    """The decision log, once it has so many lines: a thread of its own writes it."""
    async with asyncio.timeout(30):
        while len(lines := (local.folder / "log.jsonl").read_text().splitlines()) < count:
            await asyncio.sleep(0.02)
    return [json.loads(line) for line in lines]


def text_of(stream: str) -> str:
    events = [json.loads(line[6:]) for line in stream.splitlines() if line.startswith("data: {")]
    return "".join(c["delta"].get("content") or "" for event in events for c in event["choices"])


async def test_it_answers_whole_and_streamed(local: Running) -> None:
    whole = await local.chat("local")
    assert whole.status_code == 200, whole.text
    body = whole.json()
    assert body["choices"][0]["message"]["content"] == SENTENCE
    assert body["choices"][0]["finish_reason"] == "stop"
    assert body["usage"]["completion_tokens"] > 0
    streamed = await local.chat("local", stream=True)
    assert text_of(streamed.text) == SENTENCE
    assert streamed.text.strip().endswith("data: [DONE]")
    model = (await local.status())["local_models"][0]
    assert (model["state"], model["provider"], model["telemetry"]) == ("ready", "cpu", "off")
    assert model["pid"] is not None
    metrics = (await local.client.get("/metrics")).text
    assert 'execution_provider="cpu"' in metrics


async def test_a_vendor_that_is_not_there_is_passed_over(local: Running) -> None:
    """The Show: first a cloud that refuses connections, then this machine; the record says why."""
    answer = await local.chat("assistant")
    assert answer.json()["choices"][0]["message"]["content"] == SENTENCE
    assert answer.headers["x-engine-deployment"] == "here"
    record = (await records(local, 1))[0]
    assert record["id"] == answer.headers["x-engine-request-id"]
    assert record["served_by"] == "here"
    failed = [attempt for attempt in record["attempts"] if attempt["deployment"] == "gone"]
    assert failed
    assert {attempt["failure"] for attempt in failed} == {"connect"}
    assert any("connect" in step["why"] for step in record["path"])
    assert "Hello" not in json.dumps(record)  # a record holds no content


async def test_a_worker_that_is_killed_moves_the_request_on(local: Running, vendor: Vendor) -> None:
    pid = (await local.status())["local_models"][0]["pid"]
    asked = asyncio.ensure_future(local.chat("either", messages=[{"role": "user", "content": "x " * 400}]))
    await asyncio.sleep(0)
    os.kill(pid, signal.SIGKILL)
    answer = await asyncio.wait_for(asked, 30)
    assert answer.status_code == 200
    after = await local.chat("either")
    assert after.status_code == 200
    served = {answer.headers["x-engine-deployment"], after.headers["x-engine-deployment"]}
    assert "near" in served
    async with asyncio.timeout(30):
        while (model := (await local.status())["local_models"][0])["state"] != "ready":
            await asyncio.sleep(0.05)
    assert model["restarts"] == 1
    assert model["pid"] != pid
    assert (await local.chat("local")).status_code == 200


async def test_a_stop_of_the_whole_group_leaves_the_model_to_the_drain(local: Running) -> None:
    """Ctrl-C and service managers signal every process; open answers go on while the sidecar drains."""
    pid = (await local.status())["local_models"][0]["pid"]
    os.kill(pid, signal.SIGTERM)
    os.kill(pid, signal.SIGINT)
    assert (await local.chat("local")).status_code == 200
    model = (await local.status())["local_models"][0]
    assert (model["pid"], model["restarts"]) == (pid, 0)


async def test_leaving_stops_the_model(local: Running) -> None:
    """The worker is told to cancel: it is free for the next request."""
    _, writer = await local.connect()
    body = json.dumps({"model": "local", "messages": HELLO, "stream": True}).encode()
    writer.write(
        f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body
    )
    await asyncio.sleep(0.03)
    writer.close()
    async with asyncio.timeout(30):
        while local.sidecar.service.open or (await local.status())["local_models"][0]["open"]:
            await asyncio.sleep(0.01)


async def test_a_prompt_longer_than_the_model(local: Running) -> None:
    answer = await local.chat("local", messages=[{"role": "user", "content": "word " * 4000}])
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "context_length_exceeded")
