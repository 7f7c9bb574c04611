"""What runs and what was rejected: the contract's `/admin/status`, and its figures for the metrics."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from engine.observe.metrics import Metrics
from engine.version import VERSION

SCHEMA_VERSION = 1


@dataclass(slots=True)
class Rejected:
    """A NACK: the revision where one was sealed, and why it does not run."""

    revision: str | None
    diagnostics: Sequence[dict[str, Any]]
    at: float


@dataclass(slots=True)
class Status:
    """Active and rejected revisions of one process. Times are epoch seconds.

    state: what the last change of the plan made of state (`plan.fate`), and of what budgets had counted.
    last_good: the plan is one from before a restart, because the files were broken at the start.
    more: parts that others know (local models, deployments, listeners), asked when the status is.
    """

    revision: str
    since: float
    rejected: Rejected | None = None
    last_good: bool = False
    state: dict[str, Any] | None = None
    started: float = field(default_factory=time.time)
    more: dict[str, Callable[[], Any]] = field(default_factory=dict)

    def live(self, revision: str, at: float) -> None:
        """ACK: this revision runs from now on, and nothing is rejected."""
        self.revision = revision
        self.since = at
        self.agree()

    def agree(self) -> None:
        """What runs is what the files say."""
        self.rejected = None
        self.last_good = False

    def reject(self, revision: str | None, diagnostics: Sequence[dict[str, Any]], at: float) -> None:
        """NACK: the last good revision serves on."""
        self.rejected = Rejected(revision, diagnostics, at)

    def gauges(self, metrics: Metrics) -> None:
        """Register the figures of what runs."""
        gauge = metrics.gauge
        gauge("engine_plan_info", "The plan that runs.", ("revision",), lambda: (((self.revision,), 1),))
        gauge("engine_plan_since_seconds", "When it went live.", (), lambda: (((), self.since),))
        gauge(
            "engine_plan_rejected",
            "1 while the workspace's files hold something that was rejected.",
            (),
            lambda: (((), float(self.rejected is not None)),),
        )
        gauge(
            "engine_plan_last_good",
            "1 while the plan is one from before a restart, because the files are broken.",
            (),
            lambda: (((), float(self.last_good)),),
        )

    def as_json(self) -> dict[str, Any]:
        rejected = self.rejected
        return {
            "revision": self.revision,
            "since": stamp(self.since),
            "rejected": None
            if rejected is None
            else {
                "revision": rejected.revision,
                "diagnostics": list(rejected.diagnostics),
                "at": stamp(rejected.at),
            },
            "last_good": self.last_good,
            "state": self.state,
            "schema": SCHEMA_VERSION,
            "version": VERSION,
            "started": stamp(self.started),
            "uptime_s": round(time.time() - self.started, 3),
            **{name: ask() for name, ask in self.more.items()},
        }


def stamp(at: float) -> str:
    """Epoch seconds as RFC 3339, UTC, with milliseconds."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
