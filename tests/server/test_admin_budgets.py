"""`/admin/budgets`, the budgets' metrics and who refused a request, of one process and of several."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from running import CHAT, HELLO, Running, running, write_workspace
from serving import serve
from vendor import Vendor

ROUTES = """\
deployments:
  near: {provider: fake, model: m-1}
routes:
  one: {start: near, budgets: [day], limits: [few]}
  two: {start: near, budgets: [small]}
budgets:
  day: {limit: $5, window: day, per: request.user, missing: share}
  small: {limit: $0.01, window: day}
limits:
  few: {per: request.user, requests: 3/day}
"""


@pytest.fixture
async def sidecar(vendor: Vendor, tmp_path: Path) -> AsyncIterator[Running]:
    folder = write_workspace(
        tmp_path / "ws", vendor.port, routes=ROUTES, settings="timezone: UTC\nusage: {file: u.db}\n"
    )
    async with running(folder) as started:
        yield started


async def test_what_was_spent_and_what_is_left(sidecar: Running) -> None:
    for user in ("ann", "ann", "bob"):
        assert (await sidecar.chat(user=user)).status_code == 200
    document = (await sidecar.client.get("/admin/budgets")).json()
    assert (document["shared"], document["processes"]) == (False, 1)
    ann, bob = document["budgets"]["day"]["partitions"]
    assert (ann["partition"], ann["spent"], ann["held"], ann["limit"]) == ("ann", 0.000084, 0, 5.0)
    assert (bob["partition"], bob["spent"], bob["left"]) == ("bob", 0.000042, 5.0 - 0.000042)
    assert document["budgets"]["small"]["partitions"] == []
    assert [row["partition"] for row in document["limits"]["few"]["partitions"]] == ["ann", "bob"]
    one = (await sidecar.client.get("/admin/budgets", params={"budget": "day", "partition": "bob"})).json()
    assert [row["partition"] for row in one["budgets"]["day"]["partitions"]] == ["bob"]
    assert one["limits"] == {}


async def test_wrong_questions(sidecar: Running) -> None:
    wrong = [
        ({"budget": "dya"}, 404, "did you mean day?"),
        ({"limit": "day"}, 404, "no limit of that name"),
        ({"most": "0"}, 400, "most is a number"),
        ({"most": "ten"}, 400, "most is a number"),
        ({"most": "99999"}, 400, "most is a number"),
    ]
    for query, status, why in wrong:
        answer = await sidecar.client.get("/admin/budgets", params=query)
        assert (answer.status_code, why in answer.text) == (status, True), query


async def test_who_refused_stands_in_metrics_and_usage(sidecar: Running) -> None:
    assert (await sidecar.chat("two", max_tokens=4_000)).status_code == 402
    codes = [(await sidecar.chat(user="ann")).status_code for _ in range(5)]
    assert codes == [200, 200, 200, 429, 429]
    text = (await sidecar.client.get("/metrics")).text
    assert 'engine_requests_without_room_total{kind="budget",name="small"} 1.0' in text
    assert 'engine_requests_without_room_total{kind="limit",name="few"} 2.0' in text
    assert 'engine_budget_partitions{budget="day",measure="cost"} 1.0' in text
    assert "engine_ledger_up 1.0" in text
    await sidecar.sidecar.host.recording.close()
    db = sqlite3.connect(sidecar.folder / "u.db")
    asked = "SELECT refused_by, COUNT(*) FROM usage WHERE requests GROUP BY 1 ORDER BY 1"
    assert db.execute(asked).fetchall() == [(None, 3), ("budget/small", 1), ("limit/few", 2)]
    db.close()


async def test_several_workers_tell_as_one(vendor: Vendor, tmp_path: Path) -> None:
    """What they share, one of them tells: neither the document nor the metrics have it twice."""
    settings = "timezone: UTC\nworkers: 2\nusage: {file: u.db}\n"
    folder = write_workspace(tmp_path / "ws", vendor.port, routes=ROUTES, settings=settings)
    said = (folder / "engine.yaml").read_text().replace("state: memory", "state: sqlite:s.db")
    (folder / "engine.yaml").write_text(said)
    async with serve(folder, "--no-watch") as served:
        for number in range(12):
            async with httpx.AsyncClient(base_url=served.url, timeout=30) as client:  # a new connection each
                body = {"model": "one", "messages": HELLO, "user": f"u{number % 6}"}
                assert (await client.post(CHAT, json=body)).status_code == 200
        async with httpx.AsyncClient(base_url=served.url, timeout=30) as client:
            document = (await client.get("/admin/budgets", params={"most": "1000"})).json()
            text = (await client.get("/metrics")).text
        assert (document["shared"], document["processes"]) == (True, 2)
        rows = document["budgets"]["day"]["partitions"]
        assert round(sum(row["spent"] for row in rows) * 1e9) == 12 * 42_000
        assert sorted(row["partition"] for row in rows) == [f"u{n}" for n in range(6)]
        (line,) = [row for row in text.splitlines() if row.startswith("engine_budget_spent{")]
        assert float(line.rsplit(" ", 1)[1]) == pytest.approx(12 * 0.000042)
        served.process.terminate()
        assert (await served.ended())[0] == 0
    db = sqlite3.connect(folder / "u.db")
    assert db.execute("SELECT SUM(requests), SUM(cost_nanos) FROM hours").fetchone() == (12, 12 * 42_000)
    db.close()
