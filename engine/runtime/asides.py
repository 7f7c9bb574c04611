"""Copies of requests that nobody waits for: mirrors. Each is a request of its own, but for its client.

A copy holds the snapshot it began with, as any request does, so whoever drains that waits for it too.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

from engine.kinds.effects import Aside, Outcome
from engine.kinds.walk import walk
from engine.runtime.branches import Drive
from engine.runtime.clock import Clock
from engine.runtime.record import DecisionRecord, Step, moment
from engine.runtime.run import Run

log = logging.getLogger("engine.runtime")

#: Most copies under way at once; beyond that they are left out, so that a slow mirror costs no memory.
MOST: Final = 256

Finish = Callable[[Run, str | None, int], Awaitable[None]]


class Asides:
    """Those of one executor."""

    def __init__(self, clock: Clock, drive: Drive, finish: Finish) -> None:
        self._clock = clock
        self._drive = drive
        self._finish = finish
        self._tasks: set[asyncio.Task[None]] = set()
        self._numbers = itertools.count(1)

    def __len__(self) -> int:
        return len(self._tasks)

    def begin(self, run: Run, effect: Aside) -> None:
        """Begin a copy, or note that there are too many."""
        if len(self._tasks) >= MOST:
            why = f"left out: {MOST} {effect.role} copies are under way"
            run.record.path.append(Step(effect.node.id, "skipped", why))
            return
        own = self._copy(run, effect)
        task = asyncio.create_task(self._walk(own, effect))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Cancel those under way, and wait until they have closed what they opened."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _copy(self, run: Run, effect: Aside) -> Run:
        run.snapshot.pin()
        old = run.record
        record = DecisionRecord(
            id=f"{old.id}-{effect.role}-{next(self._numbers)}",
            at=moment(self._clock.wall()),
            revision=old.revision,
            route=old.route,
            model=old.model,
            operation=old.operation,
            dialect=old.dialect,
            key=old.key,
            key_name=old.key_name,
            org=old.org,
            tags=old.tags,
            input_tokens=old.input_tokens,
            input_exact=old.input_exact,
            path=[replace(step) for step in old.path],
            aside_of=old.id,
        )
        return run.apart(record, effect, self._clock.now_ms())

    async def _walk(self, own: Run, effect: Aside) -> None:
        failure: str | None = "cancelled"
        status = 499
        try:
            outcome = await self._drive(own, walk(effect.node, own), _nobody)
            failure, status = _told(outcome)
            own.record.served_by = outcome.deployment if outcome.ok else None
        except Exception:
            failure, status = "server", 500
            log.exception("the copy %s failed", own.record.id)
        finally:
            await self._finish(own, failure, status)


def _told(outcome: Outcome) -> tuple[str | None, int]:
    if outcome.ok:
        return None, 200
    return outcome.failure or "server", outcome.status or 502


async def _nobody(_failure: str | None) -> None:
    """A copy's answer is never a stream."""
