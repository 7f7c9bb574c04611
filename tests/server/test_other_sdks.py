"""The SDKs of Google, Cohere and Ollama as clients of the sidecar, which asks a vendor of another format."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import cohere
import httpx
import ollama
import pytest
from google import genai
from google.genai import types
from running import HELLO, Running
from vendor import Vendor, streams


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=30) as client:
        yield client


def google(sidecar: Running, http: httpx.AsyncClient, version: str | None = None) -> Any:
    options = types.HttpOptions(base_url=sidecar.url, api_version=version, httpx_async_client=http)
    return genai.Client(api_key="any", http_options=options).aio.models


@pytest.mark.parametrize("version", ["v1", "v1beta"])
async def test_google(sidecar: Running, vendor: Vendor, http: httpx.AsyncClient, version: str) -> None:
    """Model and stream stand in its paths."""
    models = google(sidecar, http, version)
    reply = await models.generate_content(model="one", contents="Hello?")
    assert reply.text == "Hello!"
    assert reply.usage_metadata
    assert reply.usage_metadata.total_token_count == 15
    vendor.answer = streams()
    stream = await models.generate_content_stream(model="one", contents="Hello?")
    chunks = [chunk async for chunk in stream]
    assert "".join(chunk.text or "" for chunk in chunks)
    assert chunks[-1].usage_metadata


async def test_google_is_told_in_its_own_words(sidecar: Running, http: httpx.AsyncClient) -> None:
    with pytest.raises(genai.errors.ClientError) as caught:
        await google(sidecar, http).generate_content(model="nobody/knows", contents="Hello?")
    assert (caught.value.code, caught.value.status) == (404, "NOT_FOUND")


async def test_cohere(sidecar: Running, vendor: Vendor, http: httpx.AsyncClient) -> None:
    client = cohere.AsyncClientV2(api_key="any", base_url=sidecar.url, httpx_client=http)
    messages = [cohere.UserChatMessageV2(content="Hello?")]
    reply = await client.chat(model="one", messages=messages)
    assert reply.message.content
    assert reply.message.content[0].text == "Hello!"
    vendor.answer = streams()
    seen = [event async for event in client.chat_stream(model="one", messages=messages)]
    assert (seen[0].type, seen[-1].type) == ("message-start", "message-end")


async def test_ollama(sidecar: Running, vendor: Vendor) -> None:
    async with ollama.AsyncClient(host=sidecar.url) as client:
        await ask_ollama(client, vendor)


async def ask_ollama(client: ollama.AsyncClient, vendor: Vendor) -> None:
    reply = await client.chat(model="one", messages=HELLO)
    assert reply.message.content == "Hello!"
    vendor.answer = streams()
    parts = [part async for part in await client.chat(model="one", messages=HELLO, stream=True)]
    assert "".join(part.message.content or "" for part in parts)
    assert parts[-1].done
    assert parts[-1].done_reason == "stop"
