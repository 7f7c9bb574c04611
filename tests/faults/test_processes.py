"""Faults of the process itself (P1, P2, P4, P7 of the fault matrix): clocks, signals, disks, addresses."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from harness import Gateway, gateway
from served import SCRIPTS, Streams, idle, serve, start, workspace

from engine.bench.faults.provider import Provider
from engine.observe.resources import raise_file_limit
from engine.runtime.clock import SystemClock

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits and /proc are Linux's")

# --- P1: the wall clock -------------------------------------------------------------------------------


@pytest.fixture
async def jumping(
    vendor: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Gateway]:
    """A gateway on a machine whose wall clock jumps by an hour, back and forth, a hundred times a second."""
    wall, hours = SystemClock.wall, [0]
    monkeypatch.setattr(SystemClock, "wall", lambda clock: wall(clock) + hours[0] * 3600)

    async def jump() -> None:
        while True:
            await asyncio.sleep(0.01)
            hours[0] = (hours[0] + 2) % 3 - 1

    async with gateway(workspace(tmp_path / "ws", vendor), vendor) as made:
        await made.ask("ok")
        task = asyncio.create_task(jump())
        yield made
        task.cancel()


async def test_p1_limits_of_time_do_not_see_the_wall_clock(jumping: Gateway) -> None:
    async with jumping.baseline(records=6):
        silent = await jumping.ask("silent")
        assert (silent.status, silent.seconds > 0.12, silent.loop_s < 1.0) == (504, True, True)
        (vendor,) = jumping.providers
        seen = len(vendor.seen)
        first = asyncio.create_task(jumping.ask("narrow", headers={"x-engine-timeout-ms": "1400"}))
        async with asyncio.timeout(30):
            while len(vendor.seen) == seen:
                await asyncio.sleep(0.01)
        waited = await jumping.ask("narrow")
        assert (waited.status, waited.seconds > 0.28, waited.loop_s < 0.8) == (503, True, True)
        late = await first
        assert (late.status, late.seconds > 1.35, late.loop_s < 1.9) == (504, True, True)
        for _ in range(2):  # paused for two seconds by the vendor, whatever the hour
            assert (await jumping.ask("paused")).status == 200
        assert (await jumping.ask("ok")).status == 200
    assert [len(vendor.of(SCRIPTS[name])) for name in ("limited", "spare")] == [1, 2]
    assert all(
        0 <= record.duration_ms < 600_000 for record in jumping.records if record.duration_ms is not None
    )


# --- P2: SIGTERM with streams -------------------------------------------------------------------------


async def test_p2_sigterm_with_a_thousand_streams(vendor: Provider, tmp_path: Path) -> None:
    """Not ready at once, an error event to each at the end of the drain; exit code 0."""
    raise_file_limit()
    count, streams = 1_000, Streams()
    async with serve(workspace(tmp_path / "ws", vendor, drain="1s")) as served:
        await streams.open(served, "stalls", count)
        assert (await served.metrics())["engine_in_flight"] == count
        served.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            with contextlib.suppress(httpx.TransportError):  # a drain later it is gone
                while (await served.client.get("/readyz")).status_code == 200:
                    await asyncio.sleep(0.01)
        await streams.ended()
        code, log = await served.ended()
        assert code == 0, log
    told = [bytes(got).count(b'"shutting_down"') for got in streams.got]
    assert told == [1] * count
    assert all(bytes(got).rstrip().endswith(b"0") for got in streams.got), "each body has its last chunk"
    await streams.close()
    async with asyncio.timeout(30):
        while not idle(vendor):
            await asyncio.sleep(0.02)


# --- P4: the disk under the decision log --------------------------------------------------------------


@pytest.mark.parametrize("disk", ["full", "slow", "good"])
async def test_p4_a_disk_delays_nobody(vendor: Provider, tmp_path: Path, disk: str) -> None:
    log = tmp_path / "decisions.jsonl"
    path, reading = str(log), None
    if disk == "full":
        path = "/dev/full"
    elif disk == "slow":  # a pipe whose reader does not read takes 64 KiB, then nothing
        os.mkfifo(log)
        reading = os.open(log, os.O_RDONLY | os.O_NONBLOCK)
    try:
        async with serve(workspace(tmp_path / "ws", vendor, decision_log=path)) as served:
            async with served.baseline() as before:
                for _ in range(20):  # a disk that takes nothing would hold them for ever
                    answers = await asyncio.gather(*(served.chat() for _ in range(10)))
                    assert {answer.status_code for answer in answers} == {200}
            figures = await served.metrics()
            assert figures['engine_requests_total{route="ok",status="200"}'] == before + 200
            assert figures["engine_decision_log_dropped_total"] == 0
            assert await served.controls() == [200] * 4
            if reading is not None:
                os.close(reading)
                reading = None
            served.process.send_signal(signal.SIGTERM)
            code, told = await served.ended()
        assert code == 0
        events = [json.loads(line) for line in told.splitlines() if line.startswith("{")]
        said = [each for each in events if "cannot be written" in json.dumps(each)]
        assert len(said) == (disk != "good"), told
        if disk == "good":
            assert len(log.read_text().splitlines()) == before + 200
    finally:
        if reading is not None:
            os.close(reading)


async def test_p4_a_disk_that_is_read_only_is_told_at_the_start(vendor: Provider, tmp_path: Path) -> None:
    folder = workspace(tmp_path / "ws", vendor, decision_log="/proc/decisions.jsonl")
    process = await start(folder)
    _, errors = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 2
    assert "/proc/decisions.jsonl" in errors.decode()


# --- P7: two on one address ---------------------------------------------------------------------------


async def test_p7_two_sidecars_on_one_port(vendor: Provider, tmp_path: Path) -> None:
    """The second says which address is taken, and does not start; the first goes on."""
    folder = workspace(tmp_path / "ws", vendor)
    async with serve(folder) as served:
        process = await start(folder, "--listen", served.hello["listen"])
        out, errors = await asyncio.wait_for(process.communicate(), 20)
        assert (process.returncode, out) == (2, b"")
        assert served.hello["listen"] in errors.decode()
        assert "in use" in errors.decode()
        assert "Traceback" not in errors.decode()
        assert (await served.chat()).status_code == 200
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, 0)
        raise AssertionError("the second one is still there")
