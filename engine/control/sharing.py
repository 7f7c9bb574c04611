"""What a process shares with those of other hosts, where `state:` names a Redis: beside what is counted,
where clients are sticky, answers that may be given again, and hints on deployments.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from engine.state.aside import Aside
from engine.state.health import Health
from engine.state.kept import Kept
from engine.state.memory import MemoryState

if TYPE_CHECKING:
    from engine.observe.metrics import Metrics
    from engine.state.redis.hints import Hints
    from engine.state.redis.kept import SharedKept
    from engine.state.redis.store import RedisStore


class Sharing:
    """Made by `open`. The store is for the ledger and for client keys too."""

    def __init__(self, store: RedisStore, kept: SharedKept, hints: Hints) -> None:
        self.store = store
        self._kept = kept
        self._hints = hints

    @classmethod
    async def open(
        cls, address: str, state: MemoryState | None, health: Health, hinted: Callable[[Aside], None]
    ) -> Sharing:
        """Share a process's state and health from here on.

        Args:
            address: as engine.yaml has it.
            state: keeps with the others what they keep together; None: nothing is kept with them.
            health: tells the others what it sets aside.
            hinted: called with what another host has set aside.

        Raises:
            OSError: it is no address, its password cannot be read, or the client library is missing.
        """
        # Deferred: who has one host needs no Redis.
        from engine.state.redis.hints import Hints
        from engine.state.redis.kept import SharedKept
        from engine.state.redis.open import open_redis

        store = await open_redis(address)
        hints = Hints(store, secrets.token_hex(8), hinted)
        health.tell_aside = hints.tell
        kept = SharedKept(store, Kept() if state is None else state.kept)
        if state is not None:
            state.shared = kept
        return cls(store, kept, hints)

    def told(self) -> dict[str, Any]:
        """How the store is, for people."""
        link = self.store.link
        away = {} if link.well == 1 else {"why": link.why}
        settling = {"settling_ms": left} if (left := link.settling_ms()) else {}
        each = [{"server": str(shard.place), "up": shard.up} for shard in link.links]
        shards = {"shards": each} if link.sharded else {}
        told = {"address": str(link.address), "up": link.up, "outages": link.outages}
        return {**told, **away, **settling, **shards}

    def figures(self, metrics: Metrics) -> None:
        """Register the figures of the store."""
        link, kept, hints = self.store.link, self._kept, self._hints
        metrics.gauge(
            "engine_state_store_up",
            "1: the state store answers; of a cluster, the share of its shards that do.",
            (),
            lambda: [((), link.well)],
            "min",
        )
        metrics.counter(
            "engine_state_store_calls",
            "Calls to the state store, by how they ended.",
            ("outcome",),
            lambda: [
                (("answered",), float(link.calls - link.failures)),
                (("failed",), float(link.failures)),
            ],
        )
        metrics.counter(
            "engine_state_store_outages",
            "How often the state store went away.",
            (),
            lambda: [((), float(link.outages))],
        )
        metrics.counter(
            "engine_state_kept",
            "Looks at what hosts keep together, by what was found; ignored: a value that was none.",
            ("outcome",),
            lambda: [((name,), float(count)) for name, count in kept.figures().items()],
        )
        metrics.counter(
            "engine_state_hints",
            "Hints on deployments that hosts told each other.",
            ("direction",),
            lambda: [(("told",), float(hints.told)), (("heard",), float(hints.heard))],
        )

    async def close(self) -> None:
        """Send what waits, and leave the store."""
        await self._hints.close()
        await self._kept.close()
        await self.store.close()
