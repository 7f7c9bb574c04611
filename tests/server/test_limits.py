"""Limits over a sidecar's own HTTP: 429 in every format, and the headers that tell how a client stands."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anthropic
import http_sfv
import httpx
import openai
import pytest
from clients import STREAMS, WHOLES
from pulse import passed
from running import CHAT, HELLO, Running, post, running, write_workspace
from scripted import Connection
from vendor import Vendor, answers, chat, silence, streams

from engine.keys.form import make
from engine.keys.hashing import PUBLIC, digest, shown

ROUTES = """\
deployments:
  near: {provider: fake, model: m-1}
limits:
  per-key: {per: key.id, requests: 100/min, tokens: {rate: 60k/min, burst: 20k}, concurrent: 9}
  once: {per: key.id, requests: 1/h}
  all: {requests: 1/h}
  waits: {per: key.id, concurrent: 1, on_exceed: {queue: 5s}}
  few: {per: key.id, tokens: 5k/min}
routes:
  told: {start: near, limits: [per-key], admit: {output: 1k}}
  once: {start: near, limits: [once]}
  both: {start: near, limits: [per-key, all], admit: {output: 1k}}
  waits: {start: near, limits: [waits]}
  few: {start: near, limits: [few]}
  free: near
"""


@pytest.fixture
async def limited(vendor: Vendor, tmp_path: Path) -> AsyncIterator[Running]:
    folder = write_workspace(tmp_path / "ws", vendor.port, routes=ROUTES, settings="heartbeat: 100ms\n")
    async with running(folder) as started:
        yield started
    assert started.sidecar.host.executor.ledger.open_holds() == 0


def items(headers: httpx.Headers, name: str) -> dict[str, dict[str, Any]]:
    """A field as an independent reader of structured fields has it: item -> its parameters."""
    found = http_sfv.List()
    found.parse(headers[name].encode())
    assert all(isinstance(item.value, str) for item in found)
    assert len({item.value for item in found}) == len(found)
    return {item.value: dict(item.params) for item in found}


POLICY = {
    "per-key": {"q": 100, "w": 60},
    "per-key/tokens": {"q": 60_000, "qu": "tokens", "w": 60},
    "per-key/concurrent": {"q": 9, "qu": "concurrent-requests"},
}


async def test_a_whole_answer_tells_what_is_left(limited: Running) -> None:
    for used in (1, 2):
        answer = await limited.chat("told")
        assert answer.status_code == 200
        assert items(answer.headers, "ratelimit-policy") == POLICY
        left = items(answer.headers, "ratelimit")
        assert left["per-key"] == {"r": 100 - used, "t": used}
        assert left["per-key/concurrent"] == {"r": 9}
        tokens = left["per-key/tokens"]["r"]
        assert 20_000 - 15 * used <= tokens <= 20_000, "what was used is counted, no longer the worst case"


async def test_a_stream_tells_what_it_holds(limited: Running, vendor: Vendor) -> None:
    vendor.answer = streams()
    answer = await limited.chat("told", stream=True)
    assert items(answer.headers, "ratelimit-policy") == POLICY
    left = items(answer.headers, "ratelimit")
    assert left["per-key/concurrent"] == {"r": 8}
    assert 18_000 < left["per-key/tokens"]["r"] < 19_000, "1k of output and the input's bound"


async def test_a_stream_that_a_heartbeat_began_tells_it_too(limited: Running, vendor: Vendor) -> None:
    async def late(connection: Connection) -> None:
        await passed(0.25)
        await streams()(connection)

    vendor.answer = late
    answer = await limited.chat("told", stream=True)
    assert answer.text.startswith(":")
    assert items(answer.headers, "ratelimit")["per-key/concurrent"] == {"r": 8}


async def test_an_error_tells_it_too(limited: Running, vendor: Vendor) -> None:
    vendor.answer = answers({"error": {"message": "no"}}, 400)
    answer = await limited.chat("told")
    assert answer.status_code == 400
    assert items(answer.headers, "ratelimit")["per-key"]["r"] == 99


async def test_who_has_no_limits_is_told_nothing(limited: Running) -> None:
    answer = await limited.chat("free")
    assert not {"ratelimit", "ratelimit-policy", "retry-after"} & set(answer.headers)


async def test_what_others_use_too_is_told_to_nobody(limited: Running) -> None:
    answer = await limited.chat("both")
    assert items(answer.headers, "ratelimit-policy") == POLICY
    refused = await limited.chat("both")
    assert refused.status_code == 429
    assert items(refused.headers, "ratelimit-policy") == POLICY
    assert "1/h" not in refused.text


SAID = {
    "openai_chat": {"type": "rate_limit_error", "code": "rate_limit_exceeded"},
    "anthropic_messages": {"type": "rate_limit_error"},
    "gemini": {"code": 429, "status": "RESOURCE_EXHAUSTED"},
}


async def test_beyond_a_limit_in_every_format(limited: Running) -> None:
    await limited.chat("once")
    for dialect, (path, body) in [*STREAMS.items(), *WHOLES.items()]:
        answer = await limited.client.post(path.replace("MODEL", "once"), json={"model": "once", **body})
        assert answer.status_code == 429, dialect
        assert 3_590 <= int(answer.headers["retry-after"]) <= 3_600
        assert items(answer.headers, "ratelimit-policy") == {"once": {"q": 1, "w": 3_600}}
        left = items(answer.headers, "ratelimit")["once"]
        assert left["r"] == 0
        assert left["t"] <= int(answer.headers["retry-after"]), "its window ends when it may come back"
        assert "the limit `once` has no room now: 1/h requests; come back in" in answer.text
        assert answer.headers["content-type"].startswith("application/json")
        if dialect in SAID:
            assert SAID[dialect].items() <= answer.json()["error"].items(), dialect


async def test_the_vendors_own_clients_know_it(limited: Running) -> None:
    await limited.chat("once")
    async with openai.AsyncOpenAI(base_url=f"{limited.url}/v1", api_key="k", max_retries=0) as client:
        with pytest.raises(openai.RateLimitError) as told:
            await client.chat.completions.create(model="once", messages=[{"role": "user", "content": "Hi"}])
    assert (told.value.code, int(told.value.response.headers["retry-after"]) > 3_000) == (
        "rate_limit_exceeded",
        True,
    )
    async with anthropic.AsyncAnthropic(base_url=limited.url, api_key="k", max_retries=0) as client:
        with pytest.raises(anthropic.RateLimitError):
            await client.messages.create(
                model="once", max_tokens=10, messages=[{"role": "user", "content": "Hi"}]
            )


async def test_more_than_a_limit_ever_has_is_no_429(limited: Running) -> None:
    """4k of output and 2k of input."""
    answer = await limited.client.post(
        "/v1/chat/completions", json={"model": "few", "messages": [{"role": "user", "content": "x" * 2_000}]}
    )
    assert answer.status_code == 413
    assert "retry-after" not in answer.headers
    words = r"may use 6\d\d\d tokens, and the limit `few` never has room for more than 5000"
    assert re.search(words, answer.text), answer.text


async def test_a_client_that_leaves_gives_its_place_back(limited: Running, vendor: Vendor) -> None:
    vendor.answer = silence
    _, writer = await limited.connect()
    writer.write(post(_body("waits")))
    await vendor.asked()
    writer.close()
    async with asyncio.timeout(30):
        while limited.sidecar.service.open:
            await asyncio.sleep(0.005)
    vendor.answer = answers(chat())
    answer = await limited.chat("waits")
    assert answer.status_code == 200
    assert items(answer.headers, "ratelimit") == {"waits/concurrent": {"r": 1}}


async def test_who_waits_is_answered(limited: Running, vendor: Vendor) -> None:
    gate = asyncio.Event()
    vendor.answer = streams(gate)
    async with limited.client.stream(
        "POST", "/v1/chat/completions", json=_body("waits", stream=True)
    ) as first:
        assert first.status_code == 200
        vendor.answer = answers(chat())
        second = asyncio.create_task(limited.chat("waits"))
        lines = limited.sidecar.host.executor.quotas.lines
        while not lines:
            await asyncio.sleep(0.005)
        gate.set()
        await first.aread()
    assert (await second).status_code == 200
    metrics = (await limited.client.get("/metrics")).text
    assert 'engine_limit_waits_total{limit="waits"} 1.0' in metrics
    assert 'engine_limit_waiting{limit="waits"} 0.0' in metrics


def _body(model: str, **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "Hello?"}], **more}


async def test_a_repeat_is_counted_in_no_limit(limited: Running) -> None:
    head = {"idempotency-key": "k-1"}
    for _ in range(3):
        answer = await limited.client.post("/v1/chat/completions", json=_body("once"), headers=head)
        assert answer.status_code == 200
    assert "idempotent-replayed" in answer.headers
    assert not {"ratelimit", "ratelimit-policy"} & set(answer.headers)


async def test_a_reload_keeps_what_is_counted(limited: Running) -> None:
    await limited.chat("once")
    file = limited.folder / "routes" / "main.yaml"
    for rate, status in (("2/h", 200), ("2/h", 429)):
        file.write_text(
            ROUTES.replace("once: {per: key.id, requests: 1/h}", f"once: {{per: key.id, requests: {rate}}}")
        )
        reloaded = await limited.client.post("/admin/reload")
        assert reloaded.status_code == 200, reloaded.text
        assert (await limited.chat("once")).status_code == status


# --- what vendors say is left -------------------------------------------------------------------------

SPREAD = """\
deployments:
  near: {provider: fake, model: m-1}
  far: {provider: fake, model: m-2, limits: [quota]}
