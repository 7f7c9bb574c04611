"""What blocks the event loop (P6 of the fault matrix) is seen, and nothing of the engine does."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from harness import gateway
from served import workspace

import engine
from engine.bench.faults.provider import Provider
from engine.plan.values import Secret
from engine.upstream.secrets import Secrets

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits and /proc are Linux's")


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
