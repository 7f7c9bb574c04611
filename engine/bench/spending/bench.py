"""Processes that spend one budget together, and the bars they are held against.

Every process has its own executor, and all share one budget in one store. What the vendor billed, by its own
account, is held against the cap: reserving first spends no more, and looking first spends what is in flight,
times the number of processes. Beside it stands what a budget costs a request, store by store.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from engine.bench.loop import cores
from engine.bench.process import BenchError, Process, run_json
from engine.bench.report import Report
from engine.bench.spending import valkey
from engine.bench.spending.spender import CAP
from engine.compiler.pipeline import compile_folder
from engine.plan.plan import Plan

WORKSPACE: Final = Path(__file__).with_name("workspace")

#: Microseconds that a budget may add to a request, with leases.
MOST_US: Final = 60.0
#: Of the cap, what can be spent: the last calls' reserves do not fit any more.
LEAST_SPENT: Final = 0.95

_TIMEOUT_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class Options:
    """processes: how many, run after run. in_flight: requests at a time, in each. requests, rounds: of the
    figures of time. again: how often who is refused comes again. stores: whose cost is told.
    """

    processes: Sequence[int] = (1, 2, 4, 8)
    in_flight: int = 100
    requests: int = 4_000
    rounds: int = 7
    again: int = 12
    stores: Sequence[str] = ("memory", "sqlite", "redis")
    smoke: bool = False


def bench(options: Options) -> Report:
    """All runs, over a store of the bench's own."""
    report = Report(
        f"one budget of $1.00, {options.in_flight} requests in flight in each process",
        judged=not options.smoke,
    )
    with tempfile.TemporaryDirectory(prefix="engine-bench-") as folder:
        plan = Path(folder) / "plan.json"
        plan.write_bytes(_plan().dump())
        told = {"plan": str(plan), "in_flight": options.in_flight}
        for count in options.processes:
            with valkey.serving() as store:
                _spent(report, options, {**told, "store": store}, count)
        for name in options.stores:
            _cost(report, options, told, name)
    return report


def _plan() -> Plan:
    """The bench's own workspace, compiled."""
    done = compile_folder(WORKSPACE)
    if done.plan is None:
        raise BenchError(f"the workspace of this bench: {next(iter(done.diagnostics)).message}")
    return done.plan


def _spent(report: Report, options: Options, told: dict[str, Any], count: int) -> None:
    words = "1 process" if count == 1 else f"{count} processes"
    ours, naive = (_spend(options, told, count, mode) for mode in ("engine", "naive"))
    billed = sum(each["billed"] for each in ours)
    report.add(
        f"{words}: spent beyond the cap",
        max(0, billed - CAP) / 1e9,
        "$",
        at_most=0.0,
        always=True,
        note=f"{sum(each['calls'] for each in ours)} calls, "
        f"looking first and counting afterwards: ${sum(each['billed'] for each in naive) / 1e9:.2f}",
    )
    report.add(f"{words}: spent", billed / 1e9, "$", at_least=LEAST_SPENT)
    report.add(f"{words}: failed otherwise", sum(each["failed"] for each in ours), "", at_most=0)


def _spend(options: Options, told: dict[str, Any], count: int, mode: str) -> list[dict[str, Any]]:
    """The accounts of so many processes that begin together."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="engine-bench-"))
        started = []
        for number in range(count):
            own = {
                **told,
                "mode": mode,
                "folder": folder,
                "name": f"{mode}-{count}-{number}",
                "seed": 10 * count + number,
                "again": options.again,
            }
            args = ["-m", "engine.bench.spending.spender", json.dumps(own)]
            started.append(stack.enter_context(Process(args, core=None)))
        for process in started:
            process.tell("go")
        return [process.answer(_TIMEOUT_S) for process in started]


def _cost(report: Report, options: Options, told: dict[str, Any], name: str) -> None:
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="engine-bench-"))
        store = {"memory": "memory", "sqlite": "sqlite:state.db"}.get(name)
        own = {
            **told,
            "store": store or stack.enter_context(valkey.serving()),
            "folder": folder,
            "requests": options.requests,
            "rounds": options.rounds,
        }
        args = ["-m", "engine.bench.spending.cost", json.dumps(own)]
        found = run_json(args, core=cores()[0], timeout=_TIMEOUT_S)
    with_budget, without = 1e6 / found["budgeted"], 1e6 / found["free"]
    note = f"{with_budget:,.0f} requests/s with it, {without:,.0f} without: {with_budget / without:.2f}"
    # A file is written twice a request, which is what it costs to be exact after any crash.
    most = None if name == "sqlite" else MOST_US
    report.add(f"{name}: a budget adds to a request", found["more"], "us", at_most=most, note=note)
