"""What a budget costs a request: the same requests with and without one, in turn, in one process."""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from pathlib import Path
from random import Random
from typing import Any

from engine.bench.loop import run as run_on_loop
from engine.bench.spending.spender import asked, executor, plan
from engine.bench.spending.vendor import Vendor
from engine.explain.driver import scripted_snapshot
from engine.runtime.execute import Executor, Inbound
from engine.runtime.snapshot import Snapshot
from engine.state.open import open_ledger


async def _measure(told: dict[str, Any]) -> dict[str, Any]:
    """Microseconds a request: without a budget, with one, and the median of the pairs' differences."""
    snapshot = scripted_snapshot(plan(told), Vendor(Random(1), at_once=True))
    ledger = await open_ledger(told["store"], Path(told["folder"]))
    runs = executor(ledger, Random(2))
    free, budgeted = [], []
    for number in range(told["rounds"] + 1):
        pair = [
            await _round(runs, snapshot, route, told["requests"], told["in_flight"], f"{route}-{number}")
            for route in ("free", "plenty")
        ]
        if number:  # the first of each binds its route and warms what it needs
            free.append(pair[0])
            budgeted.append(pair[1])
    await snapshot.drain()
    await ledger.close()
    more = statistics.median(b - f for f, b in zip(free, budgeted, strict=True))
    return {"free": statistics.median(free), "budgeted": statistics.median(budgeted), "more": more}


async def _round(
    runs: Executor, snapshot: Snapshot, route: str, requests: int, in_flight: int, name: str
) -> float:
    request, left = asked(route), iter(range(requests))

    async def client() -> None:
        for number in left:
            await runs.execute(snapshot, Inbound(request, f"{name}-{number}"))

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(in_flight)))
    return (time.perf_counter() - began) / requests * 1e6


if __name__ == "__main__":
    print(json.dumps(run_on_loop(_measure(json.loads(sys.argv[1])))), flush=True)
