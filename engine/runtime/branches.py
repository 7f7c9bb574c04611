"""Several walks of one request at once: races and gatherings.

Every branch is a task below the task that serves the request, and none outlives its race: whoever ends the
race (a winner, a cancelled request, a fault) cancels the others and waits until they have closed what they
had opened. So a stream is handed on only when the losers' sockets are closed, and a client that leaves leaves
nothing behind.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import reduce

from engine.kinds.effects import Branch, Outcome, Steps
from engine.kinds.walk import worse
from engine.runtime.clock import Clock
from engine.runtime.live import Finish, LiveFlow
from engine.runtime.run import Run

log = logging.getLogger("engine.runtime")

Drive = Callable[[Run, Steps, Finish], Awaitable[Outcome]]


class _Runner:
    """One branch under way."""

    __slots__ = ("run", "task")

    def __init__(self, run: Run, task: asyncio.Task[Outcome]) -> None:
        self.run = run
        self.task = task

    def good(self) -> bool:
        """Ended, with an answer or the graph's own word. Raises where it ended by a fault of the engine."""
        return self.task.done() and ((found := self.task.result()).ok or found.final)


class Branches:
    """Runs the branches of an executor's requests. `drive` walks one of them."""

    def __init__(self, clock: Clock, drive: Drive) -> None:
        self._clock = clock
        self._drive = drive

    async def race(self, run: Run, branches: Sequence[Branch], finish: Finish) -> Outcome:
        """The first good outcome, once all others are cancelled and closed; else the worst failure."""
        begun: list[_Runner] = []
        try:
            winner = await self._winner(run, branches, begun, finish)
        except BaseException:
            await _end(begun, lost=run.fate.lost)
            raise
        finally:
            for branch in branches[len(begun) :]:
                branch.steps.close()
        if winner is None:
            return reduce(worse, (each.task.result() for each in begun[1:]), begun[0].task.result())
        outcome = winner.task.result()
        try:
            await _end((each for each in begun if each is not winner), lost=True)
        except BaseException:
            await discard(outcome)
            raise
        return outcome

    async def gather(self, run: Run, branches: Sequence[Branch], finish: Finish) -> tuple[Outcome, ...]:
        """All outcomes, in the order of the branches; each answer is whole."""
        begun = [self._begin(run, branch, finish, whole=True) for branch in branches]
        try:
            await asyncio.wait([each.task for each in begun], return_when=asyncio.FIRST_EXCEPTION)
            return tuple([await each.task for each in begun])
        finally:
            await _end(begun, lost=run.fate.lost)

    def _begin(self, run: Run, branch: Branch, finish: Finish, *, whole: bool) -> _Runner:
        own = run.beside(branch.role, whole=whole)

        async def walk() -> Outcome:
            return await self._drive(own, branch.steps, finish)

        return _Runner(own, asyncio.create_task(walk()))

    async def _winner(
        self, run: Run, branches: Sequence[Branch], begun: list[_Runner], finish: Finish
    ) -> _Runner | None:
        started = self._clock.now_ms()
        while True:
            for each in begun:
                if each.good():
                    return each
            running = [each.task for each in begun if not each.task.done()]
            left = branches[len(begun) :]
            due = started + left[0].after_ms if left else None
            if due is not None and (not running or self._clock.now_ms() >= due):
                begun.append(self._begin(run, left[0], finish, whole=left[0].whole))
            elif running:
                await self._turn(running, due)
            else:
                return None

    async def _turn(self, running: Sequence[asyncio.Task[Outcome]], until: float | None) -> None:
        """Wait until one of them ends, or the moment has come."""
        if until is None:
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            return
        alarm = asyncio.get_running_loop().create_future()
        wake = self._clock.timer(
            max(0.0, until - self._clock.now_ms()), lambda: None if alarm.done() else alarm.set_result(None)
        )
        try:
            await asyncio.wait([*running, alarm], return_when=asyncio.FIRST_COMPLETED)
        finally:
            wake.cancel()
            alarm.cancel()


async def _end(runners: Iterable[_Runner], *, lost: bool) -> None:
    """Cancel those that still run, and wait until all have closed what they opened, whatever happens."""
    ended = list(runners)
    for each in ended:
        if not each.task.done():
            each.run.fate.lost = lost
            each.task.cancel()
    interrupted = False
    while pending := [each.task for each in ended if not each.task.done()]:
        try:
            await asyncio.wait(pending)
        except asyncio.CancelledError:
            interrupted = True
    for each in ended:
        if each.task.cancelled():
            continue
        fault = each.task.exception()
        if fault is None:
            await discard(each.task.result())
        else:
            log.error("a branch of %s failed", each.run.inbound.request_id, exc_info=fault)
    if interrupted:
        raise asyncio.CancelledError


async def discard(outcome: Outcome) -> None:
    """Close the stream of an answer that nobody gets."""
    if isinstance(outcome.reply, LiveFlow):
        await outcome.reply.discard()
