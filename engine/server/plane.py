"""The part of a process that answers requests: its service, the addresses it listens on, its orderly end.

A sidecar of one process has one beside its control plane; with several workers each data worker has one, and
the control plane is the supervisor's.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from engine.control import queue_figures
from engine.control.host import Host
from engine.control.settings import ProcessSettings, TlsFiles
from engine.keys.hashing import PUBLIC
from engine.observe.log import Log, LogHandler
from engine.observe.metrics import Metrics
from engine.policies.networks import Networks
from engine.runtime.snapshot import Snapshot
from engine.server.app import App
from engine.server.drain import drain
from engine.server.head import is_loopback
from engine.server.listen import Listener, split_address
from engine.server.pressure import Bounds, Pressure
from engine.server.repeats import Repeats
from engine.server.service import Service
from engine.server.stored_keys import StoredKeys


class DataPlane:
    """Made once a first snapshot is there.

    host: what plans run on in this process. current: the snapshot that a request beginning now runs on.
    """

    def __init__(self, host: Host, current: Callable[[], Snapshot], metrics: Metrics, log: Log) -> None:
        self.listeners: dict[str, Listener] = {}
        self._state = "memory"
        self._host = host
        self._log = log
        self.service = service = Service(current=current, executor=host.executor, metrics=metrics, log=log)
        self.pressure = service.pressure = Pressure(metrics, log, unrecorded=host.recording.refuses)
        self.pressure.short_of_files = self._close_idle
        self.keys = StoredKeys(service.identities, log)
        self.repeats = service.repeats = Repeats(metrics, time.monotonic)
        service.before_scrape = host.money.refresh
        service.store = lambda: None if host.sharing is None else host.sharing.store.link.up
        service.copies = host.executor.asides.__len__
        metrics.gauge("engine_in_flight", "Requests being answered.", (), lambda: (((), len(service.open)),))
        host.gauges(current)
        host.alerts.log = log
        #: What `/admin/status` tells of the work of this process; several workers' are put together.
        self.figures: dict[str, Callable[[], Any]] = {
            "in_flight": lambda: len(service.open),
            "deployments": lambda: host.deployments(current()),
            "overload": self.pressure.told,
            "usage": host.recording.status,
            "alerts": host.alerts.told,
            "store": lambda: None if host.sharing is None else host.sharing.told(),
            "keys": self.keys.told,
            "issuers": host.outsiders.told,
            "places": lambda: queue_figures.status(host.executor.queues),
        }

    def follow(self, settings: ProcessSettings, since: float) -> None:
        """A plan went live at `since`: follow its settings as far as a running process can."""
        self._host.live()
        self._state = settings.state
        self.keys.again()
        self._close(settings)
        self.service.paths = None
        self.service.body_limit = settings.body_limit
        self.service.heartbeat_s = settings.heartbeat_ms / 1000
        self.service.since = since
        self.service.identities.sources = self._host.outsiders.sources
        self.service.identities.trusted = Networks(settings.trusted_proxies)
        self.pressure.bounds = Bounds(settings.lag_ms, settings.files, settings.memory)
        self.repeats.keep_s = settings.idempotency_ms / 1000

    def _close(self, settings: ProcessSettings) -> None:
        """Once somebody is known nobody is anonymous any more, also when the last key has left the files:
        whoever was kept out by it would come in.
        """
        ring = self.service.current().keyring
        known = (ring is not None and not ring.empty) or self._host.outsiders.sources
        if known or not is_loopback(split_address(settings.listen)[0]):
            self.service.identities.closed = True

    @contextlib.asynccontextmanager
    async def serving(
        self, sockets: Mapping[str, socket.socket], app: Callable[[str], App], tls: TlsFiles | None = None
    ) -> AsyncIterator[None]:
        """Every address taking connections.

        app: makes the app of each by the address's name. tls: of `listen`.
        """
        async with contextlib.AsyncExitStack() as stack:
            await self.keys.start(self._state, self._host.workspace, self._secret)
            stack.push_async_callback(self.keys.stop)
            self.pressure.start()
            stack.callback(self.pressure.stop)
            for name, sock in sockets.items():
                files = tls if name == "listen" else None
                listener = self.listeners[name] = Listener(sock, app(name), files, self._log)
                await listener.start()
                stack.push_async_callback(listener.stop)
            yield

    def _secret(self) -> bytes:
        """What the hashes of client keys are made under now."""
        ring = self.service.current().keyring
        return PUBLIC if ring is None else ring.secret

    def _close_idle(self) -> None:
        """Files are short: clients' idle connections go, so that others, and control paths, get theirs."""
        listener = self.listeners.get("listen")
        if listener is not None:
            listener.close_idle()

    async def drain(self, limit_ms: int, hurry: asyncio.Event) -> None:
        """No new work; open requests have `limit_ms`, or none once `hurry` is set."""
        self._log.info("draining", requests=len(self.service.open), limit_ms=limit_ms)
        await drain(self.service, list(self.listeners.values()), limit_ms / 1000, hurry)


def log_libraries(log: Log) -> None:
    """What libraries and the engine's own modules log goes through the one encoder."""
    handler = LogHandler(log)
    for name in ("uvicorn.error", "asyncio", "aiohttp", "engine"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        # uvicorn warns of every malformed request: whoever sends them would fill the log.
        logger.setLevel(logging.ERROR if name == "uvicorn.error" else logging.WARNING)
