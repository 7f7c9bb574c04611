"""Early shedding: what presses, who is refused, what still answers."""

from __future__ import annotations

import asyncio
import io
import math
import time

import pytest
from running import HELLO, Running

from engine.errors import Overloaded
from engine.observe.log import Log
from engine.observe.metrics import Metrics
from engine.server.pressure import Bounds, Pressure

BOUNDS = Bounds(lag_ms=500, files=0.95, memory=0.95)


def pressed(
    files: float = 0.1, memory: float = 0.1, draw: float = 0.5
) -> tuple[Pressure, Metrics, io.StringIO]:
    metrics, lines = Metrics(), io.StringIO()
    log = Log(stream=lines, text=False)
    made = Pressure(metrics, log, files=lambda: files, memory=lambda: memory, draw=lambda: draw)
    made.bounds = BOUNDS
    return made, metrics, lines


@pytest.mark.parametrize(
    ("files", "memory", "late", "level", "why"),
    [
        (0.1, 0.1, 0.0, 0.0, "lag"),
        (0.97, 0.1, 0.0, 0.5, "files"),
        (0.97, 0.99, 0.0, 1.0, "memory"),
        (0.1, 0.1, 750.0, 0.5, "lag"),
        (math.nan, math.nan, 0.0, 0.0, "lag"),
    ],
)
async def test_what_presses_most_counts(
    files: float, memory: float, late: float, level: float, why: str
) -> None:
    pressure, metrics, lines = pressed(files, memory, draw=0.4)
    for _ in range(5):
        pressure.take(late)
    assert (pressure.level, pressure.why) == (pytest.approx(level), why)
    if level:
        with pytest.raises(Overloaded) as refused:
            pressure.check()
        assert (refused.value.status, refused.value.code, refused.value.retry_after_ms) == (
            503,
            "overloaded",
            1_000,
        )
        assert f'engine_requests_shed_total{{resource="{why}"}} 1.0' in metrics.exposition().decode()
        assert lines.getvalue().count('"shedding"') == 1, "once in a while, not at every look"
    else:
        pressure.check()


async def test_without_bounds_nothing_is_refused() -> None:
    pressure, _, _ = pressed(files=1.0)
    pressure.bounds = None
    pressure.take(9_000)
    assert pressure.level == 0


async def test_while_files_are_short_idle_connections_go() -> None:
    pressure, _, _ = pressed(files=0.96)
    closed: list[int] = []
    pressure.short_of_files = lambda: closed.append(1)
    pressure.take(0)
    pressure.take(0)
    assert len(closed) == 2


async def test_a_request_is_refused_and_control_paths_answer(sidecar: Running) -> None:
    pressure = sidecar.sidecar.plane.pressure
    pressure.stop()
    pressure.take(0.0)
    pressure.level, pressure.why = 1.0, "memory"
    answer = await sidecar.chat()
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert answer.headers["connection"] == "close"
    assert answer.json()["error"]["code"] == "overloaded"
    body = {"model": "one", "max_tokens": 9, "messages": HELLO}
    other = await sidecar.client.post("/v1/messages", json=body)
    assert (other.status_code, other.headers["retry-after"]) == (529, "1"), "as Anthropic says it"
    for path in ("/healthz", "/readyz", "/metrics", "/admin/status", "/v1/models"):
        assert (await sidecar.client.get(path)).status_code == 200, path
    told = (await sidecar.status())["overload"]
    assert (told["refused"], told["for"]) == (1.0, "memory")
    assert 0 < told["files"] < 1
    assert not sidecar.sidecar.service.open
    pressure.level = 0.0
    assert (await sidecar.chat()).status_code == 200


async def test_a_blocked_loop_is_seen(sidecar: Running) -> None:
    rows = dict[str, str]()
    async with asyncio.timeout(30):
        while float(rows.get("engine_loop_blocked_total", 0)) < 1:
            time.sleep(0.25)  # the fault: somebody's code blocks the loop
            await asyncio.sleep(0.12)
            told = (await sidecar.client.get("/metrics")).text
            rows = dict(row.rsplit(" ", 1) for row in told.splitlines() if not row.startswith("#"))
    assert float(rows['engine_loop_lag_seconds{which="worst"}']) >= 0.1
    assert float(rows["engine_tasks"]) >= 1
