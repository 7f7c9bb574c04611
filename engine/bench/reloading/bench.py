"""The run: saves, one after the other, under load; each must be answered, and nobody may notice.

The sidecar is a process of its own (`watched.py`) and learns of a save as in production, by its watch. Half
of the saves change the plan, a tenth are broken, the others change a comment. Each is counted by what the
sidecar's log says of it: taken, rejected, or nothing new; one that is not answered is lost, and so is one
that was answered otherwise than it should be.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from engine.bench.loop import run
from engine.bench.process import BenchError
from engine.bench.reloading import nginx
from engine.bench.reloading.world import Clients, Counts, Streams, Vendor
from engine.bench.report import Report

_PROVIDER: Final = """\
dialect: openai_chat
base_url: http://127.0.0.1:{port}/v1
auth: none
residency: on_host
models:
  m-1: {{context: 128k, output: 16k, input_price: $1/M, output_price: $4/M}}
"""
_ROUTES: Final = """\
# save {save}
deployments:
  one: {{provider: bench, model: m-1}}
  two: {{provider: bench, model: m-1, concurrent: 50000}}
routes:
  bench: {{start: {{fallback: [one, two]}}, timeout: {{total: {total}s}}}}
  number: {{start: {{respond: Number {plan}.}}}}
"""
#: Of every version of it, in characters: one is written over another.
_SIZE: Final = 500

_SETTINGS: Final = "listen: 127.0.0.1:0\nstate: memory\ndebounce: 5ms\n"

#: A save that nothing is heard of for so long is lost.
_LOST_S: Final = 180.0

_RESULTS: Final = {"reload_ack": "taken", "reload_nack": "rejected", "reload_unchanged": "unchanged"}


@dataclass(frozen=True, slots=True)
class Options:
    """routes: so many more of them in the workspace, for the stall of a large plan."""

    reloads: int = 1_000
    every_s: float = 0.1
    busy: int = 16
    streams: int = 1_000
    routes: int = 0
    smoke: bool = False


@dataclass(slots=True)
class Saves:
    """What became of the saves. spans: from when to when each was under way, on the monotonic clock."""

    results: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_RESULTS.values(), 0))
    lost: int = 0
    seconds: float = 0.0
    spans: list[tuple[float, float]] = field(default_factory=list)
    revisions: set[str] = field(default_factory=set)


class Sidecar:
    """The process, and what it says."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._heard: asyncio.Queue[tuple[str, str | None]] = asyncio.Queue()
        self._log = asyncio.create_task(self._read())
        self.other: list[str] = []

    @classmethod
    async def start(cls, folder: Path) -> tuple[Sidecar, dict[str, Any]]:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "engine.bench.reloading.watched",
            str(folder),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=1 << 26,
        )
        sidecar = cls(process)
        assert process.stdout is not None
        line = await process.stdout.readline()
        if not line:
            await process.wait()
            raise BenchError("the sidecar did not start: " + " ".join(sidecar.other[-5:]))
        hello: dict[str, Any] = json.loads(line)
        return sidecar, hello

    async def answer(self) -> tuple[str, str | None]:
        """What it says of the next reload, and the revision that is told with it."""
        return await self._heard.get()

    async def stop(self) -> Mapping[str, Any]:
        """End it in good order; its late looks."""
        self._process.send_signal(signal.SIGTERM)
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), 60)
        await self._process.wait()
        await self._log
        looks: Mapping[str, Any] = json.loads(line)
        return looks

    def kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()

    def memory_kib(self) -> int:
        """Resident memory now; 0 where the system does not say."""
        try:
            rows = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        except OSError:
            return 0
        return next((int(row.split()[1]) for row in rows if row.startswith("VmRSS:")), 0)

    async def _read(self) -> None:
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            try:
                told = json.loads(line)
            except ValueError:
                self.other.append(line.decode().strip())
                continue
            result = _RESULTS.get(told.get("event"))
            if result is not None:
                self._heard.put_nowait((result, told.get("revision")))
            else:
                self.other.append(line.decode().strip())


def bench(options: Options) -> Report:
    """Measure; takes `reloads` x `every_s` and some seconds."""
    report = Report(
        f"{options.reloads:,} reloads under {options.busy} busy clients and {options.streams:,} open streams"
        + (f", {options.routes:,} routes" if options.routes else ""),
        judged=not options.smoke,
    )
    folder = Path(tempfile.mkdtemp(prefix="engine-bench-"))
    try:
        run(_measure(report, options, folder))
    finally:
        shutil.rmtree(folder)
    return report