limits:
  quota: {requests: {rate: 1/h, burst: 4}}
routes:
  spread: {start: {balance: [near, far], rank: headroom}}
"""
HEADROOM = """\
headroom:
  requests: {left: x-ratelimit-remaining-requests, limit: x-ratelimit-limit-requests}
"""


async def test_headroom_is_what_vendors_say_and_what_is_left_of_their_quota(
    vendor: Vendor, tmp_path: Path
) -> None:
    folder = write_workspace(tmp_path / "ws", vendor.port, routes=SPREAD)
    provider = folder / "providers.d" / "fake.yaml"
    provider.write_text(HEADROOM + provider.read_text() + "  m-2: {context: 32k, output: 4k, price: free}\n")
    left = {"m-1": iter((45, 10)), "m-2": iter((80, 70, 60, 50))}

    async def answer(connection: Connection) -> None:
        said = next(left[vendor.bodies[-1]["model"]])
        told = (f"x-ratelimit-remaining-requests: {said}", "x-ratelimit-limit-requests: 100")
        await answers(chat(), 200, *told)(connection)

    vendor.answer = answer
    async with running(folder) as started:
        served = [(await started.chat("spread")).headers["x-engine-deployment"] for _ in range(6)]
    # What is unknown is as good as full, so both are asked once. Then it is 45% of `near` by its vendor's
    # word, and of `far` what is left of its own quota (75%, 50%, 25%): its vendor says that there is more.
    assert (sorted(served[:2]), served[2:]) == (["far", "near"], ["far", "far", "near", "far"])


# --- keys, groups and floors --------------------------------------------------------------------------

BOT, OTHER = make(), make()
PEOPLE = f"""\
deployments:
  near: {{provider: fake, model: m-1}}
