"""The run: the fault provider in this process, `engine serve` in another, all scenarios at once.

Each mode has a gateway of its own over the same provider. A gateway, a route and two models of the vendor
belong to one scenario alone, so that they do not see each other; what they share is the machine.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import httpx

from engine.bench.failover.client import Call, Shape, call
from engine.bench.failover.scenarios import (
    OUTAGE_CALLS,
    OUTAGE_EVERY_S,
    SCENARIOS,
    Observed,
    Scenario,
)
from engine.bench.failover.workspace import MODES, WELL, Mode, models_of, route_of, wire_models, write
from engine.bench.faults.provider import Provider
from engine.bench.loop import run
from engine.bench.process import BenchError, Process

#: `--fast` runs at four times the speed: what the gateway waits for the end of a complete stream (1 s)
#: still fits S11's limit then.
FAST: Final = 0.25

#: Between two tokens, so that a caller has had those before a cut.
PACE_S: Final = 0.015


@dataclass(frozen=True, slots=True)
class Options:
    """quicker: all waits at this share. only: scenarios to run; none = all. shape: what the caller speaks."""

    quicker: float = 1.0
    only: tuple[str, ...] = ()
    shape: Shape = "openai"


@dataclass(frozen=True, slots=True)
class Row:
    """How one scenario went. why: None = passed. seconds: as measured."""

    id: str
    what: str
    why: str | None
    primary: int
    fallback: int
    seconds: float


@dataclass(slots=True)
class Table:
    """All rows of a run, by mode."""

    rows: dict[Mode, list[Row]] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """All sixteen passed in every mode; a part of them is never enough."""
        return set(self.rows) == set(MODES) and all(
            len(rows) == len(SCENARIOS) and all(row.why is None for row in rows)
            for rows in self.rows.values()
        )

    def as_json(self) -> dict[str, Any]:
        told = {
            mode: [asdict(row) | {"passed": row.why is None} for row in rows]
            for mode, rows in self.rows.items()
        }
        return {"ok": self.ok, "seconds": round(self.seconds, 1), "modes": told}

    def as_text(self) -> str:
        lines: list[str] = []
        for mode, rows in self.rows.items():
            stream = ", ".join(f"{key}: {value}" for key, value in MODES[mode].items())
            lines += [
                stream,
                f"  {'':3}  {'injected at the primary':<46} {'primary':>7} {'fallback':>8} {'s':>6}",
            ]
            for row in rows:
                counts = f"{row.primary:>7} {row.fallback:>8} {row.seconds:>6.1f}"
                verdict = "pass" if row.why is None else f"FAIL: {row.why}"
                lines.append(f"  {row.id}  {row.what:<46} {counts}  {verdict}")
            passed = sum(row.why is None for row in rows)
            lines += [f"  {passed} of {len(SCENARIOS)}", ""]
        return "\n".join([*lines, f"{self.seconds:.0f} s in all"])


def bench(options: Options) -> Table:
    """Run the scenarios; about 90 s, a quarter of it with `--fast`. Raises BenchError."""
    unknown = set(options.only) - {scenario.id for scenario in SCENARIOS}
    if unknown:
        raise BenchError(f"there is no scenario {min(unknown)}; they are S01 to S16")
    folder = Path(tempfile.mkdtemp(prefix="engine-failover-"))
    began = time.perf_counter()
    try:
        table = run(_all(options, folder))
    finally:
        shutil.rmtree(folder)
    table.seconds = time.perf_counter() - began
    return table


async def _all(options: Options, folder: Path) -> Table:
    async with Provider(quicker=options.quicker, pace=PACE_S) as provider:
        modes: list[Mode] = list(MODES)
        found = await asyncio.gather(*(_mode(options, mode, provider, folder / mode) for mode in modes))
    return Table(dict(zip(modes, found, strict=True)))


async def _mode(options: Options, mode: Mode, provider: Provider, folder: Path) -> list[Row]:
    """All scenarios through one gateway."""
    write(folder, provider.url, mode, options.quicker)
    chosen = [scenario for scenario in SCENARIOS if not options.only or scenario.id in options.only]
    args = ["-m", "engine", "serve", str(folder), "--no-watch"]
    try:
        process = await asyncio.to_thread(Process, args, core=None)
    except BenchError as error:
        return [Row(each.id, each.what, f"no gateway: {_first(error)}", 0, 0, 0.0) for each in chosen]
    try:
        address = f"http://{process.hello['listen']}"
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
        async with httpx.AsyncClient(base_url=address, limits=limits, timeout=30) as client:
            await call(client, f"r-{WELL}", shape=options.shape)  # what is set up once is set up now
            runs = [_Run(options, mode, scenario, provider, client) for scenario in chosen]
            await asyncio.gather(*(each.play() for each in runs))
    finally:
        # Its decision log is written to the end before the judges read it.
        await asyncio.to_thread(process.__exit__, None, None, None)
    records = _records(folder / "decisions.jsonl")
    return [each.row(records) for each in runs]


class _Run:
    """One scenario on its way."""

    def __init__(
        self, options: Options, mode: Mode, scenario: Scenario, provider: Provider, client: httpx.AsyncClient
    ) -> None:
        self._options = options
        self._mode = mode
        self._scenario = scenario
        self._provider = provider
        self._client = client
        self._calls: list[Call] = []
        self._after: Call | None = None
        self._alive = True
        self._began = 0.0
        self._loop_began = 0.0

    async def play(self) -> None:
        """Make the calls."""
        self._began, self._loop_began = time.monotonic(), asyncio.get_running_loop().time()
        if self._scenario.id == "S15":
            await self._outage()
        else:
            self._calls.append(await self._call(route_of(self._scenario)))
        self._after = await self._call(f"r-{WELL}")
        try:
            self._alive = (await self._client.get("/healthz")).status_code == 200
        except httpx.HTTPError:
            self._alive = False

    async def _outage(self) -> None:
        every = OUTAGE_EVERY_S * self._options.quicker
        for number in range(OUTAGE_CALLS):
            await asyncio.sleep(max(0.0, self._began + number * every - time.monotonic()))
            self._calls.append(await self._call(route_of(self._scenario)))

    async def _call(self, model: str) -> Call:
        return await call(self._client, model, shape=self._options.shape)

    def row(self, records: dict[str, dict[str, Any]]) -> Row:
        """Judge what was seen."""
        primary, fallback = wire_models(self._scenario, self._mode)
        calls = [self._stretched(each) for each in self._calls]
        observed = Observed(
            calls=calls,
            primary=self._times(primary),
            fallback=self._times(fallback),
            fallback_names=(models_of(self._scenario)[1], fallback),
            after=self._after,
            alive=self._alive,
            records=[records[each.request_id] for each in calls if each.request_id in records],
        )
        took = sum(each.seconds for each in self._calls)
        why = self._scenario.judge(observed)
        counts = len(observed.primary), len(observed.fallback)
        return Row(self._scenario.id, self._scenario.what, why, *counts, took)

    def _times(self, wire: str) -> list[float]:
        """When the provider was asked for this model, in the seconds of a full run."""
        return [(seen.at - self._loop_began) / self._options.quicker for seen in self._provider.of(wire)]

    def _stretched(self, seen: Call) -> Call:
        """A call with the times of a full run."""
        quicker = self._options.quicker
        return replace(seen, began=(seen.began - self._began) / quicker, seconds=seen.seconds / quicker)


def _first(error: BenchError) -> str:
    """What a gateway said when it did not start: its first whole error."""
    lines = str(error).splitlines()
    return next((line for line in lines if line.startswith("error")), lines[0])[:200]


def _records(path: Path) -> dict[str, dict[str, Any]]:
    """The gateway's decision records by request."""
    lines: Iterable[str] = path.read_text().splitlines() if path.exists() else ()
    read: Sequence[dict[str, Any]] = [json.loads(line) for line in lines]
    return {record["id"]: record for record in read}
