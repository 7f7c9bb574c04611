"""`engine bench disconnects`: clients that leave mid-stream, ten thousand twice, and what is left of them.

The sidecar is a process of its own, so that its memory, files and tasks are read from outside: from /proc
and from its own /metrics. After a first ten thousand they are back at the baseline but for memory that the
allocator keeps; a second ten thousand must add nothing to that.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from engine.bench.leaving import ASKS, Leavers
from engine.bench.loop import run
from engine.bench.process import BenchError, Process
from engine.bench.report import Report
from engine.bench.sidecar import workspace

#: A process has so long to end what it was doing.
_SETTLE_S = 10.0


@dataclass(frozen=True, slots=True)
class Options:
    """How many leave in each of the two rounds, and how many streams are open at a time."""

    count: int = 10_000
    at_once: int = 64
    smoke: bool = False


@dataclass(frozen=True, slots=True)
class Left:
    """What a process holds. rss in KiB."""

    tasks: int
    files: int
    rss: int


def bench(options: Options) -> Report:
    """Measure; takes about a minute for 20,000."""
    report = Report(
        f"clients that leave mid-stream, {options.count:,} twice, in {len(ASKS)} formats",
        judged=not options.smoke,
    )
    if not Path("/proc/self/fd").exists():
        report.void = "open files and memory are read from /proc, which this system has not"
        return report
    folder = Path(tempfile.mkdtemp(prefix="engine-bench-"))
    try:
        run(_measure(report, options, folder))
    finally:
        shutil.rmtree(folder)
    return report


async def _measure(report: Report, options: Options, folder: Path) -> None:
    leavers = Leavers()
    workspace(folder / "ws", await leavers.start())
    args = ["-m", "engine", "serve", str(folder / "ws"), "--no-watch"]
    process = await asyncio.to_thread(lambda: Process(args, core=None))
    try:
        with process:
            await _rounds(report, options, leavers, process)
    finally:
        await leavers.stop()


async def _rounds(report: Report, options: Options, leavers: Leavers, process: Process) -> None:
    address: str = process.hello["listen"]
    await leavers.leave(address, max(2 * options.at_once, options.count // 20), options.at_once)
    before = await _settled(process, None)
    leavers.moments.closed.clear()
    leavers.moments.failed = 0
    began = time.perf_counter()
    await leavers.leave(address, options.count, options.at_once)
    first = await _settled(process, before)
    await leavers.leave(address, options.count, options.at_once)
    second = await _settled(process, before)
    seconds = time.perf_counter() - began
    moments = leavers.moments
    report.add("disconnects", sum(map(len, moments.closed.values())), "", at_least=2 * options.count)
    report.add("streams that broke by themselves", moments.failed, "", at_most=0)
    report.add("disconnects a second", 2 * options.count / seconds, "/s")
    for form, times in moments.closed.items():
        ordered = sorted(times)
        at = ordered[int(len(ordered) * 0.99)]
        report.add(f"upstream closed after, p99, {form}", at, "ms", at_most=100)
        report.add(f"upstream closed after, median, {form}", ordered[len(ordered) // 2], "ms")
    report.add("tasks left, over the baseline", second.tasks - before.tasks, "", at_most=0)
    report.add("files left, over the baseline", second.files - before.files, "", at_most=0)
    report.add("memory at the baseline (RSS)", before.rss / 1024, "MiB")
    report.add("after the first round", first.rss / 1024, "MiB")
    report.add("after the second round", second.rss / 1024, "MiB")
    report.add("memory after the second / after the first", second.rss / first.rss, "x", at_most=1.03)


async def _settled(process: Process, baseline: Left | None) -> Left:
    """What the process holds once it has ended what it was doing; at the latest after `_SETTLE_S`."""
    end = time.perf_counter() + _SETTLE_S
    while True:
        await asyncio.sleep(0.3)
        found = await _held(process)
        if baseline is None or (found.tasks <= baseline.tasks and found.files <= baseline.files):
            return found
        if time.perf_counter() > end:
            return found


async def _held(process: Process) -> Left:
    rows = await _metrics(process.hello["listen"])
    rss, files = process.memory_kib(), process.open_files()
    if rss is None or files is None:
        raise BenchError("the sidecar has ended")
    return Left(int(rows["engine_tasks"]), files, rss)


async def _metrics(address: str) -> dict[str, float]:
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET /metrics HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    rows = (row.rpartition(" ") for row in answer.decode().splitlines() if row and row[0] != "#")
    return {name: float(value) for name, _, value in rows if name.startswith("engine_")}
