"""SIGKILL of a whole sidecar, over real sockets, in each phase of a request that can be seen from outside;
and the processes of one host, which count as one.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest
from harness import provider_file, write_files
from served import Served, Streams, serve

from engine.bench.faults.provider import Provider

#: Holds at its worst: 20 tokens at $10/M, and what the input may be.
ANSWER = 200_000


def workspace(folder: Path, vendor: Provider, **settings: object) -> Path:
    """Routes to an answer, to silence and to a stream that stops, all in one budget."""
    scripts = {"ok": "ok", "silent": "silent", "stalls": "stall-20"}
    deployments = {name: {"provider": "vendor", "model": name} for name in scripts}
    deployments["silent"]["concurrent"] = {"most": 1, "queue": 3, "wait": "20s"}  # type: ignore[assignment]
    route = {"budgets": ["all"], "retry": {"extra": 0}, "admit": {"input": 400, "output": 40}}
    files = {
        "engine.yaml": {"state": "sqlite:.engine/state.db", "usage": "off", **settings},
        "providers.d/vendor.yaml": provider_file(vendor.url, scripts),
        "routes/main.yaml": {
            "deployments": deployments,
            "budgets": {"all": {"limit": "$100", "window": "every 365d"}},
            "limits": {"three": {"requests": {"rate": "3/h", "burst": 3}}},
            "routes": {
                **{name: {"start": name, **route} for name in scripts},
                "few": {"start": "ok", "limits": ["three"], "admit": {"input": 400, "output": 40}},
            },
        },
    }
    return write_files(folder, files)


def counted(folder: Path) -> tuple[int, int, int]:
    """Spent, held and lost of the budget, as the file has it."""
    with contextlib.closing(sqlite3.connect(f"file:{folder}/.engine/state.db?mode=ro", uri=True)) as db:
        found = db.execute("SELECT spent, held, lost FROM accounts WHERE key LIKE 'budget/all/%'").fetchone()
    return found or (0, 0, 0)


@contextlib.asynccontextmanager
async def killed(folder: Path) -> AsyncIterator[Served]:
    """A sidecar that is killed at the end of the block, whatever it does."""
    async with serve(folder) as served:
        yield served
        served.process.kill()
        await served.process.wait()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.01)


@pytest.mark.timeout(120)
async def test_whenever_it_is_killed_nothing_is_counted_too_low(vendor: Provider, tmp_path: Path) -> None:
    folder = workspace(tmp_path / "ws", vendor)
    async with killed(folder) as served:  # an answer has come
        assert (await served.chat("ok", max_tokens=20)).status_code == 200
        cost, held, lost = counted(folder)
        assert cost > 0 == held == lost

    async with killed(folder) as served:  # one call is made, one waits for its place
        assert counted(folder) == (cost, 0, 0)
        asked = [asyncio.create_task(served.chat("silent", max_tokens=20)) for _ in range(2)]
        await until(lambda: counted(folder)[1] > 0)
        await served.until("engine_in_flight", least=1)
    assert all(
        isinstance(each, httpx.HTTPError) for each in await asyncio.gather(*asked, return_exceptions=True)
    )
    assert counted(folder)[1] > ANSWER

    streams = Streams()
    async with killed(folder) as served:  # the first words are there
        spent, held, lost = counted(folder)
        assert (held, spent - lost) == (0, cost)
        assert lost > ANSWER
        await streams.open(served, "stalls", 1)
    await streams.close()

    workspace(folder, vendor, workers=2)
    async with serve(folder) as served:
        after, held, lost_in_all = counted(folder)
        assert held == 0
        assert after - lost_in_all == cost
        assert lost_in_all > lost
        await workers_count_as_one(served, folder)
        await a_worker_is_killed(served, folder)


async def workers_count_as_one(served: Served, folder: Path) -> None:
    answers = await asyncio.gather(*(served.chat("few") for _ in range(12)))
    assert sorted(each.status_code for each in answers) == [200] * 3 + [429] * 9
    before = counted(folder)[0]
    await asyncio.gather(*(served.chat("ok", max_tokens=20) for _ in range(8)))
    spent, held, _ = counted(folder)
    assert (held, (spent - before) % 8) == (0, 0)
    assert spent > before


async def a_worker_is_killed(served: Served, folder: Path) -> None:
    """The next one, or its neighbour, puts its counts in order."""
    lost = counted(folder)[2]
    asked = asyncio.create_task(served.chat("silent", max_tokens=20))
    await until(lambda: counted(folder)[1] > 0)
    for worker in (await served.client.get("/admin/status")).json()["workers"]:
        os.kill(worker["pid"], signal.SIGKILL)
    await until(lambda: counted(folder)[1] == 0)
    assert counted(folder)[2] > lost
    await asyncio.gather(asked, return_exceptions=True)
