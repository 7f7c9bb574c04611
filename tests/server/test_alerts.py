"""A budget's step is told to a real webhook, and nobody waits for that."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from running import Running, running, write_workspace
from scripted import Connection, Scripted, whole
from vendor import Vendor

ROUTES = """\
deployments:
  near: {provider: fake, model: m-1}
routes:
  one: {start: near, budgets: [day]}
budgets:
  day: {limit: $LIMIT, window: day, steps: [{at: 50%, alert: ops}, {at: 100%, alert: ops}]}
alerts:
  ops: {webhook: env:TEST_WEBHOOK}
"""


@pytest.fixture
async def webhook(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[dict]]:
    told: list[dict] = []

    async def take(connection: Connection) -> None:
        told.append(json.loads(connection.last.partition(b"\r\n\r\n")[2]))
        connection.send(whole(200, b"ok"))

    async with Scripted(take) as server:
        monkeypatch.setenv("TEST_WEBHOOK", f"{server.url}/canary")
        yield told


@pytest.fixture(params=["0.05"])
async def sidecar(
    vendor: Vendor, webhook: list[dict], tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[Running]:
    routes = ROUTES.replace("LIMIT", request.param)
    folder = write_workspace(tmp_path / "acme", vendor.port, routes=routes, settings="timezone: UTC\n")
    async with running(folder) as started:
        yield started


async def test_a_step_is_told_once(sidecar: Running, webhook: list[dict]) -> None:
    """A call may cost $0.041: one is 82% of the budget, two are too much."""
    assert (await sidecar.chat(max_tokens=4_000)).status_code == 200
    for _ in range(3):
        assert (await sidecar.chat(max_tokens=4_000, n=1)).status_code == 200
    async with asyncio.timeout(30):
        while (told := (await sidecar.status())["alerts"]).get("ops", {}).get("sent", 0) < 1:
            await asyncio.sleep(0.01)
    assert [(each["budget"], each["step"], each["workspace"]) for each in webhook] == [("day", 0.5, "acme")]
    assert 0.5 < webhook[0]["used"] < 1
    assert (webhook[0]["limit"], webhook[0]["measure"]) == (0.05, "cost")
    assert told["ops"] == {"sent": 1, "waiting": 0, "failed": 0, "dropped": 0, "last_failure": None}


@pytest.mark.parametrize("sidecar", ["0.0401"], indirect=True)
async def test_a_full_budget_is_told(sidecar: Running, webhook: list[dict]) -> None:
    answers = [await sidecar.chat(max_tokens=4_000) for _ in range(6)]
    assert (answers[0].status_code, answers[-1].status_code) == (200, 402)
    async with asyncio.timeout(30):
        while len(webhook) < 2:
            await asyncio.sleep(0.01)
    assert [each["step"] for each in webhook] == [0.5, 1.0]
