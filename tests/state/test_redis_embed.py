"""Engines that are embedded, on one store: they count, keep and hint together, as sidecars do."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from redis_ledgers import until
from store_server import Server

from engine import Engine
from engine.errors import EngineError
from engine.state.memory import MemoryState
from engine.state.redis import link as redis_link

ROUTES = """\
deployments:
  near: {provider: acme, model: near}
  far: {provider: acme, model: far}
limits: {few: {requests: {rate: 1/h, burst: 4}}}
routes:
  sticky: {start: {balance: [near, far], rank: round_robin, sticky: {by: request.user}}}
  cached: {start: {cache: near, exact: 1h}}
  first: {start: {fallback: [near, far]}}
  few: {start: near, limits: [few]}
"""


class Vendor:
    """Counts who was asked; what is `limited` says to come again in a minute."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.limited: set[str] = set()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        model = json.loads(request.content)["model"]
        self.asked[model] += 1
        if model in self.limited:
            return httpx.Response(429, headers={"retry-after": "60"}, json={"error": {"message": "slow"}})
        choice = {"index": 0, "message": {"role": "assistant", "content": model}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}
        return httpx.Response(200, json={"id": "c", "model": model, "choices": [choice], "usage": usage})


@pytest.fixture
def folder(tmp_path: Path, store_server: Server, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(redis_link, "SETTLE_MS", 60)
    monkeypatch.setattr(redis_link, "DEADLINE_MS", 3_000)  # a busy machine is no fault of the store's
    for name in ("routes", "providers.d"):
        (tmp_path / name).mkdir()
    (tmp_path / "providers.d" / "acme.yaml").write_text(
        "dialect: openai_chat\nauth: none\nbase_url: http://127.0.0.1:9\nresidency: on_prem\n"
        "models: {near: {context: 8k, output: 1k}, far: {context: 8k, output: 1k}}\n"
    )
    (tmp_path / "routes" / "r.yaml").write_text(ROUTES)
    (tmp_path / "engine.yaml").write_text(f"usage: off\nstate: {store_server.address}\n")
    return tmp_path


@contextlib.asynccontextmanager
async def engines(folder: Path, vendor: Vendor) -> AsyncIterator[tuple[Engine, Engine]]:
    transport = httpx.MockTransport(vendor)
    async with (
        Engine.open(folder, transport=transport) as one,
        Engine.open(folder, transport=transport) as other,
    ):
        for engine in (one, other):
            await until(engine._stores.sharing.store.feed.listening.is_set)
        yield one, other


async def ask(engine: Engine, model: str, **more: str) -> str:
    reply = await engine.chat(model=model, messages=[{"role": "user", "content": "hi"}], **more)
    return reply.text


async def sent(engine: Engine) -> None:
    """What it keeps has gone to the store."""
    assert isinstance(engine.state, MemoryState)
    assert engine.state.shared is not None
    await engine.state.shared.close()


async def test_two_engines_share_what_sidecars_share(folder: Path) -> None:
    vendor = Vendor()
    async with engines(folder, vendor) as (one, other):
        places = set()
        for turn in range(4):
            engine = (one, other)[turn % 2]
            places.add(await ask(engine, "sticky", user="someone"))
            await sent(engine)
        assert len(places) == 1

        vendor.asked.clear()
        assert await ask(one, "cached") == "near"
        await sent(one)
        assert await ask(other, "cached") == "near"
        assert vendor.asked == {"near": 1}

        statuses: Counter[str] = Counter()
        for turn in range(12):
            try:
                statuses[await ask((one, other)[turn % 2], "few")] += 1
            except EngineError as error:
                statuses[error.code] += 1
        assert statuses == {"near": 4, "rate_limit_exceeded": 8}

        vendor.limited.add("near")
        vendor.asked.clear()
        assert await ask(one, "first") == "far"
        hints = other._stores.sharing._hints
        await until(lambda: hints.heard)
        assert await ask(other, "first") == "far"
        assert vendor.asked == {"near": 1, "far": 2}  # the other one did not have to find out


async def test_a_state_of_ones_own_stays_ones_own(folder: Path, store_server: Server) -> None:
    state, transport = MemoryState(), httpx.MockTransport(Vendor())
    async with Engine.open(folder, transport=transport, state=state) as engine:
        await ask(engine, "sticky", user="someone")
        assert state.shared is None
        await ask(engine, "few")
        assert store_server.call("EXISTS", "engine:generation") == 1  # it counts there
    assert store_server.call("KEYS", "engine:kept:*") == []
