"""Faults of the process itself (P1, P2, P4 to P7 of the fault matrix): clocks, disks, limits, blocking."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from harness import KEY, Gateway, gateway, provider_file, write_files
from served import Served, Streams, idle, serve, start

import engine
from engine.bench.faults.provider import Provider
from engine.observe.resources import raise_file_limit
from engine.plan.types import Secret
from engine.runtime.clock import SystemClock
from engine.upstream.secrets import Secrets

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits and /proc are Linux's")

SCRIPTS = {"ok": "ok", "silent": "silent", "stalls": "stall-20", "limited": "429-2s,ok", "spare": "ok#spare"}


@pytest.fixture
async def vendor(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Provider]:
    monkeypatch.setenv("FAULTS_KEY", KEY)
    async with Provider() as made:
        yield made


def workspace(folder: Path, vendor: Provider, **settings: Any) -> Path:
    deployments: dict[str, Any] = {name: {"provider": "vendor", "model": name} for name in SCRIPTS}
    deployments["narrow"] = {
        "provider": "vendor",
        "model": "silent",
        "concurrent": {"most": 1, "queue": 3, "wait": "300ms"},
    }
    routes: dict[str, Any] = {name: name for name in ("ok", "stalls", "narrow")}
    routes["silent"] = {"start": "silent", "timeout": {"first_token": "150ms"}, "retry": {"extra": 0}}
    routes["paused"] = {"start": {"fallback": ["limited", "spare"]}, "retry": {"extra": 0}}
    files = {
        "engine.yaml": settings,
        "providers.d/vendor.yaml": provider_file(vendor.url, SCRIPTS),
        "routes/main.yaml": {"deployments": deployments, "routes": routes},
    }
    return write_files(folder, files)


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


@pytest.mark.alone
async def test_p1_limits_of_time_do_not_see_the_wall_clock(jumping: Gateway) -> None:
    async with jumping.baseline(records=6):
        silent = await jumping.ask("silent")
        assert (silent.status, 0.12 < silent.seconds < 1.0) == (504, True)
        first = asyncio.create_task(jumping.ask("narrow", headers={"x-engine-timeout-ms": "900"}))
        await asyncio.sleep(0.1)
        waited = await jumping.ask("narrow")
        assert (waited.status, 0.28 < waited.seconds < 0.8) == (503, True)
        late = await first
        assert (late.status, 0.85 < late.seconds < 1.5) == (504, True)
        for _ in range(2):  # paused for two seconds by the vendor, whatever the hour
            assert (await jumping.ask("paused")).status == 200
        assert (await jumping.ask("ok")).status == 200
    (vendor,) = jumping.providers
    assert [len(vendor.of(SCRIPTS[name])) for name in ("limited", "spare")] == [1, 2]
    assert all(
        0 <= record.duration_ms < 2_000 for record in jumping.records if record.duration_ms is not None
    )


# --- P2: SIGTERM with streams -------------------------------------------------------------------------


@pytest.mark.alone
async def test_p2_sigterm_with_a_thousand_streams(vendor: Provider, tmp_path: Path) -> None:
    """Not ready at once, an error event to each at the end of the drain; exit code 0."""
    raise_file_limit()
    count, streams = 1_000, Streams()
    async with serve(workspace(tmp_path / "ws", vendor, drain="1s")) as served:
        await streams.open(served, "stalls", count)
        assert (await served.metrics())["engine_in_flight"] == count
        served.process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        async with asyncio.timeout(5):
            while (await served.client.get("/readyz")).status_code == 200:
                await asyncio.sleep(0.01)
        await streams.ended()
        code, log = await served.ended()
        assert code == 0, log
        assert time.monotonic() - began < 6
    told = [bytes(got).count(b'"shutting_down"') for got in streams.got]
    assert told == [1] * count
    assert all(bytes(got).rstrip().endswith(b"0") for got in streams.got), "each body has its last chunk"
    await streams.close()
    async with asyncio.timeout(5):
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
            async with served.baseline():
                began = time.monotonic()
                for _ in range(20):
                    answers = await asyncio.gather(*(served.chat() for _ in range(10)))
                    assert {answer.status_code for answer in answers} == {200}
                assert time.monotonic() - began < 8
            figures = await served.metrics()
            assert figures['engine_requests_total{route="ok",status="200"}'] == 212
            assert figures["engine_decision_log_dropped_total"] == 0
            assert await served.controls() == [200] * 4
            if reading is not None:
                os.close(reading)
                reading = None
            served.process.send_signal(signal.SIGTERM)
            code, told = await served.ended(12)
        assert code == 0
        events = [json.loads(line) for line in told.splitlines() if line.startswith("{")]
        said = [each for each in events if "cannot be written" in json.dumps(each)]
        assert len(said) == (disk != "good"), told
        if disk == "good":
            assert len(log.read_text().splitlines()) == 212
    finally:
        if reading is not None:
            os.close(reading)


async def test_p4_a_disk_that_is_read_only_is_told_at_the_start(vendor: Provider, tmp_path: Path) -> None:
    folder = workspace(tmp_path / "ws", vendor, decision_log="/proc/decisions.jsonl")
    process = await start(folder)
    _, errors = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 2
    assert "/proc/decisions.jsonl" in errors.decode()


# --- P5: limits of the machine ------------------------------------------------------------------------


def limit(served: Served, what: int, value: int) -> None:
    _, hard = resource.prlimit(served.pid, what)
    resource.prlimit(served.pid, what, (value, hard))


async def refused_then_served(served: Served, resource_name: str, restore: Any) -> None:
    """Under pressure 503 with Retry-After, nothing else; control paths answer; afterwards all is well."""
    figure = f'engine_shedding{{resource="{resource_name}"}}'
    await served.until(figure, 0.99)
    answers = await asyncio.gather(*(served.chat() for _ in range(8)))
    assert {answer.status_code for answer in answers} == {503}
    assert {answer.headers["retry-after"] for answer in answers} == {"1"}
    assert {answer.json()["error"]["code"] for answer in answers} == {"overloaded"}
    assert await served.controls() == [200] * 4
    shed = (await served.metrics())[f'engine_requests_shed_total{{resource="{resource_name}"}}']
    assert shed == len(answers)
    restore()
    await served.until(figure, -1, 0.0)
    assert (await served.chat()).status_code == 200


async def test_p5_file_descriptors(vendor: Provider, tmp_path: Path) -> None:
    streams = Streams()
    async with serve(workspace(tmp_path / "ws", vendor, overload={"files": "50%"})) as served:
        before = resource.prlimit(served.pid, resource.RLIMIT_NOFILE)[0]
        async with served.baseline():
            await streams.open(served, "stalls", 60)
            limit(served, resource.RLIMIT_NOFILE, int(served.files() / 0.93))
            await refused_then_served(served, "files", lambda: limit(served, resource.RLIMIT_NOFILE, before))
            assert served.files() >= 120, "open streams go on"
            await streams.close()


async def test_p5_memory(vendor: Provider, tmp_path: Path) -> None:
    folder = workspace(tmp_path / "ws", vendor, overload={"memory": "50%"})
    async with serve(folder) as served, served.baseline():
        pages = int(Path(f"/proc/{served.pid}/statm").read_text().split()[0])
        limit(served, resource.RLIMIT_AS, int(pages * resource.getpagesize() / 0.93))
        await refused_then_served(
            served, "memory", lambda: limit(served, resource.RLIMIT_AS, resource.RLIM_INFINITY)
        )


@pytest.mark.alone
async def test_p5_a_neighbour_that_takes_the_processor(vendor: Provider, tmp_path: Path) -> None:
    """The process gets a twentieth of a processor, as beside a busy neighbour: it is stopped and let on."""

    async def starve(pid: int) -> None:
        while True:
            os.kill(pid, signal.SIGSTOP)
            await asyncio.sleep(0.35)
            os.kill(pid, signal.SIGCONT)
            await asyncio.sleep(0.05)

    async with serve(workspace(tmp_path / "ws", vendor, overload={"lag": "60ms"})) as served:
        async with served.baseline():
            neighbour = asyncio.create_task(starve(served.pid))

            def let_on() -> None:
                neighbour.cancel()
                os.kill(served.pid, signal.SIGCONT)

            try:
                await refused_then_served(served, "lag", let_on)
            finally:
                let_on()
        assert (await served.metrics())["engine_loop_blocked_total"] >= 5


# --- P6: a blocked loop -------------------------------------------------------------------------------


async def test_p6_a_plug_in_that_blocks_is_seen(vendor: Provider, tmp_path: Path) -> None:
    async with gateway(workspace(tmp_path / "ws", vendor), vendor) as started:
        await started.ask("ok")
        async with started.baseline(records=1):
            started.running.sidecar.host.executor.sinks.append(lambda _: time.sleep(0.2))
            assert (await started.ask("ok")).status == 200
            started.running.sidecar.host.executor.sinks.pop()
            await asyncio.sleep(0.25)
        told = (await started.running.client.get("/metrics")).text
        rows = dict(row.rsplit(" ", 1) for row in told.splitlines() if not row.startswith("#"))
        assert float(rows["engine_loop_blocked_total"]) >= 1
        assert float(rows['engine_loop_lag_seconds{which="worst"}']) >= 0.1
        assert (
            '"event": "loop_blocked"' in started.log.getvalue() or '"loop_blocked"' in started.log.getvalue()
        )
        assert float(rows['engine_shedding{resource="lag"}']) == 0, "one pause sheds nobody"


#: What may wait for a disk, a resolver or another process: audit events of the interpreter.
_BLOCKING = frozenset(
    {
        "open",
        "os.listdir",
        "os.scandir",
        "time.sleep",
        "socket.getaddrinfo",
        "subprocess.Popen",
    }
)
_ENGINE = str(Path(engine.__file__).parent)


class Watch:
    """What the engine's own code did on the watched thread that could block. A hook cannot be taken out."""

    def __init__(self) -> None:
        self.thread: int | None = None
        self.seen: list[str] = []
        sys.addaudithook(self._hook)

    def _hook(self, event: str, args: tuple[Any, ...]) -> None:
        if event not in _BLOCKING or threading.get_ident() != self.thread:
            return
        # These are no disk: what is read there is made up by the kernel at once.
        if args and str(args[0]).startswith(("/proc/", "/sys/fs/cgroup/")):
            return
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            name = frame.f_code.co_filename
            if name.startswith(_ENGINE) and "/bench/" not in name:
                self.seen.append(f"{event} {args[:1]} in {name}")
                return
            frame = frame.f_back


