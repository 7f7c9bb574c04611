"""A changed workspace into the running plan: compile, provision, publish; or a NACK, and the old one goes on.

At most one compile runs. Whoever asks meanwhile waits for one that begins after they asked, and all who
wait share it: a thousand saves in a second are two compiles. Publishing is one assignment; requests keep
the snapshot they began with, and the old one is closed when its last request has ended.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from engine.control import garbage, secret_check, slices
from engine.control.child import Compiler
from engine.control.compiled import CompileFault
from engine.control.counts import Counts, lines
from engine.control.last_good import LastGood
from engine.control.retire import retire
from engine.control.settings import ProcessSettings
from engine.control.status import Status
from engine.diagnostics import Diagnostic
from engine.errors import EngineError
from engine.observe.log import Log
from engine.observe.metrics import Metrics
from engine.plan.fate import Fate, work_out
from engine.plan.plan import Plan
from engine.runtime.snapshot import Snapshot

Provision = Callable[[Plan], Awaitable[Snapshot]]


@dataclass(frozen=True, slots=True)
class Reloaded:
    """How a reload ended: taken, rejected, or nothing was new.

    state: what of it survived, moved, was reset (`plan.fate`), where a plan was taken.
    """

    result: Literal["ack", "nack", "unchanged"]
    revision: str
    diagnostics: Sequence[dict[str, Any]] = ()
    state: dict[str, Any] | None = None


#: What an unmounted volume looks like, or a file that a full disk cut to nothing. Whoever means it restarts.
_GONE: Final = (
    "the workspace has no routes any more; a running sidecar does not give up its last one, neither for none "
    "nor for those that the engine ships"
)

#: So long a reload waits for what budgets have counted.
COUNTS_S: Final = 2.0

#: So many names of each sort stand in a log line.
_MOST_NAMES: Final = 20


class ProvisionFault(Exception):
    """A plan that compiles but cannot run here. The text says what is missing and what to do."""


class Reloader:
    """Holds the current snapshot and replaces it.

    provision: a plan bound to this process's upstreams, sharing what did not change. published: told of
    every new snapshot and its settings once it is current. over: puts what the command line says over a
    file's settings. compiler: of this workspace; the reloader closes it. last_good: where what runs is kept;
    None: nowhere. commit: makes others run it, awaited before it is current here. counts: what budgets of
    the running plan have counted; None: nobody asks.
    """

    def __init__(
        self,
        compiler: Compiler,
        snapshot: Snapshot,
        settings: ProcessSettings,
        provision: Provision,
        *,
        status: Status,
        metrics: Metrics,
        log: Log,
        published: Callable[[Snapshot, ProcessSettings], None],
        commit: Callable[[Snapshot, ProcessSettings], Awaitable[None]] | None = None,
        over: Callable[[ProcessSettings], ProcessSettings] = lambda settings: settings,
        last_good: LastGood | None = None,
        counts: Callable[[Plan], Awaitable[Counts]] | None = None,
    ) -> None:
        self.snapshot = snapshot
        self._compiler = compiler
        self._last_good = last_good
        self._settings = settings
        self._provision = provision
        self._status = status
        self._metrics = metrics
        self._log = log
        self._published = published
        self._commit = commit
        self._over = over
        self._counts = counts
        #: The plan that runs is of the engine's own routes; whoever begins with them says so.
        self.bare = False
        #: The digest of the files that were compiled last, rejected or not; whoever begins says the first.
        self.content = ""
        self._lock = asyncio.Lock()
        self._asked = 0
        self._begun = 0
        self._last = Reloaded("unchanged", snapshot.revision)
        self._draining: set[asyncio.Task[None]] = set()
        self._turns: set[asyncio.Task[Reloaded]] = set()
        self._stopped = False

    async def reload(self, why: str) -> Reloaded:
        """Compile what the workspace holds now and run it if it is good. Never raises for a bad workspace.

        Whoever asked may leave (a client, or the worker that it asked through): the reload goes on, for
        others may share it, and a plan that only some workers run is worse than one that nobody waits for.
        Once `stop` was called, EngineError (503) says so.
        """
        if self._stopped:
            raise _shutting_down()
        self._asked += 1
        turn = asyncio.get_running_loop().create_task(self._turn(self._asked, why))
        self._turns.add(turn)
        turn.add_done_callback(self._turns.discard)
        try:
            return await asyncio.shield(turn)
        except asyncio.CancelledError:
            asker = asyncio.current_task()
            if not turn.cancelled() or (asker is not None and asker.cancelling()):
                raise
            raise _shutting_down() from None

    async def stop(self) -> None:
        """Give up what is being reloaded, and reload no more: the process ends."""
        self._stopped = True
        turns = list(self._turns)
        for turn in turns:
            turn.cancel()
        await asyncio.gather(*turns, return_exceptions=True)

    async def _turn(self, mine: int, why: str) -> Reloaded:
        async with self._lock:
            if self._begun < mine:
                self._begun = self._asked
                self._last = await self._once(why)
                self._metrics.reloaded(self._last.result)
        return self._last

    async def close(self) -> None:
        """End the compiler, and close the current snapshot and those that still drain."""
        await self.stop()
        await self._compiler.close()
        if self._last_good is not None:
            self._last_good.discard()
        for task in self._draining:
            task.cancel()
        await asyncio.gather(*self._draining, return_exceptions=True)
        await self.snapshot.close()

    async def _once(self, why: str) -> Reloaded:
        began = time.monotonic()
        try:
            keep = self._last_good.next if self._last_good is not None else None
            compiled = await self._compiler.compile(self.snapshot.plan, keep)
        except CompileFault as fault:
            return self._reject(None, [_diagnostic("E500", str(fault))], why)
        if compiled.content is not None:
            self.content = compiled.content
        if compiled.plan is None or compiled.settings is None:
            return self._reject(None, compiled.diagnostics, why)
        plan, settings = compiled.plan, self._over(compiled.settings)
        if (compiled.bare and not self.bare) or (
            self.snapshot.plan.manifest.routes and not plan.manifest.routes
        ):
            return self._reject(plan.revision, [_diagnostic("E503", _GONE)], why)
        if settings.fixed() != self._settings.fixed():
            changed = _diagnostic(
                "E501",
                "`listen`, `tls`, `admin`, `probes`, `workers` or `state` changed; a running sidecar keeps "
                "its addresses, its number of processes and its state store",
            )
            return self._reject(plan.revision, [changed], why)
        if plan.revision == self.snapshot.revision:
            same = self._same(settings, why)
            await self._keep()
            return same
        needed: secret_check.Needed = {}
        await slices.run(secret_check.newly_missing(self.snapshot.plan, plan, os.environ, needed))
        if needed:
            lacks = [found.as_json() for found in secret_check.told(needed)]
            return self._reject(plan.revision, lacks, why)
        try:
            with garbage.quiet():
                snapshot = await self._provision(plan)
        except ProvisionFault as fault:
            return self._reject(plan.revision, [_diagnostic("E502", str(fault))], why)
        state = Fate()
        await slices.run(work_out(self.snapshot.plan, plan, state))
        told = state.as_json(_MOST_NAMES)
        if (amounts := await self._amounts(plan, state)) is not None:
            told["budgets"]["amounts"] = amounts
        if self._commit is not None:
            await self._commit(snapshot, settings)
        self._publish(snapshot, settings)
        self.bare = compiled.bare
        garbage.plan_is_live(plan)
        took = round((time.monotonic() - began) * 1000)
        self._status.state = told
        self._log.info("reload_ack", revision=plan.revision, why=why, ms=took, state=told)
        await self._keep()
        return Reloaded("ack", plan.revision, compiled.diagnostics, told)

    async def _amounts(self, plan: Plan, state: Fate) -> list[str] | None:
        """What becomes of what budgets have counted, in words."""
        old = self.snapshot.plan
        if self._counts is None or not old.money().budgets:
            return None
        try:
            async with asyncio.timeout(COUNTS_S):
                counts = await self._counts(old)
        except Exception as error:  # noqa: BLE001 - whatever ails a store, it holds up no reload
            self._log.warning("counts_unknown", why=f"{type(error).__name__}: {error}")
            return ["nobody knows now: the state store did not answer"]
        return lines(old.money(), plan.money(), state.budgets, counts, _MOST_NAMES)

    async def _keep(self) -> None:
        """What runs now is the last good plan. Without a place to keep it this is told, and no more."""
        if self._last_good is None:
            return
        why = await self._compiler.kept()
        if why is None:
            try:
                await asyncio.to_thread(self._last_good.commit)
            except OSError as error:
                why = f"{self._last_good.path}: {error.strerror or error}"
        if why is not None:
            self._log.warning("last_good_not_kept", why=why)

    def _publish(self, snapshot: Snapshot, settings: ProcessSettings) -> None:
        old, self.snapshot = self.snapshot, snapshot
        self._settings = settings
        self._status.live(snapshot.revision, time.time())
        self._published(snapshot, settings)
        task = asyncio.get_running_loop().create_task(retire(old))
        self._draining.add(task)
        task.add_done_callback(self._draining.discard)

    def _same(self, settings: ProcessSettings, why: str) -> Reloaded:
        """What runs already. If something had been rejected, going back on it is what makes it right."""
        self._settings = settings
        self._published(self.snapshot, settings)
        if self._status.rejected is None:
            self._log.info("reload_unchanged", revision=self.snapshot.revision, why=why)
            return Reloaded("unchanged", self.snapshot.revision)
        self._status.agree()
        self._log.info("reload_ack", revision=self.snapshot.revision, why=why, ms=0)
        return Reloaded("ack", self.snapshot.revision)

    def _reject(self, revision: str | None, diagnostics: Sequence[dict[str, Any]], why: str) -> Reloaded:
        self._status.reject(revision, diagnostics, time.time())
        errors = [d for d in diagnostics if d["severity"] == "error"]
        self._log.error(
            "reload_nack",
            why=why,
            revision=revision,
            running=self.snapshot.revision,
            errors=len(errors),
            diagnostics=[_line(d) for d in errors],
        )
        return Reloaded("nack", self.snapshot.revision, diagnostics)


def _shutting_down() -> EngineError:
    return EngineError("the sidecar is shutting down", status=503, code="shutting_down", failure="full")


def _diagnostic(code: str, message: str) -> dict[str, Any]:
    return Diagnostic(code, message).as_json()


def _line(diagnostic: dict[str, Any]) -> str:
    """A diagnostic on one line, as compilers print it."""
    place = ""
    if diagnostic["file"] is not None:
        place = f"{diagnostic['file']}:{diagnostic['line']}:{diagnostic['column']}: "
    return f"{place}{diagnostic['severity']}[{diagnostic['code']}]: {diagnostic['message']}"
