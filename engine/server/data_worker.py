"""One of several processes that answer clients: `python -m engine.server.data_worker INDEX CHANNEL SOCKET..`

Only the supervisor starts it. CHANNEL and the SOCKETs of the clients' address are inherited file
descriptors. Over the channel come its plan, in two steps (`prepare`, `commit`), and the word to listen, to
drain and to hurry; local models and /admin are the supervisor's, asked over the same channel. Signals are
for the supervisor alone; when it is gone, the worker drains and ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from engine.control import garbage, slices
from engine.control.channel import Channel, ChannelClosed, Frame, Refused
from engine.control.compiled import CompileFault, Receiver
from engine.control.counts import as_json
from engine.control.host import Host
from engine.control.prober import ProbeShare
from engine.control.reload import ProvisionFault
from engine.control.retire import retire
from engine.control.settings import ProcessSettings
from engine.control.standings import Wanted
from engine.local.remote import LineCut, LineRefused, RemoteModels
from engine.observe.log import Log
from engine.observe.metrics import Metrics
from engine.runtime.snapshot import Snapshot
from engine.server.app import PATHS, App, Surface
from engine.server.asked import answer, forward
from engine.server.exchange import Exchange
from engine.server.life import Life
from engine.server.loop import run_on_loop
from engine.server.plane import DataPlane, log_libraries
from engine.state.health import Ended

#: Without a word of the supervisor, open requests get this long.
_ALONE_MS: Final = 30_000


class DataWorker:
    """One process's parts. `run` returns its exit code."""

    settings: ProcessSettings
    host: Host
    plane: DataPlane
    current: Snapshot

    def __init__(self, index: int, sockets: Sequence[socket.socket]) -> None:
        self._index = index
        self._sockets = sockets
        self._log = Log.from_environment()
        self._metrics = Metrics()
        self._life = Life(self._log)
        self._models = RemoteModels(self)
        self._prepared: Snapshot | None = None
        self._adopted: set[int] = set()
        self._listens = asyncio.Event()
        self._accepting = asyncio.Lock()
        self._limit_ms: int | None = None
        self._stack = contextlib.AsyncExitStack()

    async def run(self, channel: socket.socket) -> int:
        """Serve until told to end, or until nobody is left who could tell."""
        log_libraries(self._log)
        async with self._stack:
            self._channel = await Channel.open(channel, self._answers, self._hears, self._cut)
            await self._life.stopping.wait()
            if hasattr(self, "plane"):
                limit = self.settings.drain_ms if self._limit_ms is None else self._limit_ms
                await self.plane.drain(limit, self._life.hurry)
            self._life.end_tasks()
        return 1 if self._life.hurry.is_set() else 0

    # --- what the supervisor says -------------------------------------------------------------------------

    async def _answers(self, op: str, frame: Frame) -> Frame:
        match op:
            case "begin":
                await self._begin(frame.words)
            case "prepare":
                await self._prepare(frame)
            case "commit":
                await self._commit(frame.words)
            case "listen":
                await self._listen(frame.words["socket"])
            case "ping":
                pass
            case "status":
                return Frame({name: ask() for name, ask in self.plane.figures.items()})
            case "counts":
                counts = as_json(await self.host.counts(self.current.plan))
                return Frame({"shared": self.host.shares_counts, "budgets": counts})
            case "standings":
                return Frame(await self.host.standings(Wanted(**frame.words)))
            case "figures":
                await self.host.money.refresh()
                return Frame({"families": self._metrics.families()})
            case "http":
                return await answer(self._probes, frame.words)
            case _:
                raise Refused(f"a data worker is not asked {op!r}")
        return Frame()

    def _hears(self, op: str, frame: Frame) -> None:
        match op:
            case "model.events" | "model.over":
                self._models.hear(op, frame.words)
            case "probed":
                self._probed(frame.words)
            case "settings":
                self.settings = ProcessSettings.from_json(frame.words["settings"])
                self.plane.follow(self.settings, frame.words["since"])
            case "abandon":
                self._life.spawn(self._abandon(frame.words["revision"]))
            case "adopt":
                self._adopted.add(frame.words["socket"])
                self._life.spawn(self._accept())
            case "return":
                self._adopted.discard(frame.words["socket"])
                self._life.spawn(self._accept())
            case "drain":
                self._limit_ms = frame.words["limit_ms"]
                self._life.stopping.set()
            case "hurry":
                self._life.hurry.set()
                self._life.stopping.set()

    def _cut(self) -> None:
        """The supervisor is gone: nobody will give plans, and nobody else would end this process."""
        if not self._life.stopping.is_set():
            self._log.error("supervisor_gone", worker=self._index)
        self._models.cut()
        self._life.stopping.set()

    # --- plans --------------------------------------------------------------------------------------------

    async def _begin(self, words: dict[str, Any]) -> None:
        self.settings = ProcessSettings.from_json(words["settings"])
        self._serves: frozenset[Surface] = frozenset(words["serves"])
        workspace, state = Path(words["workspace"]), self.settings.state
        self.host = await self._stack.enter_async_context(
            Host.open(workspace, self._metrics, self._models, self._probe_share(), state)
        )

    async def _prepare(self, frame: Frame) -> None:
        running = self.current if hasattr(self, "current") else None
        try:
            receiver = Receiver(None if running is None else running.plan.segments)
            with garbage.quiet():
                await slices.run(receiver.feed(frame.data))
                await slices.run(receiver.finish())
                plan = receiver.result().plan
                assert plan is not None
                self._prepared = await self.host.provision(plan)
        except (CompileFault, ProvisionFault) as fault:
            raise Refused(f"worker {self._index}: {fault}") from None

    async def _abandon(self, revision: str) -> None:
        prepared = self._prepared
        if prepared is not None and prepared.revision == revision:
            self._prepared = None
            await self.host.abandon(prepared, self.current)

    async def _commit(self, words: dict[str, Any]) -> None:
        prepared, self._prepared = self._prepared, None
        if prepared is None or prepared.revision != words["revision"]:
            raise Refused(f"worker {self._index} has not prepared {words['revision'][:12]}")
        old = self.current if hasattr(self, "current") else None
        self.current = prepared
        if old is None:
            self.plane = DataPlane(self.host, lambda: self.current, self._metrics, self._log)
            self._probes = App(self.plane.service, frozenset({"probes"}))
            self._stack.push_async_callback(self._close_current)
        else:
            self._life.spawn(retire(old))
        garbage.plan_is_live(prepared.plan)
        self.settings = ProcessSettings.from_json(words["settings"])
        self.plane.follow(self.settings, words["since"])

    async def _close_current(self) -> None:
        await self.current.close()

    # --- probes -------------------------------------------------------------------------------------------

    def _probe_share(self) -> ProbeShare:
        """The first worker makes the probes; what it finds out is told to all."""

        def tell(deployment: str, how: Ended) -> None:
            words = {"failure": how.failure, "delay_ms": how.delay_ms, "credential": how.credential}
            self._channel.tell("probed", {"deployment": deployment, **words})

        return ProbeShare(tell) if self._index == 0 else ProbeShare(makes=False)

    def _probed(self, words: dict[str, Any]) -> None:
        plan, name = self.current.plan, words["deployment"]
        if name in plan.manifest.deployments:  # else a plan has come meanwhile that has it no more
            how = Ended(words["failure"], words["delay_ms"], words["credential"])
            now = int(self.host.executor.clock.now_ms())
            self.host.health.heard(plan.deployment(name), how, now)

    # --- connections --------------------------------------------------------------------------------------

    async def _listen(self, index: int) -> None:
        async def asked(exchange: Exchange) -> None:
            await forward(exchange, self._channel.ask)

        elsewhere = [path for path, row in PATHS.items() if row[0] in ("admin", "metrics")]
        app = App(
            self.plane.service,
            self._serves | {"clients", "probes"},
            elsewhere=dict.fromkeys(elsewhere, asked),
        )
        await self._stack.enter_async_context(
            self.plane.serving({"listen": self._sockets[index].dup()}, lambda _: app, self.settings.tls)
        )
        self._listens.set()
        garbage.spare()

    async def _accept(self) -> None:
        """Accept on the sockets of neighbours that are away, and on no others; once this one listens."""
        await self._listens.wait()
        async with self._accepting:
            listener = self.plane.listeners["listen"]
            for index, sock in enumerate(self._sockets):
                if index not in self._adopted:
                    listener.accept_no_more_from(sock)
                elif not listener.accepts_from(sock):
                    await listener.accept_from(sock)

    # --- local models, as `remote.Line` ---------------------------------------------------------------------

    async def ask(self, op: str, words: dict[str, Any]) -> dict[str, Any]:
        try:
            return (await self._channel.ask(op, words)).words
        except ChannelClosed:
            raise LineCut from None
        except Refused as refused:
            fault = {"code": "start_failed", "message": str(refused), "help": "the log has the place"}
            raise LineRefused(refused.words or fault) from None

    def tell(self, op: str, words: dict[str, Any]) -> None:
        self._channel.tell(op, words)


def _leave_signals_to_the_supervisor() -> None:
    """Ctrl-C and a service manager's stop reach every process of the group; the supervisor drains us."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)


def main() -> None:
    _leave_signals_to_the_supervisor()
    index, channel, *listening = map(int, sys.argv[1:])
    sockets = [socket.socket(fileno=fd) for fd in listening]
    worker = DataWorker(index, sockets)
    code = run_on_loop(worker.run(socket.socket(fileno=channel)))
    sys.stderr.flush()
    os._exit(code)  # at once: there is nothing left to close, and a thread may hang in a system call


if __name__ == "__main__":
    main()
