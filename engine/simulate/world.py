"""The engine of a simulation: plans compiled once, one published, replaced when the schedule says so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random
from typing import Final

from engine.compiler.pipeline import compile_folder
from engine.control.provision import provision
from engine.observe.log import Log
from engine.observe.metrics import Metrics
from engine.plan.plan import Plan
from engine.runtime.execute import Executor
from engine.runtime.record import DecisionRecord
from engine.runtime.snapshot import Snapshot
from engine.server.app import App
from engine.server.service import Service
from engine.simulate.books import Books
from engine.simulate.loop import LoopClock
from engine.simulate.vendor import Vendors
from engine.state.health import Health
from engine.state.memory import MemoryState

WORKSPACE: Final = Path(__file__).with_name("workspace")


@cache
def plans() -> tuple[Plan, ...]:
    """The workspace's plan, and the one that it is edited to."""
    made = [compile_folder(WORKSPACE, env) for env in (None, "edited")]
    for done in made:
        if done.plan is None:
            raise RuntimeError(f"the simulator's own workspace: {next(iter(done.diagnostics)).message}")
    return tuple(done.plan for done in made if done.plan is not None)


@cache
def _bound() -> Snapshot:
    """The formats of the plans, bound once: a snapshot takes them over, as it does at a reload."""
    base = Snapshot(plans()[0], {})
    for name in ("openai_chat", "anthropic_messages"):
        base.dialect(name).operation("chat")
    return base


class World:
    """One engine. `records` are all that were kept; `faults` what went wrong in the engine itself."""

    def __init__(self, vendors: Vendors, clock: LoopClock, rng: Random) -> None:
        self.vendors = vendors
        self.clock = clock
        self.state = MemoryState()
        self.records: list[DecisionRecord] = []
        self.faults: list[str] = []
        self.metrics = Metrics()
        sinks = [self.records.append, self.metrics.record]
        self.books = Books()
        self.executor = Executor(self.state, clock, rng, sinks, health=Health(rng.random), ledger=self.books)
        self.published: list[Snapshot] = []
        self._snapshot: Snapshot | None = None
        self._draining: dict[asyncio.Task[None], Snapshot] = {}
        self.app = App(
            Service(
                current=lambda: self.snapshot,
                executor=self.executor,
                metrics=self.metrics,
                log=_Listening(self.faults.append),
            )
        )

    @property
    def snapshot(self) -> Snapshot:
        assert self._snapshot is not None
        return self._snapshot

    @property
    def draining(self) -> int:
        """Old plans that somebody still uses."""
        return len(self._draining)

    async def publish(self, plan: Plan) -> None:
        """Put a plan in the place of the running one, which drains."""
        old = self._snapshot
        self._snapshot = await provision(plan, transport=self.vendors, previous=old or _bound())
        self.published.append(self._snapshot)
        if old is not None:
            task = asyncio.get_running_loop().create_task(old.drain())
            self._draining[task] = old
            task.add_done_callback(self._draining.pop)

    async def close(self) -> None:
        """The last plan ends too, and those before it: copies that nobody waits for may hold them still."""
        await asyncio.gather(self.snapshot.drain(), *self._draining)


class _Listening(Log):
    """A log that tells what the engine calls a fault of its own."""

    def __init__(self, heard: Callable[[str], None]) -> None:
        super().__init__("error")
        self._heard = heard

    def fault(self, event: str, error: BaseException, **fields: object) -> None:
        self._heard(f"{event}: {error!r}")