async def test_p6_nothing_of_ours_blocks_the_loop(vendor: Provider, tmp_path: Path) -> None:
    watch = Watch()
    async with gateway(
        workspace(tmp_path / "ws", vendor, decision_log=str(tmp_path / "log")), vendor
    ) as started:
        await started.running.client.get("/healthz")  # its connection is there
        for watched in (False, True):  # what is loaded by first requests is loaded by then
            watch.thread = threading.get_ident() if watched else None
            async with started.baseline():
                for shape in ("openai", "anthropic"):
                    for stream in (False, True):
                        assert (await started.ask("ok", shape=shape, stream=stream)).status == 200
                for model, status in (("silent", 504), ("nobody", 404), ("paused", 200)):
                    assert (await started.ask(model)).status == status
                assert (await started.running.client.get("/metrics")).status_code == 200
                assert (await started.running.client.get("/admin/status")).status_code == 200
                await asyncio.sleep(0.15)
        watch.thread = None
    assert watch.seen == []


async def test_p6_the_watch_sees(vendor: Provider, tmp_path: Path) -> None:
    """A test that cannot fail tells nothing."""
    watch = Watch()
    watch.thread = threading.get_ident()
    Secrets().get(Secret("file", str(_touched(tmp_path))))
    watch.thread = None
    assert len(watch.seen) == 1


def _touched(folder: Path) -> Path:
    (folder / "secret").write_text("a-secret-of-enough-length")
    return folder / "secret"


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
