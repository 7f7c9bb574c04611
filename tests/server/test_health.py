"""Health over real sockets: what clients and operators are told, and probes of a real sidecar."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from running import Running, running, write_workspace
from scripted import Connection
from vendor import Vendor, answers, chat

BROKEN = answers({"error": {"message": "boom", "type": "server_error"}}, 500)


def figures(text: str) -> dict[str, float]:
    """Figures of the deployment `near`, by name."""
    return {
        sample.name: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.labels.get("deployment") == "near"
    }


async def test_an_open_breaker(sidecar: Running, vendor: Vendor) -> None:
    vendor.answer = BROKEN
    await asyncio.gather(*(sidecar.chat() for _ in range(10)))
    answer = await sidecar.chat()
    assert answer.status_code == 503
    assert 1 <= int(answer.headers["retry-after"]) <= 5
    assert answer.headers["x-engine-calls"] == "0"
    told = (await sidecar.client.get("/admin/deployments")).json()["deployments"]["near"]["health"]
    assert (told["breaker"], told["opened"]) == ("open", 1)
    assert told["calls"] == told["failed"] == 20
    seen = figures((await sidecar.client.get("/metrics")).text)
    assert (seen["engine_breaker_state"], seen["engine_deployment_healthy"]) == (2, 0)
    assert seen["engine_breaker_opened_total"] == 1


async def test_a_dead_key(sidecar: Running, vendor: Vendor) -> None:
    vendor.answer = answers({"error": {"message": "no", "type": "invalid_request_error"}}, 401)
    for _ in range(3):
        answer = await sidecar.chat()
    assert answer.headers["x-engine-calls"] == "0"
    told = (await sidecar.client.get("/admin/deployments")).json()["deployments"]["near"]["health"]
    assert [known["failure"] for known in told["refused"].values()] == ["auth"]
    assert 0 < figures((await sidecar.client.get("/metrics")).text)["engine_credential_refused_seconds"] <= 1


ROUTES = """
deployments: {near: {provider: fake, model: m-1%s}}
routes: {one: near}
"""


async def test_probes_begin_and_end_with_the_plan(tmp_path: Path, vendor: Vendor) -> None:
    vendor.answer = answers(chat())
    write_workspace(tmp_path, vendor.port, routes=ROUTES % ", probe: {every: 50ms, timeout: 1s}")
    async with running(tmp_path) as sidecar:
        async with asyncio.timeout(30):
            while not vendor.bodies:
                await asyncio.sleep(0.01)
        assert vendor.bodies[0]["max_completion_tokens"] == 1
        text = (await sidecar.client.get("/metrics")).text
        assert figures(text)["engine_attempts_total"] >= 1
        write_workspace(tmp_path, vendor.port, routes=ROUTES % "")
        assert (await sidecar.client.post("/admin/reload")).json()["result"] == "ack"
        await asyncio.sleep(0.1)
        so_far = len(vendor.bodies)
        await asyncio.sleep(0.2)
        assert len(vendor.bodies) == so_far


TWO_KEYS = """
deployments: {near: {provider: fake, model: m-1, credentials: [old, new]}}
credentials:
  old: {provider: fake, secret: env:TEST_OLD_KEY}
  new: {provider: fake, secret: env:TEST_NEW_KEY}
routes: {one: near}
"""


@pytest.mark.parametrize("status", [401, 402, 429])
async def test_another_key_is_shown_at_once(
    tmp_path: Path, vendor: Vendor, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setenv("TEST_OLD_KEY", "old-key")
    monkeypatch.setenv("TEST_NEW_KEY", "new-key")
    shown: list[str] = []

    async def by_key(connection: Connection) -> None:
        key = "old" if b"Bearer old-key" in connection.last else "new"
        shown.append(key)
        refused = answers({"error": {"message": "no", "type": "x"}}, status, "retry-after: 60")
        await (refused if key == "old" else answers(chat()))(connection)

    vendor.answer = by_key
    write_workspace(tmp_path, vendor.port, routes=TWO_KEYS)
    file = tmp_path / "providers.d" / "fake.yaml"
    file.write_text(file.read_text().replace("auth: none", "auth: {bearer: env:TEST_OLD_KEY}"))
    async with running(tmp_path) as sidecar:
        for _ in range(4):
            assert (await sidecar.chat()).status_code == 200
        told = (await sidecar.client.get("/admin/deployments")).json()["deployments"]["near"]["health"]
    assert shown.count("old") == 1, "it steps back"
    assert "old" in {**told["refused"], **told["cooling_ms"]}
