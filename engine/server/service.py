"""What the apps of one process share: the current snapshot, the executor, limits, and who is being answered.

The process may listen on several addresses (clients, admin, probes); each has an `App`, all have one
`Service`. An embedding application makes one from its `Engine`.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, Protocol

from engine.observe.log import Log
from engine.observe.metrics import Metrics
from engine.runtime.snapshot import Snapshot
from engine.server.departure import Departure
from engine.server.identity import Identities

if TYPE_CHECKING:
    from engine.control.standings import Wanted
    from engine.server.app import Paths
    from engine.server.pressure import Pressure
    from engine.server.repeats import Repeats

BODY_LIMIT: Final = 20 * 1024 * 1024


class Executor(Protocol):
    """The part of `runtime.execute.Executor` that the sidecar uses."""

    async def execute(self, snapshot: Snapshot, inbound: Any) -> Any: ...


class AdminKey:
    """The key that /admin asks for. Only its digest is kept, and compared in constant time."""

    __slots__ = ("_digest",)

    def __init__(self, key: str) -> None:
        self._digest = sha256(key.encode()).digest()

    def accepts(self, shown: bytes | None) -> bool:
        """Whether an `authorization` header shows the key. The same work is done for any header."""
        scheme, _, key = (shown or b"").partition(b" ")
        matches = hmac.compare_digest(sha256(key.strip()).digest(), self._digest)
        return matches and scheme.lower() == b"bearer"


async def _nothing() -> None:
    """There is nothing to read."""


@dataclass(slots=True)
class Service:
    """One process's sidecar.

    current: the snapshot that a request beginning now runs on.
    status: `/admin/status` as plain data. exposition: `/metrics`; None: the figures of `metrics`.
    before_scrape: reads what the figures tell. budgets: `/admin/budgets` as plain data.
    reload: compiles now; (HTTP status, body). Each of status, budgets and reload None: not served.
    since: epoch seconds at which the current plan went live.
    paths: the dialects' paths under the current snapshot, bound by the first request to any address.
    heartbeat_s: how long a stream may say nothing before its client is sent a comment; 0: never.
    draining: no new work is wanted; `/readyz` says so and every answer closes its connection.
    identities: who asks.
    store: whether the state store of several hosts answers; None: there is none.
    repeats: answers to idempotency keys.
    pressure: whether requests are refused now because the process has too much to do.
    open: the requests being answered, so that a drain can wait for them and end them.
    copies: how many copies of requests are under way that no client waits for; a drain waits for them too.
    """

    current: Callable[[], Snapshot]
    executor: Executor
    metrics: Metrics = field(default_factory=Metrics)
    log: Log = field(default_factory=Log)
    body_limit: int = BODY_LIMIT
    heartbeat_s: float = 15.0
    status: Callable[[], Awaitable[dict[str, Any]]] | None = None
    exposition: Callable[[], Awaitable[bytes]] | None = None
    before_scrape: Callable[[], Awaitable[None]] = _nothing
    budgets: Callable[[Wanted], Awaitable[dict[str, Any]]] | None = None
    reload: Callable[[], Awaitable[tuple[int, dict[str, Any]]]] | None = None
    admin_key: AdminKey | None = None
    since: float = field(default_factory=time.time)
    draining: bool = False
    paths: Paths | None = None
    open: set[Departure] = field(default_factory=set)
    pressure: Pressure | None = None
    repeats: Repeats | None = None
    identities: Identities = field(default_factory=Identities)
    copies: Callable[[], int] = int
    store: Callable[[], bool | None] = lambda: None
