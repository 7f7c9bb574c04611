"""What plans run on in this process: one transport, one pool of local models, one state, one executor.

They outlive every plan; `provision` binds a plan to them and takes over what the running one already has.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import asdict, replace
from datetime import UTC
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from engine.control import garbage, health_figures, queue_figures, slices, standings
from engine.control.counts import Counts, carry, counted
from engine.control.keyring import make_keyring
from engine.control.money_figures import MoneyFigures
from engine.control.prober import Prober, ProbeShare
from engine.control.provision import provision
from engine.control.recording import Opened, Recording
from engine.control.reload import ProvisionFault
from engine.control.sharing import Sharing
from engine.control.standings import Wanted
from engine.control.stores import Stores
from engine.identity.outsiders import Outsiders
from engine.identity.tokens import LibraryMissing
from engine.observe.alerts import Alerts
from engine.observe.log import Log
from engine.observe.metrics import Metrics
from engine.plan.fate import Fate, work_out
from engine.plan.money import NO_MONEY
from engine.plan.plan import Plan
from engine.runtime.clock import SystemClock
from engine.runtime.execute import Executor
from engine.runtime.snapshot import Snapshot
from engine.state.health import Health
from engine.state.ledger import Ledger
from engine.state.memory import MemoryState
from engine.state.memory_ledger import MemoryLedger
from engine.upstream.choice import default_transport
from engine.upstream.secrets import Secrets

if TYPE_CHECKING:
    from engine.local.pool import Pool
    from engine.local.status import Status as ModelStatus
    from engine.upstream.headroom import Left

Numbers = Iterable[tuple[tuple[str, ...], float]]


class Host:
    """Made by `open`, on the loop that serves."""

    def __init__(
        self,
        workspace: Path,
        metrics: Metrics,
        models: Pool | None = None,
        probes: ProbeShare | None = None,
        state: str = "memory",
    ) -> None:
        self.workspace = workspace
        self._metrics = metrics
        self._transport = default_transport()
        self._models = models
        self._running: Snapshot | None = None
        self._fate: Fate | None = None  # of the state, once what was provisioned last serves
        self._before = NO_MONEY  # what was counted until then
        self._carrying: set[asyncio.Task[None]] = set()
        self.recording = Recording(workspace)
        self.outsiders = Outsiders(workspace, Log.from_environment(), metrics)
        self.state = MemoryState()
        share = probes or ProbeShare()
        self.health = Health(Random().random, share.tell)
        clock = SystemClock()
        self.alerts = Alerts(clock, self._transport, self._once, workspace.resolve().name, Secrets())
        self.executor = Executor(
            self.state, clock, Random(), [metrics.record], self.health, alerts=self.alerts
        )
        self._stores = Stores(
            state,
            workspace,
            self.executor,
            self.state,
            self.health,
            lambda: None if self._running is None else self._running.plan,
            lambda sharing: sharing.figures(metrics),
        )
        self.money = MoneyFigures(
            lambda: self.executor.ledger, self._counts, lambda: share.makes or not self.shares_counts
        )
        self._prober = Prober(self.executor, Random().random, makes=share.makes)

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls,
        workspace: Path,
        metrics: Metrics,
        models: Pool | None = None,
        probes: ProbeShare | None = None,
        state: str = "memory",
    ) -> AsyncIterator[Host]:
        """A host; on leaving, its connections, workers and files are closed.

        models: where local models come from; None: from a pool of its own, made for the first of them.
        probes: who makes the probes where several processes serve; None: this process alone.
        state: where budgets and limits are counted (`engine.state.open`); opened for the first that do.
        """
        host = cls(workspace, metrics, models, probes, state)
        try:
            yield host
        finally:
            await host._close()

    async def provision(self, plan: Plan) -> Snapshot:
        """Bind a plan. Raises ProvisionFault where this process cannot run it; then nothing has changed."""
        if self._models is None and "onnx" in plan.manifest.providers:
            # Deferred: only a plan with local models pays for them.
            from engine.local.models import LocalModels

            self._models = LocalModels()
        try:
            await self._stores.open(plan)
            keyring = make_keyring(plan.people())
            self.outsiders.prepare(plan.people())
            opened = await self.recording.open(plan.manifest.settings)
        except (OSError, ValueError, LibraryMissing) as error:
            raise ProvisionFault(str(error)) from error
        try:
            snapshot = await provision(
                plan,
                root=self.workspace,
                transport=self._transport,
                local=self._models,
                previous=self._running,
            )
            snapshot.keyring = keyring
        except (OSError, ValueError) as error:
            await self.recording.drop(opened)
            raise ProvisionFault(str(error)) from error
        if self._running is not None:
            found = Fate()
            await slices.run(work_out(self._running.plan, plan, found))
            self._fate, self._before = found, self._running.plan.money()
        self._take_records(opened)
        self._running = snapshot
        self._prober.take(snapshot)
        return snapshot

    def live(self) -> None:
        """What was provisioned last serves now: state that outlives a plan follows it."""
        found, self._fate = self._fate, None
        if self._running is not None:
            running = self._running
            self.alerts.follow(running.plan.money(), running.zone, running.revision)
            self.outsiders.live(running.plan.people())
        if found is not None and self._running is not None:
            manifest = self._running.plan.manifest
            self.state.carry(found)
            self.health.carry(found)
            plan, names = self._running.plan, manifest.deployments
            self.health.keep(
                names, manifest.routes, lambda name: plan.deployment(name) if name in names else None
            )
            if found.budgets.moves:
                money, zone = self._running.plan.money(), self._running.zone
                moving = carry(self._ledger, self._before, money, found.budgets.moves, self._now(), zone)
                task = asyncio.get_running_loop().create_task(moving)
                self._carrying.add(task)
                task.add_done_callback(self._carrying.discard)
            for upstream in self._running.upstreams.values():
                forget = getattr(upstream.value, "forget", None)
                if forget is not None and (found.deployments.ends or found.deployments.moves):
                    forget(manifest.deployments)

    async def abandon(self, snapshot: Snapshot, running: Snapshot) -> None:
        """A provisioned snapshot will not run after all; `running` runs on."""
        self._take_records(await self.recording.open(running.plan.manifest.settings))
        self._running = running
        self._fate = None
        self._prober.take(running)
        self.outsiders.live(running.plan.people())
        await snapshot.close()

    # --- what is told -----------------------------------------------------------------------------------

    def deployments(self, snapshot: Snapshot) -> dict[str, dict[str, Any]]:
        """Health of each deployment of the plan, as far as this process has seen it. Of a plan with very
        many, those that were ever called or are missing here: the others have nothing to tell.
        """
        now = int(time.monotonic_ns() / 1e6)
        told: dict[str, dict[str, Any]] = {}
        providers = snapshot.plan.manifest.deployments
        for name in self._told(snapshot):
            provider = providers[name]
            latency = self.state.latency(name, now)
            told[name] = {
                "provider": provider,
                "in_flight": self.state.in_flight(name),
                "latency_ms": None if math.isnan(latency) else round(latency, 1),
                "missing": snapshot.missing.get(name),
                "health": self.health.told(name, now),
            }
        return told

    async def counts(self, plan: Plan) -> Counts:
        """What each budget of the running plan has counted until now."""
        zone = self._running.zone if self._running is not None else UTC
        return await counted(self._ledger, plan.money(), self._now(), zone)

    async def standings(self, wanted: Wanted) -> dict[str, Any]:
        """How the running plan's budgets and limits stand: the part of `/admin/budgets` that this process
        knows.
        """
        assert self._running is not None
        money = self._running.plan.money()
        ledger, shared = self._ledger, self.shares_counts
        if wanted.own and not shared:
            wanted = replace(wanted, own=False)
        if wanted.own and all(limit.scope == "fleet" for limit in money.limits.values()):
            ledger = MemoryLedger()  # nothing of its own: the store need not be asked again
        told = await standings.told(ledger, money, wanted, self._now(), self._running.zone)
        return {"shared": shared, "processes": 1, **told}

    @property
    def shares_counts(self) -> bool:
        """Whether other processes count in the same store."""
        return not isinstance(self._ledger, MemoryLedger)

    @property
    def sharing(self) -> Sharing | None:
        """What is shared with other hosts; None: nothing."""
        return self._stores.sharing

    @property
    def _ledger(self) -> Ledger:
        return self.executor.ledger

    def _now(self) -> int:
        return int(self.executor.clock.wall() * 1000)

    def _told(self, snapshot: Snapshot) -> Iterable[str]:
        names = snapshot.plan.manifest.deployments
        if len(names) <= garbage.LARGE:
            return names
        return sorted(name for name in {*self.state.called(), *snapshot.missing} if name in names)

    def local_models(self) -> list[dict[str, Any]]:
        """Every model that this process loaded: worker, execution provider, what was skipped and why."""
        return [asdict(status) for status in self._model_status()]

    def gauges(self, current: Callable[[], Snapshot]) -> None:
        """Register the figures of deployments and local models."""

        def in_flight() -> Numbers:
            return [((name,), self.state.in_flight(name)) for name in self._told(current())]

        self.recording.figures(self._metrics)
        self.alerts.figures(self._metrics)
        self.money.register(self._metrics)
        health_figures.register(self._metrics, self.health, self.executor.clock, current)
        queue_figures.register(self._metrics, self.executor.queues)
        queue_figures.register_limits(self._metrics, self.executor.quotas.lines)
        gauge = self._metrics.gauge
        gauge("engine_open_attempts", "Calls that are running.", ("deployment",), in_flight)
        gauge(
            "engine_upstream_remaining",
            "What a vendor last said is left of a quota.",
            ("deployment", "what"),
            lambda: [((name, what), seen.left) for name, what, seen in _headroom(current())],
            "min",
        )
        gauge(
            "engine_upstream_limit",
            "How much of a quota a vendor says there is.",
            ("deployment", "what"),
            lambda: [
                ((name, what), seen.limit)
                for name, what, seen in _headroom(current())
                if seen.limit is not None
            ],
            "max",
        )
        gauge(
            "engine_upstream_resets_timestamp_seconds",
            "When a vendor says a quota is whole again.",
            ("deployment", "what"),
            lambda: [
                ((name, what), seen.resets_at)
                for name, what, seen in _headroom(current())
                if seen.resets_at is not None
            ],
            "max",
        )
        model_gauges(self._metrics, self._model_status)

    def _model_status(self) -> list[ModelStatus]:
        return [] if self._models is None else self._models.status()

    def _take_records(self, opened: Opened) -> None:
        self.executor.sinks = [self._metrics.record, *self.recording.take(opened)]

    def _counts(self) -> bool:
        return self._running is not None and bool(self._running.plan.manifest.money)

    def _once(self, key: str, ttl_ms: int, now_ms: int) -> bool | Awaitable[bool]:
        return self.executor.ledger.once(key, ttl_ms, now_ms)

    async def _close(self) -> None:
        await self._prober.close()
        await self.outsiders.close()
        await self.executor.asides.close()
        await self.alerts.close()
        await self._transport.close()
        if self._models is not None:
            await self._models.close()
        await self.recording.close()
        for task in self._carrying:
            task.cancel()
        await asyncio.gather(*self._carrying, return_exceptions=True)
        await self._stores.close()


def model_gauges(metrics: Metrics, models: Callable[[], list[ModelStatus]]) -> None:
    """Register the figures of the local models whose workers are this process's."""
    metrics.gauge(
        "engine_local_model_info",
        "Loaded local models and the execution provider they run on.",
        ("model", "execution_provider", "state"),
        lambda: [((s.name, s.provider or "", s.state), 1.0) for s in models()],
    )
    metrics.gauge(
        "engine_local_model_restarts",
        "Restarts of a model's worker.",
        ("model",),
        lambda: [((s.name,), float(s.restarts)) for s in models()],
    )


def _headroom(snapshot: Snapshot) -> list[tuple[str, str, Left]]:
    """What vendors said of their quotas, of the deployments that run."""
    running = snapshot.plan.manifest.deployments
    seen = (getattr(held.value, "headroom", None) for held in snapshot.upstreams.values())
    return [row for each in seen if each is not None for row in each.rows() if row[0] in running]
