"""One process that spends as much as it is let: prints a line when it is ready, and its account at the end.

`engine`: real requests through the real executor, the budget kept in the store. `naive`: what gateways do
that look first and count afterwards: read what was spent, call, add what it cost.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final

from engine.bench.loop import run as run_on_loop
from engine.bench.spending.vendor import Vendor
from engine.errors import EngineError
from engine.explain.driver import scripted_snapshot
from engine.plan.plan import Plan
from engine.runtime.clock import SystemClock
from engine.runtime.execute import Executor, Inbound
from engine.state.health import Health
from engine.state.ledger import Ledger
from engine.state.memory import MemoryState
from engine.state.open import open_ledger
from engine.wire.canonical import Message, Part, Request

#: The cap of the budget `dollar`, in nano-dollars, and what a call may write at most.
CAP: Final = 10**9
MAX_TOKENS: Final = 1_000

#: Who is refused comes again so many seconds later: what others hold may come free.
_PAUSE: Final = 0.15


@dataclass(slots=True)
class Tally:
    """What came of a process's requests."""

    answered: int = 0
    refused: int = 0
    failed: int = 0


def plan(told: dict[str, Any]) -> Plan:
    """The bench's plan, which the parent compiled."""
    return Plan.load(Path(told["plan"]).read_bytes())


def asked(route: str) -> Request:
    """A chat of a few tokens."""
    message = Message(role="user", content=[Part(type="text", text="hello")])
    return Request(model=route, messages=[message], max_tokens=MAX_TOKENS)


def executor(ledger: Ledger, rng: Random) -> Executor:
    """A process's own, over a shared ledger."""
    return Executor(MemoryState(), SystemClock(), rng, (), Health(rng.random), ledger=ledger)


async def _spend(told: dict[str, Any]) -> dict[str, Any]:
    vendor, tally = Vendor(Random(told["seed"])), Tally()
    if told["mode"] == "naive":
        spending = _naive(told, vendor, tally)
    else:
        spending = _engine(told, vendor, tally)
    await spending
    return {"billed": vendor.billed, "calls": vendor.calls, "refused": tally.refused, "failed": tally.failed}


async def _engine(told: dict[str, Any], vendor: Vendor, tally: Tally) -> None:
    snapshot = scripted_snapshot(plan(told), vendor)
    ledger = await open_ledger(told["store"], Path(told["folder"]))
    runs = executor(ledger, Random(told["seed"] + 1))
    await _until_told()

    async def client(number: int) -> None:
        patience, turn = told["again"], 0
        while patience:
            turn += 1
            name = f"{told['name']}-{number}-{turn}"
            try:
                await runs.execute(snapshot, Inbound(asked("dollar"), name))
                tally.answered += 1
                patience = told["again"]
            except EngineError as error:
                if error.code == "budget_exceeded":
                    tally.refused += 1
                else:
                    tally.failed += 1
                patience -= 1
                await asyncio.sleep(_PAUSE)

    await asyncio.gather(*(client(number) for number in range(told["in_flight"])))
    await snapshot.drain()
    await ledger.close()


async def _naive(told: dict[str, Any], vendor: Vendor, tally: Tally) -> None:
    from redis.asyncio import Redis  # deferred: an extra

    host, _, port = told["store"].removeprefix("redis://").partition("/")[0].rpartition(":")
    store = Redis(host=host, port=int(port), max_connections=told["in_flight"])
    await store.ping()
    await _until_told()

    async def client() -> None:
        while int(await store.get("naive") or 0) < CAP:
            usage = vendor.usage(MAX_TOKENS)
            cost = vendor.bill(usage)
            await vendor.work()
            await store.incrby("naive", cost)
            tally.answered += 1
        tally.refused += 1

    await asyncio.gather(*(client() for _ in range(told["in_flight"])))
    await store.aclose()


async def _until_told() -> None:
    """All processes begin together: when their parent says so."""
    print(json.dumps({"ready": True}), flush=True)
    await asyncio.to_thread(sys.stdin.readline)


if __name__ == "__main__":
    print(json.dumps(run_on_loop(_spend(json.loads(sys.argv[1])))), flush=True)
