"""What outlives a request, behind one interface: reserves, counters, health.

The memory store answers at once; a remote one may have to be awaited. So each call may return its answer or
an awaitable of it, and the driver awaits only what is one.

These values are made several times a request and not frozen, because that costs three times as much; nobody
changes one.
"""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, Protocol

from engine.wire.canonical import Usage


@dataclass(slots=True)
class Hold:
    """What one attempt asks to reserve. `request_id` and `attempt` make it idempotent.

    cost: the worst case, in nano-dollars.
    """

    request_id: str
    attempt: int
    deployment: str
    cost: int
    tokens: int


@dataclass(slots=True)
class Granted:
    """Answer to `reserve`: a lease to settle or release, or the reason there is none."""

    lease: int | None
    reason: str | None = None
    retry_after_ms: int | None = None


@dataclass(slots=True)
class Spent:
    """What an attempt really cost. `estimated`: the vendor said nothing, so we counted."""

    usage: Usage
    cost: int  # nano-dollars
    estimated: bool


class State(Protocol):
    """One process's view of the state. Settle and release are idempotent: the first of either counts."""

    def reserve(self, hold: Hold, now_ms: int) -> Granted | Awaitable[Granted]: ...

    def settle(self, lease: int, spent: Spent, now_ms: int) -> Awaitable[None] | None: ...

    def release(self, lease: int, now_ms: int) -> Awaitable[None] | None: ...

    def observe(self, deployment: str, ok: bool, latency_ms: float | None, now_ms: int) -> None:
        """How a call went, for latency and health. `latency_ms`: to the first token, None = unknown."""
        ...

    def in_flight(self, deployment: str) -> int: ...

    def latency(self, deployment: str, now_ms: int) -> float:
        """Peak EWMA in ms; NaN = nothing known."""
        ...

    def percentile(self, deployment: str, share: float) -> float:
        """The latency in ms that this share of the deployment's last calls stayed below; NaN = too few."""
        ...

    def recall(self, space: str, key: str, now_ms: int) -> Any | Awaitable[Any]:
        """What is kept under a key of a space; None where nothing is, or no longer."""
        ...

    def keep(self, space: str, key: str, value: Any, ttl_ms: int, now_ms: int) -> Awaitable[None] | None:
        """Keep a value for so long; what was under the key goes. The store may forget it earlier."""
        ...

    def next(self, key: str) -> int:
        """0, 1, 2, ... per key."""
        ...

    def open_leases(self) -> int:
        """Reserves neither settled nor released: 0 when nothing is in flight."""
        ...
