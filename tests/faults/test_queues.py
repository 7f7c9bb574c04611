"""Places and queues as a workspace says them, over real sockets: who waits, who goes first, who must go."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest
from harness import KEY, Gateway, Got, gateway, provider_file, write_files

from engine.bench.faults.provider import Provider
from engine.runtime.queue import Lines

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
    """Requests one after the other: `team` or `team/tier`, each in its queue before the next comes."""
    tasks = []
    for each in who:
        team, _, tier = each.partition("/")
        headers = {"x-team": team, "x-tier": tier}
        before = waiting(started)
        tasks.append(asyncio.create_task(started.ask(model, headers=headers, user=each, **more)))
        async with asyncio.timeout(30):
            while waiting(started) == before and not tasks[-1].done():
                await asyncio.sleep(0.001)
    return tasks


def waiting(started: Gateway) -> int:
    """How many wait for any place."""
    queues = started.running.sidecar.host.executor.queues
    return sum(lines.waiting(name) for lines in (queues.deployments, queues.routes) for name in lines.seen())


def order(started: Gateway) -> list[str]:
    """Who came to the vendor, in order."""
    (vendor,) = started.providers
    return [seen.body["user"] for seen in vendor.seen]


@contextlib.asynccontextmanager
async def held(started: Gateway, name: str = "a", *, route: bool = False) -> AsyncIterator[Lines]:
    """The one place of a deployment, or of a route, is taken until the block ends."""
    sidecar = started.running.sidecar
    queues, plan = sidecar.host.executor.queues, sidecar.reloader.snapshot.plan
    lines = queues.routes if route else queues.deployments
    bounds = plan.route(name).concurrent if route else plan.deployment(name).concurrent
    assert bounds is not None
    assert lines.take(name, bounds)
    yield lines
    lines.leave(name)


@pytest.mark.parametrize("shape", ["openai", "anthropic"])
async def test_priority_goes_first_and_teams_take_turns(started: Gateway, shape: str) -> None:
    users = ["a", "a", "a", "b", "c/gold", "a/gold", "b"]
    async with started.baseline(records=len(users)):
        async with held(started) as lines:
            tasks = await queue(started, "fair", *users)
            assert lines.waiting("a") == len(users)
        got = await asyncio.gather(*tasks)
    assert [each.status for each in got] == [200] * len(users)
    assert order(started) == ["c/gold", "a/gold", "a", "b", "a", "b", "a"]
    waited = [step.why for record in started.records for step in record.path if step.what == "queued"]
    assert len(waited) == len(users)


async def test_a_flood_waits_for_itself(started: Gateway) -> None:
    async with started.baseline(records=33):
        async with held(started):
            flood = await queue(started, "fair", *["flood"] * 30)
            others = await queue(started, "fair", "a", "b", "c")
        got = await asyncio.gather(*others)
        assert [each.status for each in got] == [200] * 3
        came = order(started)
        assert came[:4] == ["flood", "a", "b", "c"]
        assert len(came) < 20, "the flood is still waiting"
        for task in flood:
            task.cancel()
        await asyncio.gather(*flood, return_exceptions=True)


@pytest.mark.parametrize("shape", ["openai", "anthropic"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_a_full_route_says_when_to_come_back(started: Gateway, stream: bool, shape: str) -> None:
    async with started.baseline(records=2):
        async with held(started, "slow", route=True):
            waiting = await queue(started, "slow", "1")
            got = await started.ask("slow", stream=stream, shape=shape)
        assert (await waiting[0]).status == 200
    assert got.status == (503 if shape == "openai" else 529)
    assert got.headers["retry-after"] == "1"
    assert got.headers["x-engine-calls"] == "0"
    assert got.error is not None
    assert "all 1 places are taken and 1 wait" in got.error["message"]
    if shape == "openai":
        assert got.code == "overloaded"


@pytest.mark.parametrize(("model", "name", "waits"), [("spills", "narrow", ["1"]), ("skips", "single", [])])
async def test_a_full_deployment_is_passed_over(
    started: Gateway, model: str, name: str, waits: list[str]
) -> None:
    async with started.baseline(records=len(waits) + 1):
        async with held(started, name):
            waiting = await queue(started, model, *waits)
            got = await started.ask(model, user="last")
        await asyncio.gather(*waiting)
    assert got.headers["x-engine-deployment"] == "b"
    assert [seen.model for seen in started.providers[0].seen].count("ok#b") == 1


async def test_nobody_else_to_ask(started: Gateway) -> None:
    async with started.baseline(records=1), held(started, "single"):
        got = await started.ask("only")
    assert (got.status, got.code, got.headers["retry-after"]) == (503, "no_candidate", "1")


async def test_a_wait_ends(started: Gateway) -> None:
    async with started.baseline(records=1), held(started, "gate", route=True):
        got = await started.ask("gate")
    assert (got.status, got.code, got.seconds >= 0.15) == (503, "overloaded", True)


async def test_a_deadline_ends_the_wait(started: Gateway) -> None:
    async with started.baseline(records=1), held(started):
        got = await started.ask("fair", headers={"x-engine-timeout-ms": "100"})
    assert (got.status, got.headers["x-engine-calls"]) == (504, "0")
    assert 0.09 < got.seconds < 5.0


async def test_a_reload_opens_more_places(started: Gateway) -> None:
    """State outlives plans: those who wait get the new places once the next one comes."""
    await started.running.client.get("/healthz")  # its connection is there
    # A host that reloads keeps its own sinks only: not all records are seen.
    async with started.baseline(), held(started):
        flood = await queue(started, "fair", *"12345678")
        (vendor,) = started.providers
        write_files(started.running.folder, files(vendor.url, most=20))
        answer = await started.running.client.post("/admin/reload")
        assert answer.json()["result"] == "ack"
        assert not any(task.done() for task in flood)
        got = await started.ask("fair", user="9")
        assert {each.status for each in await asyncio.gather(*flood)} == {200}
    assert got.status == 200


async def test_the_figures(started: Gateway) -> None:
    async with held(started):
        flood = await queue(started, "fair", *"12")
        flood += await queue(started, "slow", "3")
        status = (await started.running.client.get("/admin/status")).json()["places"]
    assert status == {
        "deployment": {"a": {"open": 1, "waiting": 3}},
        "route": {"slow": {"open": 1, "waiting": 0}},
    }, json.dumps(status)
    await asyncio.gather(*flood)
    text = (await started.running.client.get("/metrics")).text
    rows = dict(row.rsplit(" ", 1) for row in text.splitlines() if not row.startswith("#"))
    assert rows['engine_queue_waits_total{name="a",of="deployment"}'] == "3.0"
    assert rows['engine_queue_waiting{name="a",of="deployment"}'] == "0.0"
    assert float(rows['engine_queue_wait_seconds_total{name="a",of="deployment"}']) > 0
