"""The data workers of one sidecar: started together, given the same plan, restarted when they die.

A new plan comes in two steps. Every worker that is up prepares it; if one cannot, all give it up and the old
one serves on everywhere. Then all are told to run it, and `publish` returns when all do. A worker that was
away is given the current plan before it takes its first connection.
While a worker is away, a neighbour accepts on its socket too, so that no connection waits for its return.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final, Protocol

from engine.control import slices
from engine.control.channel import Frame
from engine.control.compiled import Compiled
from engine.control.settings import ProcessSettings
from engine.control.worker import PREPARE_S, START_S, Worker, WorkerDied, WorkerFault
from engine.observe.log import Log
from engine.observe.merge import Merger
from engine.plan.plan import Plan

#: Workers are asked so often whether they are there; one that says nothing for so long is ended.
LOOK_S: Final = 5.0
HUNG_S: Final = 30.0

#: A worker that died while a plan was prepared has so long to be back.
BACK_S: Final = 15.0

#: What is told of a worker may take so long; the document goes out without a busy one.
TELL_S: Final = 2.0


#: Workers that are told to hurry may take so long before they are killed.
GRACE_S: Final = 2.0


class Desk(Protocol):
    """What a worker asks of the supervisor; one for each life of a worker."""

    async def answers(self, op: str, frame: Frame) -> Frame: ...

    def hears(self, op: str, frame: Frame) -> None: ...

    def lose(self) -> None:
        """The worker has died; what it held stays until `close`."""
        ...

    async def close(self) -> None:
        """Give back what it held."""
        ...


class Fleet:
    """Made before the first plan; `start` returns when every worker takes connections.

    workers: by their index. hello: what a worker is told at its start beside the plan. desk: makes the desk
    of a worker's new life.
    """

    def __init__(
        self,
        workers: Sequence[Worker],
        hello: dict[str, Any],
        desk: Callable[[Worker], Desk],
        figures: Merger,
        log: Log,
    ) -> None:
        self.workers = list(workers)
        self._hello = hello
        self._desk = desk
        self._figures = figures
        self._log = log
        self._plan: Plan | None = None
        self._settings: ProcessSettings | None = None
        self._since = 0.0
        self._stopping = False
        self._unclean = False
        self._keepers: list[asyncio.Task[None]] = []
        self._prepared: set[tuple[int, int | None]] = set()
        self._adopted: dict[int, Worker] = {}
        self._left: list[Desk] = []
        self._looking: asyncio.Task[None] | None = None
        self.grace_s = GRACE_S

    async def start(self, plan: Plan, settings: ProcessSettings, since: float) -> None:
        """Raises WorkerFault where one of them cannot run the plan."""
        self._plan, self._settings, self._since = plan, settings, since
        desks = await asyncio.gather(*map(self._begin, self.workers), return_exceptions=True)
        faults = [desk for desk in desks if isinstance(desk, BaseException)]
        if faults:
            for worker in self.workers:
                worker.kill()
            raise faults[0]
        for worker, desk in zip(self.workers, desks, strict=True):
            assert not isinstance(desk, BaseException)
            self._keepers.append(asyncio.create_task(self._keep(worker, desk)))
        self._looking = asyncio.create_task(self._look())

    @property
    def up(self) -> list[Worker]:
        return [worker for worker in self.workers if worker.state == "up"]

    # --- plans ------------------------------------------------------------------------------------------

    async def prepare(self, plan: Plan) -> None:
        """Every worker makes ready to run `plan`. Raises WorkerFault; then none will.

        A worker that dies meanwhile mostly does for reasons of its own: once it is back, all are asked again,
        once. A plan of which workers die is never run. That none is up says nothing of the plan, and nobody
        would ask for it again: it is waited for.
        """
        await self._until(lambda: bool(self.up), START_S)
        gone = {(worker.index, worker.pid) for worker in self.up}
        try:
            await self._prepare(plan)
        except WorkerDied:
            await self._until(lambda: self._back(gone), BACK_S)
            await self._until(lambda: bool(self.up), START_S)
            await self._prepare(plan)

    def _back(self, before: set[tuple[int, int | None]]) -> bool:
        """Whether somebody new is there and all are up."""
        new = any((worker.index, worker.pid) not in before for worker in self.up)
        return new and len(self.up) == len(self.workers)

    async def _until(self, holds: Callable[[], bool], limit_s: float) -> None:
        """Wait for the workers, but no longer than this."""
        with suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                while not self._stopping:
                    if holds():
                        return
                    await asyncio.sleep(0.05)

    async def _prepare(self, plan: Plan) -> None:
        workers = self.up
        if not workers:
            raise WorkerDied("no worker is up")
        assert self._settings is not None
        data = await _packed(plan, self._settings, self._plan)
        self._prepared = {(worker.index, worker.pid) for worker in workers}
        done = await asyncio.gather(
            *(worker.ask("prepare", None, data, PREPARE_S) for worker in workers),
            return_exceptions=True,
        )
        faults = [fault for fault in done if isinstance(fault, BaseException)]
        if faults:
            for worker in workers:
                worker.tell("abandon", {"revision": plan.revision})
            raise next((fault for fault in faults if not isinstance(fault, WorkerDied)), faults[0])

    async def publish(self, plan: Plan, settings: ProcessSettings, since: float) -> None:
        """Every worker runs what it has prepared; returns when all do. One that fails is started anew."""
        old, self._plan = self._plan, plan
        self._settings, self._since = settings, since
        await asyncio.gather(*(self._follow(worker, old) for worker in self.up))

    def follow(self, settings: ProcessSettings) -> None:
        """The plan stays; its settings are these."""
        self._settings = settings
        for worker in self.up:
            worker.tell("settings", {"settings": settings.as_json(), "since": self._since})

    async def _follow(self, worker: Worker, old: Plan | None) -> None:
        """Never raises: a worker that cannot follow was fit a moment ago, and is started anew."""
        assert self._plan is not None
        try:
            if (worker.index, worker.pid) in self._prepared:
                await self._commit(worker, self._plan)
            else:
                await self._bring(worker, old)
        except WorkerFault as fault:
            self._log.error("worker_fault", worker=worker.index, message=str(fault))
            worker.kill()

    async def _commit(self, worker: Worker, plan: Plan) -> None:
        assert self._settings is not None
        words = {"revision": plan.revision, "settings": self._settings.as_json(), "since": self._since}
        await worker.ask("commit", words)
        worker.revision = plan.revision

    # --- what they tell -----------------------------------------------------------------------------------

    async def gather(
        self, op: str, each: Callable[[int], dict[str, Any]] = lambda _: {}
    ) -> list[tuple[Worker, dict[str, Any]]]:
        """What each worker that is up answers to `op`; one that does not answer is left out.

        each: the words for the first of them, the second, ...
        """
        workers = self.up
        told = await asyncio.gather(
            *(worker.ask(op, each(n), limit_s=TELL_S) for n, worker in enumerate(workers)),
            return_exceptions=True,
        )
        return [
            (worker, frame.words)
            for worker, frame in zip(workers, told, strict=True)
            if isinstance(frame, Frame)
        ]

    def tell_others(self, worker: Worker, op: str, words: dict[str, Any]) -> None:
        """What one has found out is told to all the others."""
        for other in self.up:
            if other is not worker:
                other.tell(op, words)

    async def count(self) -> None:
        """Ask every worker for its figures."""
        lives = {worker.index: worker.pid for worker in self.workers}
        for worker, words in await self.gather("figures"):
            if worker.state == "up" and worker.pid == lives[worker.index]:  # else it was counted as dead
                self._figures.take(str(worker.index), words["families"])

    # --- their lives --------------------------------------------------------------------------------------

    async def _begin(self, worker: Worker) -> Desk:
        """A process, the plan, connections. Raises WorkerFault, and then no process is left."""
        desk = self._desk(worker)
        try:
            await worker.launch(desk.answers, desk.hears)
            await self._hand_over(worker)
        except BaseException as error:
            worker.kill()
            if worker.pid is not None:
                await worker.ended()
            await desk.close()
            if isinstance(error, OSError):
                raise WorkerFault(f"{worker.name} cannot be started: {error.strerror or error}") from error
            raise
        return desk

    async def _hand_over(self, worker: Worker) -> None:
        """The current plan, whatever has become of it meanwhile; then the word to take connections."""
        assert self._settings is not None
        settings = self._settings.as_json()
        await worker.ask("begin", self._hello | {"settings": settings}, limit_s=START_S)
        running: Plan | None = None
        while running is not self._plan:
            running = await self._bring(worker, running)
        worker.state = "up"  # from here on it takes part in every reload
        await worker.ask("listen", {"socket": worker.index})

    async def _bring(self, worker: Worker, running: Plan | None) -> Plan:
        """The current plan to one worker; returns it."""
        plan = self._plan
        assert plan is not None
        assert self._settings is not None
        await worker.ask("prepare", None, await _packed(plan, self._settings, running), PREPARE_S)
        await self._commit(worker, plan)
        return plan

    async def _keep(self, worker: Worker, desk: Desk) -> None:
        """Start it again whenever it ends, until all are to end."""
        while True:
            pid, how = worker.pid, await worker.ended()
            desk.lose()
            self._figures.bury(str(worker.index))
            for index in [index for index, by in self._adopted.items() if by is worker]:
                del self._adopted[index]
            self._share()
            if self._stopping:
                self._unclean = self._unclean or worker.state != "ended"
                self._left.append(desk)
                return
            wait = worker.next_wait_s()
            self._log.error("worker_died", worker=worker.index, pid=pid, how=how, restart_in_s=round(wait, 2))
            lost, desk = desk, await self._again(worker, wait)
            # Not before the new one holds what it needs: a local model that both use stays loaded.
            await lost.close()
            self._share()
            self._log.warning("worker_restarted", worker=worker.index, pid=worker.pid)

    async def _again(self, worker: Worker, wait: float) -> Desk:
        while True:
            await asyncio.sleep(wait)
            try:
                return await self._begin(worker)
            except WorkerFault as fault:
                wait = worker.next_wait_s()
                self._log.error(
                    "worker_fault", worker=worker.index, message=str(fault), restart_in_s=round(wait, 2)
                )

    async def _look(self) -> None:
        """A worker that neither works nor dies would keep its share of the connections for ever."""
        while True:
            await asyncio.sleep(LOOK_S)
            await asyncio.gather(*map(self._check, self.up))

    async def _check(self, worker: Worker) -> None:
        pid = worker.pid
        try:
            await worker.ask("ping", limit_s=HUNG_S)
        except WorkerFault as fault:
            if worker.state == "up" and worker.pid == pid:
                self._log.error("worker_hung", worker=worker.index, pid=pid, message=str(fault))
                worker.kill()

    def _share(self) -> None:
        """Some neighbour takes the connections of each worker that is away."""
        neighbour = next(iter(self.up), None)
        for worker in self.workers:
            by = self._adopted.get(worker.index)
            if worker.state == "up":
                if by is not None:
                    del self._adopted[worker.index]
                    by.tell("return", {"socket": worker.index})
            elif by is None and neighbour is not None:
                self._adopted[worker.index] = neighbour
                neighbour.tell("adopt", {"socket": worker.index})

    # --- their end ----------------------------------------------------------------------------------------

    async def drain(self, limit_ms: int, hurry: asyncio.Event) -> bool:
        """End all of them within `limit_ms`; at once when `hurry` is set. True if each ended by itself."""
        self._stopping = True
        if self._looking is not None:
            self._looking.cancel()
        for keeper, worker in zip(self._keepers, self.workers, strict=True):
            if worker.state == "up":
                worker.tell("drain", {"limit_ms": limit_ms})
            else:
                keeper.cancel()
                worker.kill()
        ended = asyncio.gather(*self._keepers, return_exceptions=True)
        hurried = asyncio.ensure_future(hurry.wait())
        await asyncio.wait((ended, hurried), timeout=limit_ms / 1000 + 3, return_when=asyncio.FIRST_COMPLETED)
        hurried.cancel()
        if not ended.done():
            for worker in self.workers:
                worker.tell("hurry")
            await asyncio.wait((ended,), timeout=self.grace_s)
        self._unclean = self._unclean or not ended.done()
        for worker in self.workers:
            worker.kill()
        await ended
        await asyncio.gather(*(desk.close() for desk in self._left))
        return not self._unclean


async def _packed(plan: Plan, settings: ProcessSettings, held: Plan | None) -> bytes:
    """`plan` for a process that holds the segments of `held`, made without holding up the loop."""
    pieces: list[bytes] = []
    frames = Compiled(plan, settings, (), "").frames(() if held is None else held.segments)
    await slices.run(map(pieces.append, frames))
    return b"".join(pieces)
