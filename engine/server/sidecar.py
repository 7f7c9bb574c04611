"""The sidecar's life: bind, provision, serve, reload, drain. One process, one event loop.

`serve` is called with the first compile's result and returns the process's exit code. The order is that of
every start and stop: what was opened last is closed first, also when starting fails half-way.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from engine.control import garbage, secret_check, slices
from engine.control.child import Compiler
from engine.control.compiled import Compiled
from engine.control.host import Host
from engine.control.last_good import LastGood, Start
from engine.control.reload import ProvisionFault, Reloaded, Reloader
from engine.control.settings import ProcessSettings
from engine.control.status import Status
from engine.control.watch import changes
from engine.observe.log import Log
from engine.observe.metrics import Metrics
from engine.observe.resources import raise_file_limit
from engine.plan.plan import Plan
from engine.runtime.snapshot import Snapshot
from engine.server.app import App, Surface
from engine.server.entrances import (
    StartError,
    admin_key,
    check_addresses,
    check_tls,
    on_listen,
    stays_here,
)
from engine.server.life import Life
from engine.server.listen import Listener, bind
from engine.server.plane import DataPlane, log_libraries
from engine.server.service import Service


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says. None: as the workspace has it."""

    workspace: Path
    env: str | None = None
    listen: str | None = None
    admin: str | None = None
    watch: bool | None = None
    workers: int | None = None

    def over(self, settings: ProcessSettings) -> ProcessSettings:
        """The settings with these over them."""
        return replace(
            settings,
            listen=self.listen or settings.listen,
            admin=self.admin or settings.admin,
            watch=settings.watch if self.watch is None else self.watch,
            workers=self.workers or settings.workers,
        )


async def serve(options: Options, start: Start, content: str, ready: Callable[[Sidecar], None]) -> int:
    """Run until a signal ends it; returns the exit code.

    content: the digest of the workspace's files from before they were compiled. ready: called once every
    address takes connections. Raises StartError, AddressError.
    """
    plan, settings = start.compiled.plan, start.compiled.settings
    assert plan is not None
    assert settings is not None
    raise_file_limit()
    sidecar = Sidecar(options, options.over(settings), start.last_good)
    async with sidecar.running(start.compiled):
        sidecar.handle_signals()
        await took(start, sidecar.status, sidecar.log)
        ready(sidecar)
        sidecar.life.spawn(tell_missing(plan, sidecar.log))
        garbage.spare()
        return await sidecar.until_stopped(content)


async def took(start: Start, status: Status, log: Log) -> None:
    """The first plan runs: keep it for the next start, or tell that it is one that was kept."""
    if start.rejected is not None:
        status.reject(None, start.rejected, time.time())
        status.last_good = True
        errors = sum(found["severity"] == "error" for found in start.rejected)
        log.error("serving_last_good", revision=status.revision, errors=errors)
    else:
        try:
            await asyncio.to_thread(start.keep)
        except OSError as error:
            log.warning("last_good_not_kept", why=f"{error.filename}: {error.strerror or error}")


async def tell_missing(plan: Plan, log: Log) -> None:
    """What secrets the first plan lacks. There is no better one to go on with, and others may serve."""
    needed: secret_check.Needed = {}
    await slices.run(secret_check.missing(plan, os.environ, needed))
    for found in secret_check.told(needed):
        log.warning("secret_missing", what=found.message, help=found.help)


