"""The fault provider itself: every fault can be played, scripts go on, and leaving is noticed."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest

from engine.bench.faults.catalogue import FAULTS, UnknownFault, script
from engine.bench.faults.provider import Provider
from engine.bench.faults.voices import TEXT, TOKENS, tokens_after
from engine.cli.main import main

CHAT = "/v1/chat/completions"


def body(model: str, *, stream: bool = True, said: str | None = None) -> dict[str, object]:
    messages = [{"role": "user", "content": "hi"}]
    if said is not None:
        messages.append({"role": "assistant", "content": said})
    return {"model": model, "stream": stream, "messages": messages}


def text_of(data: str) -> str:
    got = ""
    for line in data.splitlines():
        if line.startswith("data: {") and (choices := json.loads(line[6:]).get("choices")):
            got += choices[0]["delta"].get("content") or ""
    return got


def test_the_text_is_sixty_tokens() -> None:
    assert len(TOKENS) == 60
    assert "".join(TOKENS) == TEXT


@pytest.mark.parametrize("at", [0, 1, 17, 40, 59, 60])
def test_a_prefill_is_gone_on_from(at: int) -> None:
    said = "".join(TOKENS[:at])
    assert said + "".join(tokens_after(said)) == TEXT
    assert len(tokens_after(said)) == 60 - at


@pytest.mark.parametrize("name", [name for name, row in FAULTS.items() if row.accept is None])
async def test_every_fault_plays_and_ends_with_the_client(name: str) -> None:
    """Whatever it does to the client: it says what it saw, and leaves nothing when the client is gone."""
    complaints = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    async with Provider(quicker=0.001) as provider:
        for stream in (True, False):
            async with httpx.AsyncClient(base_url=f"{provider.url}/fault/{name}", timeout=30) as client:
                asked = len(provider.seen)
                asking = asyncio.create_task(client.post(CHAT, json=body("m", stream=stream)))
                async with asyncio.timeout(30):
                    while len(provider.seen) == asked and not asking.done():
                        await asyncio.sleep(0.002)
                await asyncio.wait([asking], timeout=0.1)
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)
        assert [seen.fault for seen in provider.seen] == [name, name]
        assert provider.trapped == 0
    assert complaints == []


async def test_scripts() -> None:
    served = Provider("503", scripts={"twice": "500,ok"})
    async with served as provider, httpx.AsyncClient(base_url=provider.url, timeout=30) as client:

        async def statuses(model: str) -> list[int]:
            return [(await client.post(CHAT, json=body(model))).status_code for _ in range(3)]

        assert await statuses("twice") == [500, 200, 200]
        assert await statuses("429,ok#a") == [429, 200, 200]
        assert await statuses("429,ok#b") == [429, 200, 200]
        assert await statuses("any") == [503, 503, 503]
        whole = await client.post(CHAT, json=body("ok", stream=False))
        assert whole.json()["choices"][0]["message"]["content"] == TEXT
        rest = await client.post(CHAT, json=body("ok", said="".join(TOKENS[:40])))
        assert text_of(rest.text) == "".join(TOKENS[40:])
        told = (await client.get("/-/seen")).json()
        assert [row["prefill"] for row in told["seen"]][-2:] == [False, True]
        assert len(provider.of("twice")) == 3


async def test_anthropics_format() -> None:
    async with Provider() as provider, httpx.AsyncClient(base_url=provider.url, timeout=30) as client:
        answer = await client.post("/v1/messages", json=body("ok"))
        kinds = [line[7:] for line in answer.text.splitlines() if line.startswith("event: ")]
        assert kinds[:2] == ["message_start", "content_block_start"]
        assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
        assert kinds.count("content_block_delta") == 60


@pytest.mark.parametrize("name", [name for name, row in FAULTS.items() if row.accept is not None])
async def test_faults_at_accept(name: str) -> None:
    async with Provider(name) as provider, httpx.AsyncClient(base_url=provider.url, timeout=0.1) as client:
        with pytest.raises(httpx.TransportError):
            await client.post(CHAT, json=body("m"))


def test_what_is_no_fault() -> None:
    with pytest.raises(UnknownFault, match="--list"):
        script("ok,no-such")


def test_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "upstream", "--list", "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)["faults"]
    assert [row["name"] for row in rows] == list(FAULTS)
    assert all(row["what"] and row["serves"] for row in rows)
    assert main(["bench", "upstream", "--fault", "no-such"]) == 2
