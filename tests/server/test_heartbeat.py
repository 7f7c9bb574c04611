"""Signs of life while a stream is waited for, and what may come after them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import openai
import pytest
from pulse import passed
from running import CHAT, HELLO, Running, post, running, write_workspace
from scripted import Connection, whole
from vendor import Vendor, begin, finish, streams

BEAT = b": \n\n"
STREAM = {"model": "once", "messages": HELLO, "stream": True}


@pytest.fixture
async def beating(vendor: Vendor, tmp_path: Path) -> AsyncIterator[Running]:
    async with running(
        write_workspace(tmp_path / "ws", vendor.port, settings="heartbeat: 40ms\n")
    ) as started:
        yield started


async def slow(connection: Connection) -> None:
    """A first token, and later a second, only after a while."""
    await passed(0.15)
    begin(connection)
    await passed(0.15)
    finish(connection)


async def fails(connection: Connection) -> None:
    await passed(0.15)
    body = {"error": {"message": "no", "type": "server_error", "code": None}}
    connection.send(whole(500, json.dumps(body).encode()))


async def test_comments_until_something_is_said(beating: Running, vendor: Vendor) -> None:
    """U22: before the first token, and between two."""
    vendor.answer = slow
    answer = await beating.client.post(CHAT, json=STREAM)
    before, _, after = answer.content.partition(b"data: ")
    assert before == BEAT * before.count(BEAT)
    assert before.count(BEAT) >= 2
    assert BEAT in after
    assert answer.content.replace(BEAT, b"").endswith(b"data: [DONE]\n\n")
    reader = beating.sidecar.reloader.snapshot.dialect("openai_chat").stream_reader("chat")
    events = reader.feed(answer.content)
    assert [event.get("text") for event in events if event["type"] == "text"] == ["Hel", "lo!"]


async def test_clients_do_not_mind(beating: Running, vendor: Vendor) -> None:
    vendor.answer = slow
    async with openai.AsyncOpenAI(base_url=f"{beating.url}/v1", api_key="any", max_retries=0) as client:
        stream = await client.chat.completions.create(model="once", messages=HELLO, stream=True)  # type: ignore[call-overload] # plain maps
        said = [chunk.choices[0].delta.content async for chunk in stream if chunk.choices]
    assert "".join(text or "" for text in said) == "Hello!"


async def test_a_failure_after_them_is_an_event(beating: Running, vendor: Vendor) -> None:
    vendor.answer = fails
    answer = await beating.client.post(CHAT, json=STREAM)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/event-stream"
    told = answer.content.replace(BEAT, b"")
    assert json.loads(told.removeprefix(b"data: "))["error"]["code"] == "upstream_error"
    # The connection is good for another request, so nothing came behind the end.
    assert (await beating.client.get("/healthz")).status_code == 200


async def test_quick_answers_have_none(beating: Running, vendor: Vendor) -> None:
    vendor.answer = streams()
    answer = await beating.client.post(CHAT, json=STREAM)
    assert BEAT not in answer.content
    assert answer.headers["x-engine-deployment"] == "near"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/chat", {"model": "once", "messages": HELLO}),
        (CHAT, {"model": "once", "messages": HELLO}),
    ],
    ids=["a format without comments", "no stream"],
)
async def test_others_have_none(beating: Running, vendor: Vendor, path: str, body: dict[str, object]) -> None:
    vendor.answer = fails
    answer = await beating.client.post(path, json=body)
    assert answer.status_code in (500, 502)


async def test_they_stop_with_the_client(beating: Running, vendor: Vendor) -> None:
    vendor.answer = slow
    reader, writer = await beating.connect()
    writer.write(post(STREAM))
    await asyncio.wait_for(reader.readuntil(BEAT), 30)
    upstream = await vendor.asked()
    writer.close()
    await asyncio.wait_for(upstream.closed.wait(), 30)
    async with asyncio.timeout(30):
        while beating.sidecar.service.open:
            await asyncio.sleep(0.005)
    assert beating.sidecar.host.state.open_leases() == 0
