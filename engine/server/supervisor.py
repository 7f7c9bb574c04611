"""Several processes as one sidecar: the supervisor watches, compiles and tells; its data workers serve.

It owns what there is one of: the watch, the compiler's child, the admin and probes addresses, the local
models, the figures of all. Workers are fresh interpreters that accept on sockets bound here (`bind_group`)
and get their plans over a channel. A reload is an ACK only when every worker runs it.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from engine.control.channel import Frame
from engine.control.child import Compiler
from engine.control.compiled import Compiled
from engine.control.counts import Counts, merged
from engine.control.fleet import Fleet
from engine.control.host import model_gauges
from engine.control.last_good import LastGood, Start
from engine.control.reload import ProvisionFault, Reloader
from engine.control.settings import ProcessSettings
from engine.control.standings import Wanted
from engine.control.standings import merged as merged_standings
from engine.control.status import Status
from engine.control.together import together
from engine.control.worker import Worker, WorkerFault
from engine.errors import EngineError
from engine.observe.log import Log
from engine.observe.merge import Merger
from engine.observe.metrics import Metrics
from engine.observe.resources import raise_file_limit
from engine.plan.plan import Plan
from engine.runtime.snapshot import Snapshot
from engine.server import probes
from engine.server.app import App
from engine.server.asked import answer, forward
from engine.server.drain import drain
from engine.server.entrances import (
    StartError,
    admin_key,
    check_addresses,
    check_tls,
    on_listen,
    stays_here,
)
from engine.server.exchange import Exchange
from engine.server.life import Life
from engine.server.listen import Listener, bind, bind_group, shown
from engine.server.plane import log_libraries
from engine.server.service import Service
from engine.server.sidecar import Options, follow, tell_missing, told, took
from engine.server.worker_desk import WorkerDesk

if TYPE_CHECKING:
    from engine.local.models import LocalModels
    from engine.local.status import Status as ModelStatus


async def supervise(options: Options, start: Start, content: str, ready: Callable[[Supervisor], None]) -> int:
    """As `sidecar.serve`, with `settings.workers` data workers. Raises StartError, AddressError."""
    settings = start.compiled.settings
    assert settings is not None
    raise_file_limit()
    supervisor = Supervisor(options, options.over(settings), start.last_good)
    async with supervisor.running(start.compiled):
        supervisor.handle_signals()
        await took(start, supervisor.status, supervisor.log)
        ready(supervisor)
        supervisor.life.spawn(tell_missing(supervisor.reloader.snapshot.plan, supervisor.log))
        return await supervisor.until_stopped(content)


class Supervisor:
    """The one process's parts."""

    status: Status
    fleet: Fleet
    reloader: Reloader
    service: Service

    def __init__(
        self, options: Options, settings: ProcessSettings, last_good: LastGood | None = None
    ) -> None:
        self._options = options
        self.settings = settings
        self._last_good = last_good
        self.log = Log.from_environment()
        self.metrics = Metrics()
        self.figures = Merger()
        self.life = Life(self.log)
        self.addresses: dict[str, str] = {}
        self._own: dict[str, Listener] = {}
        self._models: LocalModels | None = None

    @contextlib.asynccontextmanager
    async def running(self, compiled: Compiled) -> AsyncIterator[None]:
        """Everything started; on leaving, everything closed."""
        plan, settings = compiled.plan, self.settings
        assert plan is not None
        if os.name != "posix":
            raise StartError("more than one worker needs Linux or macOS; write `workers: 1`")
        async with contextlib.AsyncExitStack() as stack:
            log_libraries(self.log)
            key = admin_key(settings)
            await check_addresses(settings, plan, self._options.workspace)
            check_tls(settings)
            listening = bind_group(settings.listen, settings.workers)
            for sock in listening:
                stack.callback(sock.close)
            self.addresses["listen"] = shown(listening[0])
            stack.push_async_callback(self._close_models)
            now = time.time()
            self.status = Status(plan.revision, now)
            self._control(Snapshot(plan, {}))
            self.reloader.bare = compiled.bare
            stack.push_async_callback(self.reloader.close)
            self.service.admin_key = key
            await self._start_own(stack)
            await self._start_fleet([Worker(n, listening) for n in range(settings.workers)], plan, now)
            yield

    def handle_signals(self) -> None:
        """As `Sidecar.handle_signals`."""
        self.life.handle_signals(lambda: self.life.spawn(self.reloader.reload("hangup")))

    async def until_stopped(self, content: str) -> int:
        """Serve until told to stop, then drain. 0: every worker ended in good order."""
        self.reloader.content = content
        if self.settings.watch:
            self.life.spawn(self._watch())
        await self.life.stopping.wait()
        self.life.end_tasks()
        await self.reloader.stop()
        self.service.draining = True
        limit = self.settings.drain_ms
        self.log.info("draining", workers=len(self.fleet.up), limit_ms=limit)
        good = await self.fleet.drain(limit, self.life.hurry)
        await drain(self.service, list(self._own.values()), 1.0, self.life.hurry)
        return 0 if good and not self.life.hurry.is_set() else 1

    def hello(self) -> dict[str, Any]:
        """The bound addresses, for stdout."""
        named: dict[str, Any] = dict.fromkeys(("listen", "admin", "probes"))
        named |= self.addresses | {"revision": self.status.revision, "pid": os.getpid()}
        return {**named, "workers": [worker.pid for worker in self.fleet.workers]}

    @property
    def asks_for_keys(self) -> bool:
        """Whether the plan names whoever may come in; what keys the store has, the workers know."""
        people = self.reloader.snapshot.plan.people()
        return bool(people.clients or people.issuers or people.certificates)

    # --- parts ------------------------------------------------------------------------------------------

    def _control(self, snapshot: Snapshot) -> None:
        """What replaces plans, and what tells of them. The snapshot here serves nobody: it is looked at."""
        self.reloader = Reloader(
            Compiler(self._options.workspace, self._options.env),
            snapshot,
            self.settings,
            self._prepare,
            status=self.status,
            metrics=self.metrics,
            log=self.log,
            commit=self._commit,
            published=self._published,
            over=self._options.over,
            last_good=self._last_good,
            counts=self._counts,
        )
        self.service = Service(
            current=lambda: self.reloader.snapshot,
            executor=_NoExecutor(),
            metrics=self.metrics,
            log=self.log,
            status=self._status,
            exposition=self._exposition,
            budgets=self._standings,
            reload=self._reload_now,
        )
        self.status.more |= {
            "listeners": lambda: self.addresses,
            "draining": lambda: self.service.draining,
            "pid": os.getpid,
            "local_models": lambda: [asdict(status) for status in self._model_status()],
        }
        model_gauges(self.metrics, self._model_status)
        self.status.gauges(self.metrics)

    async def _start_own(self, stack: contextlib.AsyncExitStack) -> None:
        """The addresses that this process serves itself. What workers forward goes to the same app."""
        settings = self.settings
        rebinding = settings.admin_key is None
        elsewhere = {"/readyz": self._readyz}
        self._app = App(
            self.service,
            frozenset({"admin", "metrics", "probes"}),
            rebinding=rebinding,
            guarded=settings.admin is None and not stays_here(settings.listen),
            elsewhere=elsewhere,
        )
        own = {"admin": settings.admin, "probes": settings.probes}
        for name, address in own.items():
            if address is not None:
                sock = bind(address)
                stack.callback(sock.close)
                app = (
                    self._app
                    if name == "admin"
                    else App(self.service, frozenset({"probes"}), elsewhere=elsewhere)
                )
                listener = self._own[name] = Listener(sock, app)
                await listener.start()
                stack.push_async_callback(listener.stop)
                self.addresses[name] = listener.address

    async def _start_fleet(self, workers: list[Worker], plan: Plan, now: float) -> None:
        hello = {
            "workspace": str(self._options.workspace.absolute()),
            "serves": sorted(on_listen(self.settings)),
        }
        self.fleet = Fleet(workers, hello, self._desk, self.figures, self.log)
        self.metrics.gauge(
            "engine_workers_up",
            "Data workers that serve.",
            (),
            lambda: [((), len(self.fleet.up))],
        )
        self.metrics.counter(
            "engine_worker_restarts",
            "Data workers that died and were started again.",
            ("worker",),
            lambda: [((str(worker.index),), worker.restarts) for worker in workers],
        )
        try:
            await self.fleet.start(plan, self.settings, now)
        except WorkerFault as fault:
            raise StartError(str(fault)) from None

    def _desk(self, worker: Worker) -> WorkerDesk:
        return WorkerDesk(
            worker, self._answer, self._pool, lambda op, words: self.fleet.tell_others(worker, op, words)
        )

    # --- plans ------------------------------------------------------------------------------------------

    async def _prepare(self, plan: Plan) -> Snapshot:
        try:
            await self.fleet.prepare(plan)
        except WorkerFault as fault:
            raise ProvisionFault(str(fault)) from None
        return Snapshot(plan, {})

    async def _commit(self, snapshot: Snapshot, settings: ProcessSettings) -> None:
        await self.fleet.publish(snapshot.plan, settings, time.time())

    async def _counts(self, _plan: Plan) -> Counts:
        """What workers count together: the same of all where their store is one, else each its own."""
        told = [words for _, words in await self.fleet.gather("counts")]
        shared = [words["budgets"] for words in told if words["shared"]]
        return merged(shared[:1] or [words["budgets"] for words in told])

    def _published(self, snapshot: Snapshot, settings: ProcessSettings) -> None:
        self.settings = settings
        self.service.paths = None
        self.service.since = self.status.since
        self.fleet.follow(settings)

    async def _watch(self) -> None:
        await follow(self.reloader, self._options.workspace, self.log, lambda: self.settings.debounce_ms)

    # --- what is told -------------------------------------------------------------------------------------

    async def _status(self) -> dict[str, Any]:
        told = await self.fleet.gather("status")
        figures = together([words for _, words in told]) if told else {"in_flight": 0}
        in_flight = {worker.index: words["in_flight"] for worker, words in told}
        workers = [
            {**worker.as_json(), "in_flight": in_flight.get(worker.index)} for worker in self.fleet.workers
        ]
        return {**self.status.as_json(), **figures, "workers": workers}

    async def _standings(self, wanted: Wanted) -> dict[str, Any]:
        """One worker tells what all share, each what it counts by itself."""
        told = await self.fleet.gather("standings", lambda n: asdict(replace(wanted, own=n > 0)))
        if not told:
            raise EngineError("no worker is up", status=503, code="not_ready", failure="full")
        return merged_standings([words for _, words in told], wanted.most)

    async def _exposition(self) -> bytes:
        # Deferred: a sidecar that nobody scrapes does not load the client.
        from prometheus_client import CollectorRegistry, generate_latest

        await self.fleet.count()
        self.figures.take("supervisor", self.metrics.families())
        registry = CollectorRegistry()
        registry.register(self.figures)
        return generate_latest(registry)

    async def _reload_now(self) -> tuple[int, dict[str, Any]]:
        done = await self.reloader.reload("asked")
        return (422 if done.result == "nack" else 200), told(done, self.status)

    async def _readyz(self, exchange: Exchange) -> None:
        """Ready while a worker is; a route's readiness is asked of one, which knows its deployments."""
        up = self.fleet.up if hasattr(self, "fleet") else []
        if not up and not self.service.draining:
            raise EngineError("no worker is up", status=503, code="not_ready", failure="full")
        if exchange.query("route") is None or not up:
            await probes.readyz(exchange)
        else:
            await forward(exchange, up[0].ask)

    async def _answer(self, words: dict[str, Any]) -> Frame:
        """A request that a worker forwards."""
        return await answer(self._app, words)

    # --- local models -------------------------------------------------------------------------------------

    def _pool(self) -> LocalModels:
        """The pool that all workers share."""
        if self._models is None:
            # Deferred: only a plan with local models pays for them.
            from engine.local.models import LocalModels

            self._models = LocalModels()
        return self._models

    def _model_status(self) -> list[ModelStatus]:
        return [] if self._models is None else self._models.status()

    async def _close_models(self) -> None:
        if self._models is not None:
            await self._models.close()


class _NoExecutor:
    """The supervisor answers no request of a client's: its apps have no path for one."""

    async def execute(self, snapshot: Snapshot, inbound: Any) -> Any:
        raise AssertionError("the supervisor has no clients")
