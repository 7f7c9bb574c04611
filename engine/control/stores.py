"""What a process has by its workspace's `state:`: a ledger to count in, and what it shares with other hosts.

The sidecar and an engine that is embedded open it here, so both count and share the same.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from engine.control.sharing import Sharing
from engine.plan.plan import Plan
from engine.runtime.execute import Executor
from engine.state.aside import Aside
from engine.state.health import Health
from engine.state.ledger import Ledger
from engine.state.memory import MemoryState
from engine.state.open import is_redis, open_ledger


class Stores:
    """Nothing is open before `open`. sharing: None where no other host can share.

    Args:
        address: as engine.yaml has it.
        root: the workspace's folder.
        executor: counts in the ledger.
        state: keeps with other hosts what they keep together; None: it stays this process's.
        health: tells other hosts what it sets aside, and is told.
        running: the plan that serves, None before the first.
        opened: called once with what is shared.
    """

    def __init__(
        self,
        address: str,
        root: Path,
        executor: Executor,
        state: MemoryState | None,
        health: Health,
        running: Callable[[], Plan | None],
        opened: Callable[[Sharing], None] = lambda _: None,
    ) -> None:
        self._address = address
        self._root = root
        self._executor = executor
        self._state = state
        self._health = health
        self._running = running
        self._opened = opened
        self._ledger: Ledger | None = None  # since the first plan that counts something
        self.sharing: Sharing | None = None

    async def open(self, plan: Plan, counts: bool = True) -> None:
        """Open the state store, if this is the first plan that counts something; one that other hosts share
        is opened for the first plan of all. Raises OSError.

        counts: whether it is counted there.
        """
        if self.sharing is None and is_redis(self._address):
            self.sharing = await Sharing.open(self._address, self._state, self._health, self._hinted)
            self._opened(self.sharing)
        if counts and plan.manifest.money and self._ledger is None:
            store, wall = None if self.sharing is None else self.sharing.store, self._executor.clock.wall
            self._ledger = await open_ledger(self._address, self._root, wall, store)
            self._executor.count_in(self._ledger)

    async def close(self) -> None:
        """Say and send what is left, and leave the store."""
        if self._ledger is not None:
            await self._ledger.close()
        if self.sharing is not None:
            await self.sharing.close()

    def _hinted(self, aside: Aside) -> None:
        """Another host has set a deployment aside."""
        plan = self._running()
        if plan is not None and aside.deployment in plan.manifest.deployments:
            now = int(self._executor.clock.now_ms())
            self._health.hinted(plan.deployment(aside.deployment), aside, now)
