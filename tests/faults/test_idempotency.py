"""C11 of the fault matrix: one key twice, at once, with another body, after failures; over sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
import pytest_asyncio
from harness import KEY, PROMPT, Gateway, Got, gateway, provider_file, write_files

from engine.bench.faults.provider import Provider
from engine.bench.faults.voices import TEXT
from engine.observe.metrics import Metrics
from engine.server import repeats as module
from engine.server.repeats import Repeats

pytestmark = pytest.mark.asyncio(loop_scope="module")

SCRIPTS: Final = {
    "ok": "ok",
    "slow": "slow-300ms",
    "paced": "ok-paced",
    "fails": "500,ok",
    "cut": "cut-10,ok",
    "hangs": "silent,ok#hangs",
}
NO_RETRY: Final = {"retry": {"extra": 0}}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def started(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FAULTS_KEY", KEY)
        async with Provider() as vendor:
            files = {
                "providers.d/vendor.yaml": provider_file(vendor.url, SCRIPTS),
                "routes/main.yaml": {
                    "deployments": {name: {"provider": "vendor", "model": name} for name in SCRIPTS},
                    "routes": {name: {"start": name, **NO_RETRY} for name in SCRIPTS},
                },
            }
            folder = write_files(tmp_path_factory.mktemp("keys"), files)
            async with gateway(folder, vendor) as made:
                await made.ask("ok")
                yield made


def calls(started: Gateway) -> int:
    (vendor,) = started.providers
    return len(vendor.seen)


async def ask(started: Gateway, key: str, model: str, **more: Any) -> Got:
    headers = {"idempotency-key": key, **more.pop("headers", {})}
    return await started.ask(model, headers=headers, **more)


def served(got: Got) -> bytes:
    """What must be the same, byte for byte."""
    assert got.status == 200, got.data
    return got.data


@pytest.mark.parametrize("shape", ["openai", "anthropic"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_c11_one_after_the_other(started: Gateway, stream: bool, shape: str) -> None:
    async with started.baseline(records=1):
        before, key = calls(started), f"after-{stream}-{shape}"
        first = await ask(started, key, "ok", stream=stream, shape=shape)
        again = await ask(started, key, "ok", stream=stream, shape=shape)
        assert calls(started) == before + 1
    assert served(first) == served(again)
    assert first.text == TEXT
    assert ("idempotent-replayed" in first.headers, again.headers["idempotent-replayed"]) == (False, "true")
    assert again.headers["x-engine-request-id"] == first.headers["x-engine-request-id"]


@pytest.mark.parametrize(("model", "stream"), [("slow", False), ("slow", True), ("paced", True)])
async def test_c11_at_once(started: Gateway, model: str, stream: bool) -> None:
    """All get the one answer; those of a stream as it comes."""
    async with started.baseline(records=1):
        before, key = calls(started), f"once-{model}-{stream}"
        got = await asyncio.gather(*(ask(started, key, model, stream=stream) for _ in range(5)))
        assert calls(started) == before + 1
    assert len({served(each) for each in got}) == 1
    assert sum("idempotent-replayed" not in each.headers for each in got) == 1


@pytest.mark.parametrize("model", ["ok", "slow"])
async def test_c11_another_body(started: Gateway, model: str) -> None:
    async with started.baseline(records=1):
        before, key = calls(started), f"other-{model}"
        first = asyncio.create_task(ask(started, key, model))
        async with asyncio.timeout(30):
            while calls(started) == before:
                await asyncio.sleep(0.002)
        if model == "ok":  # is answered by then, `slow` is being served
            await first
        other = await ask(started, key, model, temperature=0.5)
        served(await first)
        assert calls(started) == before + 1
    assert (other.status, other.code) == (422, "idempotency_key_reused")


async def test_c11_keys_are_told_apart_by_who_shows_what_and_where(started: Gateway) -> None:
    async with started.baseline(records=4):
        before = calls(started)
        for more in ({}, {"headers": {"authorization": "Bearer a"}}, {"headers": {"x-api-key": "a"}}):
            assert "idempotent-replayed" not in (await ask(started, "mine", "ok", **more)).headers
        await ask(started, "mine", "ok", shape="anthropic")
        assert calls(started) == before + 4


@pytest.mark.parametrize(("model", "stream"), [("fails", False), ("fails", True), ("cut", True)])
async def test_c11_a_failure_is_not_kept(started: Gateway, model: str, stream: bool) -> None:
    """Whoever repeats after one gets another try; whoever was waiting gets the same failure."""
    (vendor,) = started.providers
    vendor.map(SCRIPTS[model], SCRIPTS[model])
    async with started.baseline(records=2):
        before, key = calls(started), f"bad-{model}-{stream}"
        first, second = await asyncio.gather(*(ask(started, key, model, stream=stream) for _ in range(2)))
        assert first.error is not None
        assert first.error == second.error
        assert calls(started) == before + 1
        assert (await ask(started, key, model, stream=stream)).text == TEXT
        assert calls(started) == before + 2


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_c11_the_first_client_leaves(started: Gateway, stream: bool) -> None:
    """Nothing was said yet, so one of those who wait is served in its place; the others follow that one."""
    (vendor,) = started.providers
    repeats = started.running.sidecar.plane.repeats
    vendor.map(SCRIPTS["hangs"], "silent,ok")
    async with started.baseline(records=2):
        before, key = calls(started), f"left-{stream}"
        leaving = asyncio.create_task(ask(started, key, "hangs", stream=stream))
        async with asyncio.timeout(30):
            while calls(started) == before:
                await asyncio.sleep(0.002)
        followed = repeats.counts["followed"]
        others = [asyncio.create_task(ask(started, key, "hangs", stream=stream)) for _ in range(3)]
        async with asyncio.timeout(30):
            while repeats.counts["followed"] < followed + 3:
                await asyncio.sleep(0.002)
        leaving.cancel()
        got = await asyncio.gather(*others)
        assert calls(started) == before + 2
    assert len({served(each) for each in got}) == 1
    assert got[0].text == TEXT


async def test_c11_the_first_client_leaves_inside_its_stream(started: Gateway) -> None:
    """Those who follow are told in their format that it broke off; nothing is spliced."""
    async with started.baseline(records=1):
        reader, writer = await started.running.connect()
        body = json.dumps(
            {"model": "paced", "stream": True, "max_tokens": 200, "stream_options": {"include_usage": True},
             "messages": [{"role": "user", "content": PROMPT}]}
        )  # fmt: skip
        writer.write(
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nidempotency-key: torn\r\n"
            f"content-length: {len(body)}\r\n\r\n{body}".encode()
        )
        await reader.readuntil(b"content")
        repeats = started.running.sidecar.plane.repeats
        followed = repeats.counts["followed"]
        follower = asyncio.create_task(ask(started, "torn", "paced", stream=True))
        async with asyncio.timeout(30):
            while repeats.counts["followed"] == followed:
                await asyncio.sleep(0.002)
        writer.transport.abort()
        got = await follower
    assert (got.status, got.code, got.ended) == (200, "upstream_cut", False)
    assert TEXT.startswith(got.text)
    assert got.text


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there"])
async def test_c11_no_key_at_all(started: Gateway, key: str) -> None:
    async with started.baseline(records=0):
        got = await ask(started, key, "ok")
    assert (got.status, got.code) == (400, "invalid_header")


# --- what is kept ----------------------------------------------------------------------------------------


def kept(repeats: Repeats, key: str, size: int, *, good: bool = True) -> None:
    scope = key.encode()
    entry = repeats.begin(scope, {})
    entry.messages += [{"headers": []}, {"body": b"x" * size}]
    entry.size = size
    repeats.end(scope, entry, good=good)


async def test_answers_are_kept_for_so_long_and_no_more_than_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ENTRIES", 3)
    monkeypatch.setattr(module, "BYTES", 1600)
    clock = [0.0]
    repeats = Repeats(Metrics(), lambda: clock[0])
    repeats.keep_s = 10
    for number in range(5):
        kept(repeats, f"k{number}", 10)
    assert [repeats.find(f"k{number}".encode(), {}) is not None for number in range(5)] == [
        False,
        False,
        True,
        True,
        True,
    ]
    kept(repeats, "large", 101)
    assert repeats.find(b"large", {}) is None, "over a sixteenth of all"
    kept(repeats, "bad", 10, good=False)
    assert repeats.find(b"bad", {}) is None
    clock[0] = 10.0
    assert repeats.find(b"k4", {}) is None
    assert repeats._bytes == 0
