"""Places and queues as a workspace says them, over real sockets: who waits, who goes first, who must go."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest
from harness import KEY, Gateway, Got, gateway, provider_file, write_files

from engine.bench.faults.provider import Provider

SCRIPTS: Final = {"a": "slow-300ms", "b": "ok#b"}
GOLD: Final = '9 if request.header("x-tier") == "gold" else 3'


def files(url: str, *, most: int = 1) -> dict[str, Any]:
    bounds = {"most": most, "queue": 60, "wait": "20s"}
    return {
        "providers.d/vendor.yaml": provider_file(url, SCRIPTS),
        "routes/main.yaml": {
            "deployments": {
                "a": {"provider": "vendor", "model": "a", "concurrent": bounds},
                "narrow": {"provider": "vendor", "model": "a", "concurrent": {"most": 1, "queue": 1}},
                "single": {"provider": "vendor", "model": "a", "concurrent": 1},
                "b": {"provider": "vendor", "model": "b"},
            },
            "routes": {
                "fair": {"start": "a", "priority": GOLD, "fair_by": 'request.header("x-team")'},
                "gate": {"start": "b", "concurrent": {"most": 1, "queue": 2, "wait": "150ms"}},
                "slow": {"start": "a", "concurrent": {"most": 1, "queue": 1}},
                "spills": {"start": {"fallback": ["narrow", "b"]}},
                "skips": {"start": {"fallback": ["single", "b"]}},
                "only": {"start": "single"},
            },
        },
    }


@pytest.fixture
async def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Gateway]:
    """A gateway before a vendor that takes 60 ms for an answer."""
    monkeypatch.setenv("FAULTS_KEY", KEY)
    async with Provider(quicker=0.2) as vendor:
        folder = write_files(tmp_path / "ws", files(vendor.url))
        async with gateway(folder, vendor) as made:
            await made.ask("fair")
            vendor.forget()
            yield made


async def queue(started: Gateway, model: str, *who: str, **more: Any) -> list[asyncio.Task[Got]]:
    """Requests one after the other: `team` or `team/tier`, each waiting before the next comes."""
    tasks = []
    for each in who:
        team, _, tier = each.partition("/")
        headers = {"x-team": team, "x-tier": tier}
        tasks.append(asyncio.create_task(started.ask(model, headers=headers, user=each, **more)))
        open_before = len(started.running.sidecar.service.open)
        async with asyncio.timeout(2):
            while len(started.running.sidecar.service.open) == open_before and not tasks[-1].done():
                await asyncio.sleep(0.001)
    return tasks


def order(started: Gateway) -> list[str]:
    """Who came to the vendor, in order."""
    (vendor,) = started.providers
    return [seen.body["user"] for seen in vendor.seen]


@pytest.mark.parametrize("shape", ["openai", "anthropic"])
async def test_priority_goes_first_and_teams_take_turns(started: Gateway, shape: str) -> None:
    users = ["x", "a", "a", "a", "b", "c/gold", "a/gold", "b"]
    async with started.baseline(records=len(users)):
        tasks = await queue(started, "fair", *users)
        got = await asyncio.gather(*tasks)
    assert [each.status for each in got] == [200] * len(users)
    assert order(started) == ["x", "c/gold", "a/gold", "a", "b", "a", "b", "a"]
    waited = [step.why for record in started.records for step in record.path if step.what == "queued"]
    assert len(waited) == len(users) - 1


async def test_a_flood_waits_for_itself(started: Gateway) -> None:
    async with started.baseline(records=34):
        flood = await queue(started, "fair", "x", *["flood"] * 30)
        others = await queue(started, "fair", "a", "b", "c")
        (vendor,) = started.providers
        before = len(vendor.seen)
        got = await asyncio.gather(*others)
        assert [each.status for each in got] == [200] * 3
        assert len(vendor.seen) - before <= 6, "they had their turns at once"
        assert before < 25, "the flood is still waiting"
        for task in flood:
            task.cancel()
        await asyncio.gather(*flood, return_exceptions=True)


@pytest.mark.parametrize("shape", ["openai", "anthropic"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_a_full_route_says_when_to_come_back(started: Gateway, stream: bool, shape: str) -> None:
    async with started.baseline(records=3):
        waiting = await queue(started, "slow", "1", "2")
        got = await started.ask("slow", stream=stream, shape=shape)
        await asyncio.gather(*waiting)
    assert got.status == (503 if shape == "openai" else 529)
    assert got.headers["retry-after"] == "1"
    assert got.headers["x-engine-calls"] == "0"
    assert got.error is not None
    assert "all 1 places are taken and 1 wait" in got.error["message"]
    if shape == "openai":
        assert got.code == "overloaded"


@pytest.mark.parametrize(("model", "first"), [("spills", 2), ("skips", 1)])
async def test_a_full_deployment_is_passed_over(started: Gateway, model: str, first: int) -> None:
    async with started.baseline(records=first + 1):
        waiting = await queue(started, model, *map(str, range(first)))
        got = await started.ask(model, user="last")
        await asyncio.gather(*waiting)
    assert got.headers["x-engine-deployment"] == "b"
    assert [seen.model for seen in started.providers[0].seen].count("ok#b") == 1


async def test_nobody_else_to_ask(started: Gateway) -> None:
    async with started.baseline(records=2):
        (first,) = await queue(started, "only", "1")
        got = await started.ask("only")
        assert (await first).status == 200
    assert (got.status, got.code, got.headers["retry-after"]) == (503, "no_candidate", "1")


async def test_a_deadline_ends_the_wait(started: Gateway) -> None:
    async with started.baseline(records=8):
        flood = await queue(started, "fair", *"1234567")
        got = await started.ask("fair", headers={"x-engine-timeout-ms": "100"})
        for task in flood:
            task.cancel()
        await asyncio.gather(*flood, return_exceptions=True)
    assert (got.status, got.headers["x-engine-calls"]) == (504, "0")
    assert 0.09 < got.seconds < 1.0


async def test_a_reload_opens_more_places(started: Gateway) -> None:
    """State outlives plans: those who wait get the new places once the next one comes."""
    await started.running.client.get("/healthz")  # its connection is there
    async with started.baseline():  # a host that reloads keeps its own sinks only: not all records are seen
        flood = await queue(started, "fair", *"12345678")
        (vendor,) = started.providers
        write_files(started.running.folder, files(vendor.url, most=20))
        answer = await started.running.client.post("/admin/reload")
        assert answer.json()["result"] == "ack"
        got = await started.ask("fair", user="9")
        assert {each.status for each in await asyncio.gather(*flood)} == {200}
    assert got.status == 200
    assert got.seconds < 0.3, "nobody waits any more"


async def test_the_figures(started: Gateway) -> None:
    flood = await queue(started, "fair", *"123")
    await queue(started, "slow", "4")
    status = (await started.running.client.get("/admin/status")).json()["places"]
    assert status == {
        "deployment": {"a": {"open": 1, "waiting": 3}},
        "route": {"slow": {"open": 1, "waiting": 0}},
    }, json.dumps(status)
    await asyncio.gather(*flood)
    await asyncio.sleep(0.2)
    text = (await started.running.client.get("/metrics")).text
    rows = dict(row.rsplit(" ", 1) for row in text.splitlines() if not row.startswith("#"))
    assert rows['engine_queue_waits_total{name="a",of="deployment"}'] == "3.0"
    assert rows['engine_queue_waiting{name="a",of="deployment"}'] == "0.0"
    assert float(rows['engine_queue_wait_seconds_total{name="a",of="deployment"}']) > 0.1
