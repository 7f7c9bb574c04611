"""Looks at the event loop, open files and memory of this process, and refuses requests before they fail.

A look every `LOOK_S`: how late it comes is the loop's lateness; the rest is read beside it. Between two looks
a decision is a comparison. What is refused are requests for models; control paths and probes answer always,
and while files are short idle connections are closed for them.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from engine.errors import Overloaded
from engine.observe.log import Log
from engine.observe.metrics import Metrics
from engine.observe.resources import Memory, files_share
from engine.policies.shedding import Lateness, late_pressure, refused, share_pressure

LOOK_S: Final = 0.1
#: A loop that is late by so much was blocked: something ran in it that should not.
BLOCKED_MS: Final = 100.0
#: Whoever is refused is told to come back after this long.
RETRY_MS: Final = 1_000
#: Nobody reads more lines than one of a kind in so long.
_QUIET_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """From where on requests are refused: the loop's lateness in ms, shares of files and of memory."""

    lag_ms: int
    files: float
    memory: float


class Pressure:
    """One process's. `level` is the share of requests that are refused now, `why` for what."""

    def __init__(
        self,
        metrics: Metrics,
        log: Log,
        *,
        files: Callable[[], float] = files_share,
        memory: Callable[[], float] | None = None,
        draw: Callable[[], float] | None = None,
        unrecorded: Callable[[], str | None] = lambda: None,
    ) -> None:
        self.level = 0.0
        self.why = ""
        self.bounds: Bounds | None = None
        self.short_of_files: Callable[[], None] | None = None  # called at each look while files are short
        self._lateness = Lateness()
        self._files, self._memory = files, memory or Memory().share
        self._draw = draw or Random().random
        self._log = log
        self._used = {"files": math.nan, "memory": math.nan}
        self._unrecorded = unrecorded  # why nothing may be served that could not be recorded
        self._pressed = dict.fromkeys(("lag", "files", "memory", "usage"), 0.0)
        self._shed = dict.fromkeys(self._pressed, 0)
        self._blocked = 0
        self._told: dict[str, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._figures(metrics)

    def start(self) -> None:
        """Look from now on, on the running loop."""
        loop = asyncio.get_running_loop()
        self._timer = loop.call_at(loop.time() + LOOK_S, self._look, loop, loop.time() + LOOK_S)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def check(self) -> None:
        """Raises Overloaded for a request that is refused. Ask only while `level` is not 0."""
        if refused(self.level, self._draw()):
            self._shed[self.why] += 1
            if self.why == "usage":
                raise Overloaded(
                    "requests have to be recorded, and the usage store cannot be written now; try again",
                    retry_after_ms=RETRY_MS,
                )
            raise Overloaded("the gateway has too much to do now; try again", retry_after_ms=RETRY_MS)

    def take(self, late_ms: float) -> None:
        """One look: what it found decides until the next."""
        self._lateness.look(late_ms)
        if late_ms >= BLOCKED_MS:
            self._blocked += 1
            self._tell("loop_blocked", late_ms=round(late_ms))
        used = self._used
        used["files"], used["memory"] = self._files(), self._memory()
        bounds = self.bounds
        if bounds is None:
            return
        pressed = self._pressed
        pressed["lag"] = late_pressure(self._lateness.standing, bounds.lag_ms)
        pressed["files"] = share_pressure(used["files"], bounds.files)
        pressed["memory"] = share_pressure(used["memory"], bounds.memory)
        pressed["usage"] = float(self._unrecorded() is not None)
        self.why = max(pressed, key=lambda name: pressed[name])
        self.level = pressed[self.why]
        if self.level:
            self._tell("shedding", resource=self.why, refused=f"{self.level:.0%}")
        if pressed["files"] and self.short_of_files is not None:
            self.short_of_files()

    def told(self) -> dict[str, Any]:
        """For `/admin/status`."""
        used = {name: None if math.isnan(share) else round(share, 3) for name, share in self._used.items()}
        return {
            "refused": round(self.level, 3),
            "for": self.why if self.level else None,
            "loop_lag_ms": round(self._lateness.standing, 1),
            **used,
        }

    def _look(self, loop: asyncio.AbstractEventLoop, meant: float) -> None:
        now = loop.time()
        self.take((now - meant) * 1000)
        self._timer = loop.call_at(now + LOOK_S, self._look, loop, now + LOOK_S)

    def _tell(self, event: str, **fields: object) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._told.get(event, -math.inf) >= _QUIET_S:
            self._told[event] = now
            self._log.warning(event, **fields)

    def _figures(self, metrics: Metrics) -> None:
        metrics.gauge(
            "engine_loop_lag_seconds",
            "How late the event loop is: standing (the least of the last looks), worst (of the last 10 s).",
            ("which",),
            lambda: [
                (("standing",), self._lateness.standing / 1000),
                (("worst",), self._lateness.worst / 1000),
            ],
            "max",
        )
        metrics.counter(
            "engine_loop_blocked",
            f"Looks at the event loop that came {BLOCKED_MS:.0f} ms late or later.",
            (),
            lambda: (((), self._blocked),),
        )
        metrics.gauge(
            "engine_resource_used",
            "Share of a limit that is used; above its setting under `overload` requests are refused.",
            ("resource",),
            lambda: [((name,), share) for name, share in self._used.items() if not math.isnan(share)],
            "max",
        )
        metrics.gauge(
            "engine_shedding", "Share of new requests that are refused.", ("resource",),
            lambda: [((name,), share) for name, share in self._pressed.items()], "max",
        )  # fmt: skip
        metrics.counter(
            "engine_requests_shed", "Requests refused before they were read.", ("resource",),
            lambda: [((name,), float(count)) for name, count in self._shed.items()],
        )  # fmt: skip
        metrics.gauge(
            "engine_tasks", "Tasks of the event loop.", (), lambda: (((), len(asyncio.all_tasks())),)
        )
