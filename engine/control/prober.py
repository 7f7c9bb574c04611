"""Probes in the background: a task for each deployment of the running plan that has a `probe`.

A deployment is probed where no call went well there for so long, unless its vendor asked for a pause or none
of its credentials may be shown. The tasks belong to the host: a plan that is taken starts and stops them, and
closing ends them. They hold no snapshot while they wait.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from engine.runtime.execute import Executor
from engine.runtime.snapshot import Snapshot
from engine.state.health import Ended

log = logging.getLogger("engine.control")


@dataclass(frozen=True, slots=True)
class ProbeShare:
    """One process's part where several serve: one makes the probes and tells the others of them.

    tell: told of each probe by the deployment's name. makes: whether this is the process that makes them.
    """

    tell: Callable[[str, Ended], None] | None = None
    makes: bool = True


class Prober:
    """The probes of one process.

    Args:
        executor: makes them.
        makes: False where another process makes them for this one.
        draw: gives uniform numbers in [0, 1): moments are shifted by up to a tenth, so that many processes
            do not ask at once.
    """

    def __init__(self, executor: Executor, draw: Callable[[], float], *, makes: bool = True) -> None:
        self._executor = executor
        self._makes = makes
        self._draw = draw
        self._snapshot: Snapshot | None = None
        self._tasks: dict[tuple[str, int], asyncio.Task[None]] = {}

    def take(self, snapshot: Snapshot) -> None:
        """This plan runs from now on. Probes that are under way end as they began."""
        if not self._makes:
            return
        self._snapshot = snapshot
        wanted = snapshot.plan.manifest.probes.items()
        for key in self._tasks.keys() - set(wanted):
            self._tasks.pop(key).cancel()
        for key in wanted - self._tasks.keys():
            self._tasks[key] = asyncio.get_running_loop().create_task(self._watch(*key))

    async def close(self) -> None:
        """End all of them, and those under way."""
        tasks, self._tasks, self._snapshot = list(self._tasks.values()), {}, None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self, name: str, every_ms: int) -> None:
        clock, health = self._executor.clock, self._executor.health
        while True:
            await clock.sleep(every_ms * (0.9 + 0.2 * self._draw()))
            snapshot = self._snapshot
            if snapshot is None:
                return
            deployment = snapshot.plan.deployment(name)
            if health.wants_probe(deployment, every_ms, int(clock.now_ms())):
                await self._ask(snapshot, name)
            snapshot = None  # a plan that is replaced while this sleeps is let go

    async def _ask(self, snapshot: Snapshot, name: str) -> None:
        try:
            await self._executor.probes.ask(snapshot, name)
        except Exception:
            log.exception("the probe of %s failed by a fault of the engine", name)