limits:
  slow: {{per: key.id, requests: 2/h}}
  own: {{per: key.id, requests: 3/h}}
routes:
  one: near
keys:
  tags: {{kind: [dev, ci]}}
  clients:
    bot: {{hash: "{shown(digest(BOT.encode(), PUBLIC))}", tags: {{kind: ci}}}}
    other: {{hash: "{shown(digest(OTHER.encode(), PUBLIC))}", tags: {{kind: dev}}, limits: [own]}}
groups:
  ci: {{when: 'key.tags.kind == "ci"', limits: [slow]}}
"""
FLOOR = """\
require:
  all: {limits: [fair]}
limits:
  fair: {per: key.org, requests: 4/h, headers: false}
"""


async def test_whom_a_limit_holds_for(vendor: Vendor, tmp_path: Path) -> None:
    """A group's, a key's own, and a floor's for everybody, which the two share."""
    folder = write_workspace(tmp_path / "ws", vendor.port, routes=PEOPLE)
    (folder / "policies").mkdir()
    (folder / "policies" / "floor.yaml").write_text(FLOOR)
    asked = [*[BOT] * 3, *[OTHER] * 3]
    async with running(folder) as started:
        body = {"model": "one", "messages": HELLO}
        answers = [
            await started.client.post(CHAT, json=body, headers={"authorization": f"Bearer {key}"})
            for key in asked
        ]
    assert [each.status_code for each in answers] == [200, 200, 429, 200, 200, 429]
    told = [list(items(each.headers, "ratelimit").items()) for each in answers]
    assert [name for ((name, _),) in told] == ["slow"] * 3 + ["own"] * 3
    assert [parameters["r"] for ((_, parameters),) in told] == [1, 0, 0, 2, 1, 1]
    assert "the limit `slow` of 'bot' has no room now" in answers[2].text
    assert "the limit `fair` has no room now; come back" in answers[5].text
