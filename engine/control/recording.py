"""Where a process's decision records go on disk: the decision log and the usage store, over its plans.

A plan says which; what two plans say alike stays open between them. Opening comes before a plan runs, so that
a file which cannot be written is a reason not to run it.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from engine.plan.types import Settings, UsageFile
from engine.runtime.sinks import JsonLines, Sink

if TYPE_CHECKING:
    from engine.observe.metrics import Metrics
    from engine.usage.writer import UsageLog

log = logging.getLogger("engine.usage")


@dataclass(frozen=True, slots=True)
class Opened:
    """What a plan's settings ask for, open. fault: why an optional usage store is not."""

    settings: Settings
    decisions: JsonLines | None = None
    usage: UsageLog | None = None
    fault: str | None = None

    def sinks(self) -> list[Sink]:
        """What takes records."""
        return [sink for sink in (self.decisions, self.usage) if sink is not None]

    def close(self, kept: Opened | None = None) -> None:
        """Write what waits and close the files, but those that `kept` has too. Blocks."""
        for sink in (self.decisions, self.usage):
            if sink is not None and (kept is None or (sink is not kept.decisions and sink is not kept.usage)):
                sink.close()


_NOTHING = Opened(Settings())


class Recording:
    """Of one process. root: the workspace, which paths are relative to. serves: it is a sidecar, which keeps
    usage also where no file says so; a script that asks once leaves no file behind.
    """

    def __init__(self, root: Path, *, serves: bool = True) -> None:
        self._root, self._serves = root, serves
        self._now = _NOTHING

    async def open(self, settings: Settings) -> Opened:
        """Open what these settings ask for. Raises OSError, ValueError: it cannot be."""
        if not self._serves and settings.usage is not None and settings.usage.optional:
            settings = replace(settings, usage=None)
        return await asyncio.to_thread(self._open, settings)

    def take(self, opened: Opened) -> list[Sink]:
        """From here on records go there; what is needed no more is closed beside the loop."""
        old, self._now = self._now, opened
        asyncio.get_running_loop().run_in_executor(None, old.close, opened)
        return opened.sinks()

    async def drop(self, opened: Opened) -> None:
        """What was opened is not wanted after all."""
        await asyncio.to_thread(opened.close, self._now)

    async def close(self) -> None:
        """Write what waits. The end of the process."""
        await asyncio.to_thread(self._now.close)

    # --- what is told -------------------------------------------------------------------------------------

    def refuses(self) -> str | None:
        """Why no request may be served, where each has to be recorded; None: it may."""
        usage = self._now.usage
        return None if usage is None else usage.refuses

    def status(self) -> dict[str, Any] | None:
        """How the usage store is doing; None: there is none."""
        now = self._now
        if now.fault is not None and now.settings.usage is not None:
            return {"file": now.settings.usage.file, "failing": now.fault}
        return None if now.usage is None else now.usage.told()

    def figures(self, metrics: Metrics) -> None:
        """Register the figures of both."""
        metrics.counter(
            "engine_decision_log_dropped",
            "Records that the decision log's file was too slow or too full for.",
            (),
            lambda: (((), 0 if self._now.decisions is None else self._now.decisions.dropped),),
        )
        metrics.counter(
            "engine_usage_dropped",
            "Records that the usage store was too slow or too full for.",
            (),
            lambda: (((), 0 if self._now.usage is None else self._now.usage.dropped),),
        )
        metrics.gauge(
            "engine_usage_waiting",
            "Records that are not in the usage store yet.",
            (),
            lambda: (((), 0 if self._now.usage is None else self._now.usage.waiting),),
        )

    # --- opening ------------------------------------------------------------------------------------------

    def _open(self, settings: Settings) -> Opened:
        now, path = self._now, settings.decision_log
        decisions = now.decisions
        if path != now.settings.decision_log:
            decisions = None if path is None else JsonLines(self._root / path)
        same = (settings.usage, settings.timezone) == (now.settings.usage, now.settings.timezone)
        if settings.usage is None or (same and now.fault is None):
            return Opened(settings, decisions, now.usage if same else None)
        try:
            usage, fault = self._usage(settings.usage, settings.timezone)
        except ValueError:
            Opened(settings, decisions).close(now)
            raise
        return Opened(settings, decisions, usage, fault)

    def _usage(self, file: UsageFile, zone: str | None) -> tuple[UsageLog | None, str | None]:
        # Deferred: a process that keeps nothing does not load SQLite.
        from engine.usage.store import StoreFault, UsageStore
        from engine.usage.writer import UsageLog

        of = None if zone is None else ZoneInfo(zone)
        try:
            return UsageLog(UsageStore(self._root / file.file, of), file, of), None
        except StoreFault as fault:
            if not file.optional:
                raise
            log.warning("usage is not kept: %s", fault)
            return None, str(fault)
