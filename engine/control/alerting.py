"""Alerts of an embedded engine: made where its plan has any."""

from __future__ import annotations

from collections.abc import Awaitable
from pathlib import Path

from engine.observe.alerts import Alerts
from engine.plan.money import BudgetStep
from engine.runtime.execute import Executor
from engine.runtime.snapshot import Snapshot
from engine.state.ledger import Standing
from engine.upstream.choice import default_transport
from engine.upstream.protocol import Transport
from engine.upstream.secrets import Secrets


class Alerting:
    """Of one executor, which calls it as `runtime.funds.Alerts`."""

    def __init__(self, workspace: Path) -> None:
        self._name = workspace.resolve().name
        self._alerts: Alerts | None = None
        self._own: Transport | None = None

    def __call__(self, budget: str, partition: str, step: BudgetStep, standing: Standing) -> None:
        if self._alerts is not None:
            self._alerts(budget, partition, step, standing)

    def begin(self, executor: Executor, snapshot: Snapshot, transport: Transport | None) -> None:
        """The plan runs, and tells from here on. transport: stays the caller's; None: one of its own."""
        money = snapshot.plan.money()
        if not money.alerts:
            return
        if transport is None:
            transport = self._own = default_transport()

        def once(key: str, ttl_ms: int, now_ms: int) -> bool | Awaitable[bool]:
            return executor.ledger.once(key, ttl_ms, now_ms)

        self._alerts = Alerts(executor.clock, transport, once, self._name, Secrets())
        self._alerts.follow(money, snapshot.zone, snapshot.revision)

    async def close(self) -> None:
        """Wait a moment for what is being sent."""
        if self._alerts is not None:
            await self._alerts.close()
        if self._own is not None:
            await self._own.close()
