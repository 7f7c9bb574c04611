"""Reloads under load: what budgets count goes on, under a new name too, and the answer tells its amounts."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from running import Running, running, write_workspace
from vendor import Vendor

ROUTES = """\
deployments:
  near: {provider: fake, model: m-1}
routes:
  one: {start: near, budgets: [%s]}
budgets:
  %s
"""
#: Of a call: 12 tokens read at $1 and 3 written at $10 a million.
COST = 0.000042


def write(folder: Path, name: str, budget: str) -> None:
    (folder / "routes" / "main.yaml").write_text(ROUTES % (name, f"{name}: {budget}"))


async def reload(sidecar: Running) -> list[str]:
    """What the answer says of amounts; the status says the same."""
    answer = await sidecar.client.post("/admin/reload")
    assert answer.status_code == 200, answer.text
    amounts: list[str] = answer.json()["state"]["budgets"]["amounts"]
    assert (await sidecar.status())["state"]["budgets"]["amounts"] == amounts
    return amounts


async def spent(sidecar: Running, budget: str) -> float:
    document = (await sidecar.client.get("/admin/budgets")).json()
    return sum(row["spent"] for row in document["budgets"][budget]["partitions"])


@pytest.mark.parametrize("state", ["memory", "sqlite:.engine/state.db"])
async def test_counts_hold_under_load(state: str, vendor: Vendor, tmp_path: Path) -> None:
    folder = write_workspace(tmp_path / "ws", vendor.port)
    (folder / "engine.yaml").write_text(f"listen: 127.0.0.1:0\nstate: {state}\ntimezone: UTC\n")
    write(folder, "month", "{limit: $500, window: month, per: request.user}")
    served, stopping = 0, asyncio.Event()

    async def ask(user: str) -> None:
        nonlocal served
        while not stopping.is_set():
            answer = await sidecar.chat(user=user)
            assert answer.status_code == 200, answer.text
            served += 1
            await asyncio.sleep(0.05)

    async with running(folder) as sidecar:
        load = [asyncio.create_task(ask(user)) for user in ("ann", "bob", "ann")]
        async with asyncio.timeout(30):
            while served < 4:  # each of them at least once
                await asyncio.sleep(0.01)
        write(folder, "month", "{limit: $400, window: month, per: request.user}")
        (kept,) = await reload(sidecar)
        assert kept.startswith("month: 2 users keep $0.0")
        assert kept.endswith("(it was of $500)")
        write(folder, "monthly", "{limit: $400, window: month, per: request.user, was: month}")
        (moved,) = await reload(sidecar)
        assert moved.startswith("monthly (was month): 2 users keep $0.0")
        write(folder, "monthly", "{limit: $400, window: month, per: request.user}")
        (kept,) = await reload(sidecar)
        assert kept.startswith("monthly: 2 users keep $0.0")
        stopping.set()
        await asyncio.gather(*load)
        assert served > 3
        assert await spent(sidecar, "monthly") == pytest.approx(served * COST)
        assert sidecar.sidecar.host.executor.ledger.open_holds() == 0
        assert (folder / ".engine" / "state.db").exists() == (state != "memory")

        write(folder, "monthly", "{limit: $400, window: week, per: request.user}")
        (reset,) = await reload(sidecar)
        assert reset.startswith("monthly: $0.0")
        assert reset.endswith(" of 2 users no longer counts (window month -> week)")
        assert (await sidecar.chat(user="ann")).status_code == 200
        write(folder, "monthly", "{limit: $300, window: week, per: request.user}")
        assert await reload(sidecar) == ["monthly: user ann keeps $0.000042 of $300 (it was of $400)"]