class Sidecar:
    """One process's parts."""

    plane: DataPlane
    status: Status

    def __init__(
        self, options: Options, settings: ProcessSettings, last_good: LastGood | None = None
    ) -> None:
        self._options = options
        self.settings = settings
        self._last_good = last_good
        self.log = Log.from_environment()
        self.metrics = Metrics()
        self.life = Life(self.log)

    @contextlib.asynccontextmanager
    async def running(self, compiled: Compiled) -> AsyncIterator[None]:
        """Everything started; on leaving, everything closed."""
        plan = compiled.plan
        assert plan is not None
        async with contextlib.AsyncExitStack() as stack:
            log_libraries(self.log)
            key = admin_key(self.settings)
            await check_addresses(self.settings, plan, self._options.workspace)
            check_tls(self.settings)
            sockets = {name: bind(address) for name, address in self._addresses().items()}
            for sock in sockets.values():
                stack.callback(sock.close)
            host = Host.open(self._options.workspace, self.metrics, state=self.settings.state)
            self.host = await stack.enter_async_context(host)
            await self._control(plan)
            self.reloader.bare = compiled.bare
            stack.push_async_callback(self.reloader.close)
            self.service.admin_key = key
            self._published(self.reloader.snapshot, self.settings)
            await stack.enter_async_context(self.plane.serving(sockets, self._app, self.settings.tls))
            yield

    def handle_signals(self) -> None:
        """From here on they reload and drain. Before anybody is told that this process serves: whoever waits
        for that may signal at once.
        """
        self.life.handle_signals(lambda: self.life.spawn(self.reloader.reload("hangup")))

    async def until_stopped(self, content: str) -> int:
        """Serve until told to stop, then drain. 0: every request ended by itself or with its last words."""
        self.reloader.content = content
        if self.settings.watch:
            self.life.spawn(self._watch())
        await self.life.stopping.wait()
        self.life.end_tasks()
        await self.reloader.stop()
        await self.plane.drain(self.settings.drain_ms, self.life.hurry)
        return 1 if self.life.hurry.is_set() else 0

    def hello(self) -> dict[str, Any]:
        """The bound addresses, for stdout."""
        told: dict[str, Any] = dict.fromkeys(("listen", "admin", "probes"))
        told |= {name: listener.address for name, listener in self.listeners.items()}
        return {**told, "revision": self.status.revision, "pid": os.getpid()}

    @property
    def asks_for_keys(self) -> bool:
        """Whether nobody is anonymous here."""
        identities = self.service.identities
        return bool(self.reloader.snapshot.keyring or identities.closed or identities.sources)

    @property
    def service(self) -> Service:
        return self.plane.service

    @property
    def listeners(self) -> dict[str, Listener]:
        return self.plane.listeners

    # --- parts ----------------------------------------------------------------------------------------

    def _addresses(self) -> dict[str, str]:
        settings = self.settings
        named = {"listen": settings.listen, "admin": settings.admin, "probes": settings.probes}
        return {name: address for name, address in named.items() if address is not None}

    def _app(self, name: str) -> App:
        """The app of one address."""
        serves: dict[str, set[Surface]] = {
            "listen": {"clients", "probes", *on_listen(self.settings)},
            "admin": {"admin", "metrics", "probes"},
            "probes": {"probes"},
        }
        return App(
            self.service,
            frozenset(serves[name]),
            rebinding=self.settings.admin_key is None,
            guarded=name == "listen" and not stays_here(self.settings.listen),
        )

    async def _control(self, plan: Plan) -> None:
        """The first snapshot, and what replaces it. No frame keeps it: it goes when it is replaced."""
        try:
            snapshot = await self.host.provision(plan)
        except ProvisionFault as fault:
            raise StartError(str(fault)) from None
        now = time.time()
        self.status = Status(snapshot.revision, now)
        self.reloader = Reloader(
            Compiler(self._options.workspace, self._options.env),
            snapshot,
            self.settings,
            self.host.provision,
            status=self.status,
            metrics=self.metrics,
            log=self.log,
            published=self._published,
            over=self._options.over,
            last_good=self._last_good,
            counts=self.host.counts,
        )
        self.plane = DataPlane(self.host, lambda: self.reloader.snapshot, self.metrics, self.log)
        self.service.status = self._status
        self.service.budgets = self.host.standings
        self.service.reload = self._reload_now
        self.status.more |= {
            "listeners": lambda: {name: listener.address for name, listener in self.listeners.items()},
            "draining": lambda: self.service.draining,
            "pid": os.getpid,
            "local_models": self.host.local_models,
            **self.plane.figures,
        }
        self.status.gauges(self.metrics)

    def _published(self, snapshot: Snapshot, settings: ProcessSettings) -> None:
        """A plan went live: follow its settings as far as a running process can."""
        self.settings = settings
        self.plane.follow(settings, self.status.since)

    async def _status(self) -> dict[str, Any]:
        return self.status.as_json()

    async def _reload_now(self) -> tuple[int, dict[str, Any]]:
        done = await self.reloader.reload("asked")
        return (422 if done.result == "nack" else 200), told(done, self.status)

    # --- events ---------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        await follow(self.reloader, self._options.workspace, self.log, lambda: self.settings.debounce_ms)


async def follow(reloader: Reloader, workspace: Path, log: Log, debounce_ms: Callable[[], int]) -> None:
    """Reload whenever the files hold something else than what was compiled last."""
    seen = changes(workspace, lambda: reloader.content, log, settle_s=lambda: debounce_ms() / 1000)
    async for _ in seen:
        await reloader.reload("watch")


def told(done: Reloaded, status: Status) -> dict[str, Any]:
    state = status.as_json()
    became = {} if done.state is None else {"state": done.state}
    return {"result": done.result, **{key: state[key] for key in ("revision", "since", "rejected")}, **became}
