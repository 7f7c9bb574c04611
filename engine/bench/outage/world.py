"""A stretch of virtual time: requests that come at a rate, a vendor that fails by the clock, and the counts.

The executor, its health and its retry budgets are the real ones; only the vendor and time are not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Final, cast

from engine.bench.process import BenchError
from engine.compiler.pipeline import compile_folder
from engine.errors import EngineError
from engine.explain.driver import scripted_snapshot
from engine.plan.plan import Plan
from engine.policies.failures import FailureClass
from engine.runtime.execute import Executor, Inbound
from engine.runtime.record import DecisionRecord
from engine.simulate import loop as virtual
from engine.simulate.loop import LoopClock, VirtualLoop
from engine.state.health import Health
from engine.state.memory import MemoryState
from engine.upstream.protocol import Ask, Flow, Whole
from engine.wire.canonical import Choice, Error, Message, Part, Reply, Request, Usage

WORKSPACE: Final = Path(__file__).with_name("workspace")

ANSWER_MS: Final = 200.0
#: How long a failure takes; silence ends with the call's own limit.
FAIL_MS: Final = {"connect": 2.0, "timeout": 3_600_000.0}
USUAL_FAIL_MS: Final = 20.0


@dataclass(frozen=True, slots=True)
class Fault:
    """Every deployment fails as `failure`, `share` of its calls, from `begin` to `end` (seconds)."""

    failure: FailureClass
    begin: float
    end: float
    share: float = 1.0


@dataclass(slots=True)
class Count:
    """Requests that began in the fault's time, their attempts, those answered; when the last one failed."""

    requests: int = 0
    attempts: int = 0
    answered: int = 0
    last_failed: float = 0.0


@cache
def plan() -> Plan:
    """The bench's own workspace, compiled."""
    done = compile_folder(WORKSPACE)
    if done.plan is None:
        raise BenchError(f"the workspace of this bench: {next(iter(done.diagnostics)).message}")
    return done.plan


def play(route: str, fault: Fault, *, rate: int, seconds: float, seed: int) -> Count:
    """Ask a route `rate` times a second for so long, and count."""
    return virtual.run(lambda loop: _play(loop, route, fault, rate, seconds, seed))


async def _play(loop: VirtualLoop, route: str, fault: Fault, rate: int, seconds: float, seed: int) -> Count:
    clock = LoopClock(loop)
    executor = Executor(MemoryState(), clock, Random(seed), (), Health(Random(seed + 1).random))
    snapshot = scripted_snapshot(plan(), _Vendor(clock, fault, Random(seed + 2)), route)
    count = Count()

    async def ask(number: int) -> None:
        began = loop.time()
        message = Message(role="user", content=[Part(type="text", text="hello")])
        inbound = Inbound(Request(model=route, messages=[message], max_tokens=10), f"request-{number}")
        try:
            record = (await executor.execute(snapshot, inbound)).record
        except EngineError as error:
            record = cast(DecisionRecord, error.record)
            count.last_failed = max(count.last_failed, began)
        if fault.begin <= began < fault.end:
            count.requests += 1
            count.attempts += len(record.attempts)
            count.answered += record.failure is None

    tasks: set[asyncio.Task[None]] = set()
    for number in range(int(rate * seconds)):
        task = loop.create_task(ask(number))
        tasks.add(task)
        task.add_done_callback(_ended(tasks))
        await asyncio.sleep((number + 1) / rate - loop.time())
    await asyncio.gather(*tasks)
    await snapshot.drain()
    return count


def _ended(tasks: set[asyncio.Task[None]]) -> Callable[[asyncio.Task[None]], None]:
    """Forget a task that went well; one that did not is awaited at the end, and tells."""

    def done(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is None:
            tasks.discard(task)

    return done


class _Vendor:
    """Implements `engine.upstream.protocol.Upstream`."""

    def __init__(self, clock: LoopClock, fault: Fault, rng: Random) -> None:
        self._clock = clock
        self._fault = fault
        self._rng = rng

    async def whole(self, ask: Ask) -> Whole:
        fault, now = self._fault, self._clock.now_ms() / 1000
        if fault.begin <= now < fault.end and self._rng.random() < fault.share:
            await self._clock.sleep(FAIL_MS.get(fault.failure, USUAL_FAIL_MS))
            return Whole(None, Error(failure=fault.failure, message="the bench has it fail"))
        await self._clock.sleep(ANSWER_MS)
        message = Message(role="assistant", content=[Part(type="text", text="hello")])
        usage = Usage(input_tokens=10, output_tokens=1)
        return Whole(
            Reply(id="bench", choices=[Choice(index=0, message=message, finish_reason="stop")], usage=usage)
        )

    async def flow(self, ask: Ask) -> Flow | Whole:
        return await self.whole(ask)

    async def close(self) -> None:
        """Nothing is open."""
