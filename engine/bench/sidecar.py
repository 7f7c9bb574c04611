"""`engine bench sidecar`: the sidecar beside a reference relay, in one run, on loopback.

The gateway under test has one core, load and fake vendor the other. Relay and sidecar take turns, so
that a machine that slows down slows both; what counts is the ratio of each pair, and its median. A run in
which the fake vendor alone is not four times quicker than the relay measures the load: it is void.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.bench.loop import cores, run
from engine.bench.process import BenchError, Process, run_json, wall_seconds
from engine.bench.report import Report, median
from engine.bench.wire import request

ROUTES = """\
deployments:
  near: {provider: bench, model: bench-model}
  far: {provider: bench, model: bench-model}
routes:
  bench:
    start:
      switch:
        - when: request.input_tokens > 3k
          use: far
      else: {fallback: [near, far]}
"""

PROVIDER = """\
dialect: openai_chat
base_url: http://127.0.0.1:%d/v1
auth: none
residency: on_host
price: free
models:
  bench-model: {context: 128k, output: 8k}
"""


@dataclass(frozen=True, slots=True)
class Options:
    """How long and against what."""

    seconds: float = 2.0
    rounds: int = 5
    idle_streams: int = 1000
    smoke: bool = False
    vs: str | None = None
    vs_model: str = "bench"


def workspace(folder: Path, port: int) -> None:
    """Write the workspace that the sidecar serves: a switch, a fallback, one loopback vendor."""
    (folder / "routes").mkdir(parents=True)
    (folder / "providers.d").mkdir()
    (folder / "routes" / "bench.yaml").write_text(ROUTES)
    (folder / "providers.d" / "bench.yaml").write_text(PROVIDER % port)
    (folder / "engine.yaml").write_text("listen: 127.0.0.1:0\nwatch: false\n")


def _load(url: str, core: int, options: Options, **more: Any) -> dict[str, Any]:
    args = ["-m", "engine.bench.load", url, "--seconds", str(options.seconds)]
    args += ["--model", more.pop("model", "bench"), "--connections", str(more.pop("connections", 32))]
    args += ["--warmup", "0.05" if options.smoke else "0.3"]
    if more.pop("stream", False):
        args.append("--stream")
    counted = run_json(args, core=core, timeout=options.seconds + 60)
    if counted["failed"]:
        raise BenchError(f"{counted['failed']} of {counted['requests']} requests to {url} failed")
    return counted


def _serve(folder: Path, core: int) -> tuple[Process, str]:
    process = Process(["-m", "engine", "serve", str(folder), "--no-watch"], core=core)
    return process, f"http://{process.hello['listen']}"


def bench(options: Options) -> Report:
    """Measure; takes about `rounds` x 6 x `seconds`."""
    report = Report("sidecar, one core, beside the reference relay", judged=not options.smoke)
    available = cores()
    if len(available) < 2 and not options.smoke:
        report.void = "needs two cores: one for the gateway, one for load and vendor"
        return report
    gateway, other = available[0], available[-1]
    folder = Path(tempfile.mkdtemp(prefix="engine-bench-"))
    try:
        with Process(["-m", "engine.bench.upstream"], core=other) as vendor:
            port = vendor.hello["port"]
            workspace(folder / "ws", port)
            upstream = f"http://127.0.0.1:{port}"
            with Process(["-m", "engine.bench.relay", "--upstream", upstream], core=gateway) as relay:
                sidecar, url = _serve(folder / "ws", gateway)
                with sidecar:
                    yardstick = f"http://127.0.0.1:{relay.hello['port']}"
                    _throughput(report, options, other, upstream, yardstick, url)
                    memory = sidecar.memory_kib()
                    if memory is not None:
                        report.add("memory after the load (RSS)", memory / 1024, "MiB", at_most=90)
        _start_up(report, options, folder / "ws")
        _idle(report, options, folder, gateway, other)
    finally:
        shutil.rmtree(folder)
    return report


def _throughput(report: Report, options: Options, core: int, direct: str, relay: str, url: str) -> None:
    shares: list[float] = []
    rates: list[float] = []
    relays: list[float] = []
    extra: list[float] = []
    events: list[float] = []
    others: list[float] = []
    bare = _load(direct, core, options)["per_second"]
    for _ in range(options.rounds):
        base = _load(relay, core, options)["per_second"]
        ours = _load(url, core, options)["per_second"]
        relays.append(base)
        rates.append(ours)
        shares.append(ours / base if base else float("nan"))  # a smoke run may see none come back
        one_base = _load(relay, core, options, connections=1)["p50"]
        one_ours = _load(url, core, options, connections=1)["p50"]
        extra.append(one_ours - one_base)
        events.append(_load(url, core, options, connections=64, stream=True)["events_per_second"])
        if options.vs is not None:
            others.append(_load(options.vs, core, options, model=options.vs_model)["per_second"])
    if bare < 4 * median(relays) and not options.smoke:
        report.void = f"direct {bare:,.0f}/s is under four times the relay's {median(relays):,.0f}/s"
    report.add("direct to the fake vendor", bare, "requests/s")
    report.add("reference relay, 32 connections", median(relays), "requests/s")
    report.add("sidecar, 32 connections", median(rates), "requests/s")
    report.add(
        "sidecar / relay",
        median(shares),
        "x",
        at_least=0.60,
        note=f"min {min(shares):.2f}, max {max(shares):.2f} of {len(shares)} pairs",
    )
    report.add("one connection, p50 over the relay", median(extra), "ms", at_most=0.25)
    report.add("streamed events, 64 streams", median(events), "events/s", at_least=25_000)
    if others:
        report.add(f"{options.vs}", median(others), "requests/s")
        report.add("sidecar / other", median(rates) / median(others), "x")


def _start_up(report: Report, options: Options, folder: Path) -> None:
    runs = 1 if options.smoke else 5
    ready = []
    for _ in range(runs):
        process, _url = _serve_anywhere(folder)
        with process:
            ready.append(process.ready_ms)
    report.add("engine serve, ready after", median(ready), "ms", at_most=1000)
    took = [wall_seconds(["-m", "engine", "validate", str(folder)]) for _ in range(runs)]
    report.add("engine validate of this workspace", median(took) * 1e3, "ms", at_most=600)


def _serve_anywhere(folder: Path) -> tuple[Process, str]:
    process = Process(["-m", "engine", "serve", str(folder), "--no-watch"], core=None)
    return process, f"http://{process.hello['listen']}"


def _idle(report: Report, options: Options, folder: Path, gateway: int, other: int) -> None:
    count = 50 if options.smoke else options.idle_streams
    with Process(["-m", "engine.bench.upstream", "--idle"], core=other) as vendor:
        workspace(folder / "idle", vendor.hello["port"])
        sidecar, url = _serve(folder / "idle", gateway)
        with sidecar:
            before, after = run(_hold(url, count, sidecar))
    if before is not None and after is not None:
        report.add(f"{count} open idle streams, each", (after - before) / count, "KiB", at_most=35)


async def _hold(url: str, count: int, sidecar: Process) -> tuple[int | None, int | None]:
    """Open the streams, wait for the first event of each, and read the memory before and after."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    payload = request(f"{host}:{port}", "bench", stream=True)

    async def open_one() -> asyncio.StreamWriter:
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(payload)
        try:
            await asyncio.wait_for(reader.readuntil(b"\n\n"), 30)
        except TimeoutError:
            raise BenchError("an idle stream brought no event within 30 s") from None
        return writer

    first = [await open_one() for _ in range(4)]  # whatever is set up once is set up now
    before = sidecar.memory_kib()
    writers = []
    for start in range(0, count, 50):
        writers += await asyncio.gather(*(open_one() for _ in range(start, min(count, start + 50))))
    after = sidecar.memory_kib()
    for writer in first + writers:
        writer.close()
    return before, after
