"""The state of one process, in memory: leases, open attempts, latency, counters.

Everything answers at once. State hangs on a deployment's name, not on a plan, so it lives on when a plan is
replaced. Its own invariants hold in production too: a store that counts wrong must not go on silently.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Collection
from dataclasses import dataclass, field
from typing import Any, Protocol

from engine.plan.fate import Fate
from engine.policies.ewma import PeakEwma
from engine.policies.percentile import Window
from engine.state.kept import Kept
from engine.state.protocol import Granted, Hold, Spent

#: What a failed call counts as at least, in ms: a deployment that fails fast is not a quick one.
FAILURE_MS = 1_000.0


@dataclass(slots=True)
class Seen:
    """What is known of one deployment. Amounts in nano-dollars."""

    in_flight: int = 0
    held: int = 0
    spent: int = 0
    calls: int = 0
    failures: int = 0
    latency: PeakEwma = field(default_factory=PeakEwma)
    times: Window = field(default_factory=Window)


@dataclass(slots=True)
class Audit:
    """How many leases were ever granted and how each ended: granted = settled + released + open."""

    granted: int = 0
    settled: int = 0
    released: int = 0


class Keeper(Protocol):
    """Keeps values for more than this process."""

    def recall(self, space: str, key: str, now_ms: int) -> Any | Awaitable[Any]: ...

    def keep(self, space: str, key: str, value: Any, ttl_ms: int, now_ms: int) -> None: ...


class MemoryState:
    """Implements `engine.state.protocol.State`."""

    def __init__(self) -> None:
        self._seen: dict[str, Seen] = {}
        self._open: dict[int, Hold] = {}
        self._by_attempt: dict[tuple[str, int], int] = {}
        self._counters: dict[str, int] = {}
        self._last_lease = 0
        self._ended: set[str] = set()  # names of no plan any more, kept while calls under them are open
        self.kept = Kept()
        #: What several hosts keep together, over what this process does.
        self.shared: Keeper | None = None
        self.audit = Audit()

    def reserve(self, hold: Hold, now_ms: int) -> Granted:
        """Grant a lease; the same attempt gets the same lease again."""
        known = self._by_attempt.get((hold.request_id, hold.attempt))
        if known is not None:
            return Granted(known)
        seen = self.seen(hold.deployment)
        self._last_lease += 1
        lease = self._last_lease
        self._open[lease] = hold
        self._by_attempt[hold.request_id, hold.attempt] = lease
        seen.in_flight += 1
        seen.held += hold.cost
        self.audit.granted += 1
        return Granted(lease)

    def settle(self, lease: int, spent: Spent, now_ms: int) -> None:
        """Turn a lease into what was really spent."""
        seen = self._close(lease)
        if seen is not None:
            seen.spent += spent.cost
            self.audit.settled += 1

    def release(self, lease: int, now_ms: int) -> None:
        """Give a lease back: nothing was spent."""
        if self._close(lease) is not None:
            self.audit.released += 1

    def observe(self, deployment: str, ok: bool, latency_ms: float | None, now_ms: int) -> None:
        """Take in how a call went."""
        seen = self.seen(deployment)
        seen.calls += 1
        seen.failures += not ok
        if not ok:
            seen.latency.observe(max(latency_ms or 0.0, FAILURE_MS), now_ms)
        elif latency_ms is not None:
            seen.latency.observe(latency_ms, now_ms)
            seen.times.observe(latency_ms)

    def in_flight(self, deployment: str) -> int:
        seen = self._seen.get(deployment)
        return 0 if seen is None else seen.in_flight

    def latency(self, deployment: str, now_ms: int) -> float:
        seen = self._seen.get(deployment)
        return math.nan if seen is None else seen.latency.read(now_ms)

    def percentile(self, deployment: str, share: float) -> float:
        seen = self._seen.get(deployment)
        return math.nan if seen is None else seen.times.read(share)

    def recall(self, space: str, key: str, now_ms: int) -> Any | Awaitable[Any]:
        """What is kept; something to await where other hosts may know."""
        return (self.shared or self.kept).recall(space, key, now_ms)

    def keep(self, space: str, key: str, value: Any, ttl_ms: int, now_ms: int) -> None:
        (self.shared or self.kept).keep(space, key, value, ttl_ms, now_ms)

    def next(self, key: str) -> int:
        number = self._counters.get(key, 0)
        self._counters[key] = number + 1
        return number

    def called(self) -> Collection[str]:
        """Names of the deployments that something is known of."""
        return self._seen.keys()

    def carry(self, fate: Fate) -> None:
        """A plan was published in the place of another.

        What has another name now is known under both while calls under the old one are open. Counts of open
        calls are never reset: they go on.
        """
        names = fate.deployments
        for new, old in names.moves.items():
            if old in self._seen:
                self._seen[new] = self._seen[old]
        for name in names.resets:
            if name in self._seen:
                was = self._seen[name]
                was.latency, was.times, was.calls, was.failures = PeakEwma(), Window(), 0, 0
        self._ended.update(names.ends, names.moves.values())
        self._ended.difference_update(names.begins, names.moves)
        for name in [name for name in self._ended if self.in_flight(name) == 0]:
            self._ended.discard(name)
            self._seen.pop(name, None)

    def open_leases(self) -> int:
        return len(self._open)

    def seen(self, deployment: str) -> Seen:
        """What is known of a deployment; an empty account where nothing is."""
        found = self._seen.get(deployment)
        if found is None:
            found = self._seen[deployment] = Seen()
        return found

    def _close(self, lease: int) -> Seen | None:
        """Take a lease out of the books; None where somebody has closed it already."""
        hold = self._open.pop(lease, None)
        if hold is None:
            if not 0 < lease <= self._last_lease:
                raise AssertionError(f"lease {lease} was never granted")
            return None
        del self._by_attempt[hold.request_id, hold.attempt]
        seen = self._seen[hold.deployment]
        seen.in_flight -= 1
        seen.held -= hold.cost
        # Not an `assert` statement: `python -O` must not take it away.
        if seen.in_flight < 0 or seen.held < 0:
            raise AssertionError(f"{hold.deployment}: more was given back than was taken")
        return seen