async def _measure(report: Report, options: Options, folder: Path) -> None:
    loop = asyncio.get_running_loop()
    streams = Streams()
    server = await loop.create_server(lambda: Vendor(streams), "127.0.0.1", 0, backlog=4096)
    port: int = server.sockets[0].getsockname()[1]
    pace = asyncio.create_task(streams.pace())
    try:
        await _ours(report, options, _workspace(folder / "ws", port, options.routes), streams)
        program = nginx.installed()
        if program is None:
            return
        theirs = Streams()
        tokens = asyncio.create_task(theirs.pace())
        beside = await loop.create_server(lambda: Vendor(theirs), "127.0.0.1", 0, backlog=4096)
        vendor: int = beside.sockets[0].getsockname()[1]
        ran = await nginx.run(
            program,
            _folder(folder / "nginx"),
            vendor,
            theirs,
            reloads=max(1, options.reloads // 10),
            every_s=options.every_s,
            busy=options.busy,
            held=options.streams,
        )
        tokens.cancel()
        beside.close()
        report.add("nginx: reloads", ran.reloads, "")
        _add_counts(report, "nginx: ", ran.counts, judged=False)
    finally:
        pace.cancel()
        server.close()


async def _ours(report: Report, options: Options, folder: Path, streams: Streams) -> None:
    sidecar, hello = await Sidecar.start(folder)
    try:
        clients = Clients(hello["listen"], "bench")
        await clients.come(options.busy, options.streams)
        first = -2 if options.smoke or options.routes else -20
        warm = await _saves(folder, sidecar, range(first, 1), 0.0)
        if not warm.spans:
            raise BenchError("the sidecar does not follow: " + " ".join(sidecar.other[-5:]))
        before = sidecar.memory_kib()
        clients.counts.times.clear()
        saves = await _saves(folder, sidecar, range(1, options.reloads + 1), options.every_s)
        after = sidecar.memory_kib()
        await asyncio.sleep(0.2)  # a thousand streams that end at once are no reload
        await clients.leave(streams)
        looks = await sidecar.stop()
    finally:
        sidecar.kill()
    _add_saves(report, options, saves)
    _add_counts(report, "", clients.counts, judged=True)
    unknown = clients.counts.revisions - saves.revisions - warm.revisions - {hello["revision"]}
    report.add("answers of a plan that was never taken", len(unknown), "", at_most=0, always=True)
    _add_looks(report, looks, saves)
    report.add("memory over the run (RSS)", (after - before) / 1024, "MiB", note=f"from {before / 1024:.0f}")


def _folder(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _workspace(folder: Path, port: int, routes: int) -> Path:
    for name in ("routes", "providers.d"):
        (folder / name).mkdir(parents=True)
    (folder / "engine.yaml").write_text(_SETTINGS)
    (folder / "providers.d" / "bench.yaml").write_text(_PROVIDER.format(port=port))
    (folder / "routes" / "main.yaml").write_text(_ROUTES.format(save=0, plan=0, total=600))
    for at in range(0, routes, 500):
        rows = (f"  r{n}: {{start: {{fallback: [one, two]}}}}\n" for n in range(at, min(routes, at + 500)))
        (folder / "routes" / f"many-{at}.yaml").write_text("routes:\n" + "".join(rows))
    return folder


async def _saves(folder: Path, sidecar: Sidecar, numbers: range, every_s: float) -> Saves:
    """Make these saves, each once the one before was answered and not sooner than every `every_s`."""
    saves, loop = Saves(), asyncio.get_running_loop()
    main, began, plan = folder / "routes" / "main.yaml", loop.time(), numbers[0] - 1
    for number in numbers:
        kind = _kind(number)
        plan = number if kind == "taken" else plan
        text = _ROUTES.format(save=number, plan=plan, total=600 + plan % 50)
        if kind == "rejected":
            text += "  oops: {start: nobody}\n"
        text += "#" * (_SIZE - len(text))
        await asyncio.sleep(max(0.0, began + (number - numbers[0]) * every_s - loop.time()))
        at = time.monotonic()
        if number % 3:
            other = main.with_name(".main.yaml.swp")
            other.write_text(text)
            other.replace(main)
        else:
            _over(main, text)
        try:
            async with asyncio.timeout(_LOST_S):
                result, revision = await sidecar.answer()
        except TimeoutError:
            saves.lost += 1
            continue
        saves.spans.append((at, time.monotonic()))
        saves.results[result] += 1
        saves.lost += result != kind
        if result == "taken" and revision is not None:
            saves.revisions.add(revision)
    saves.seconds = loop.time() - began
    return saves


def _over(path: Path, text: str) -> None:
    """Write over the file in place, and no moment has half of it: that is no matter of this bench."""
    with path.open("r+b") as file:
        file.write(text.encode())


def _kind(number: int) -> str:
    """What should come of a save. The one after a broken one changes the plan."""
    if number % 2 == 0:
        return "taken"
    return "rejected" if number % 10 == 3 else "unchanged"


def _add_saves(report: Report, options: Options, saves: Saves) -> None:
    report.add("answered: taken (ACK)", saves.results["taken"], "", at_least=options.reloads // 2)
    report.add("answered: rejected (NACK)", saves.results["rejected"], "", at_least=options.reloads // 10)
    report.add("answered: same plan", saves.results["unchanged"], "")
    report.add("not answered, or otherwise than it should be", saves.lost, "", at_most=0)
    bar = None if options.routes else options.reloads * options.every_s * 1.02
    report.add("seconds", saves.seconds, "s", at_most=bar)
    took = sorted((end - begin) * 1e3 for begin, end in saves.spans) or [float("nan")]
    report.add("from save to answer, median", took[len(took) // 2], "ms")
    report.add("from save to answer, p99", took[min(len(took) - 1, int(len(took) * 0.99))], "ms")


def _add_counts(report: Report, name: str, counts: Counts, *, judged: bool) -> None:
    zero = 0 if judged else None
    times = sorted(counts.times) or [float("nan")]
    report.add(f"{name}requests answered", counts.answered, "")
    report.add(f"{name}failed", counts.failed, "", at_most=zero, always=True)
    report.add(f"{name}connections reset", counts.reset, "", at_most=zero, always=True)
    report.add(f"{name}streams that ended whole", counts.ended, "")
    report.add(f"{name}streams broken", counts.broken, "", at_most=zero, always=True)
    report.add(f"{name}request, median", times[len(times) // 2] * 1e3, "ms")
    report.add(f"{name}request, p99", times[min(len(times) - 1, int(len(times) * 0.99))] * 1e3, "ms")


def _add_looks(report: Report, looks: Mapping[str, Any], saves: Saves) -> None:
    """How late the loop came while saves were under way: over all looks, and the worst of each save.

    Judged is what it used of the processor itself: on a machine with other work it also waits for its turn.
    """
    began, ended = saves.spans[0][0], saves.spans[-1][1]
    late = [each for each in looks["late"] if began <= each[0] <= ended]
    own, wall = _worst(late, saves, 2), _worst(late, saves, 1)
    # What is not told came less than a millisecond late; so many of the looks were made while saves were.
    count = int((ended - began) / looks["seconds"] * looks["looks"])
    report.add(
        "loop's own stall, p99 of all looks", _p99([each[2] for each in late], count), "ms", at_most=20
    )
    bar = 20 if len(own) >= 100 else None  # of fewer it is the worst of all: the whole run's, not a reload's
    report.add("loop's own stall, worst of each save, p99", _p99(own, len(own)), "ms", at_most=bar)
    report.add("loop's own stall, worst of all", max(own, default=0.0), "ms")
    report.add(
        "with waiting for a processor, p99 of all looks", _p99([each[1] for each in late], count), "ms"
    )
    report.add("with waiting for a processor, worst of each save, p99", _p99(wall, len(wall)), "ms")


def _worst(late: list[list[float]], saves: Saves, column: int) -> list[float]:
    found, at = [], 0
    for begin, end in saves.spans:
        while at < len(late) and late[at][0] < begin - 0.02:
            at += 1
        inside = []
        for each in late[at:]:
            if each[0] > end:
                break
            inside.append(each[column])
        found.append(max(inside, default=0.0))
    return found


def _p99(values: list[float], count: int) -> float:
    """Of `count` values, of which those that are not given are smaller than all others; 0 for such a one."""
    rank = int(count * 0.01) + 1
    ordered = sorted(values, reverse=True)
    return ordered[rank - 1] if rank <= len(ordered) else 0.0
