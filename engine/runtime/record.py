"""The decision record: the one thing kept of a request; usage, explain and audit are views of it.

Content-free: names, numbers, classes and reasons, never a prompt, an answer or a secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from engine.wire.canonical import Served
from engine.wire.pricing import Cost

SCHEMA_VERSION = 1

_NO_COST = Cost()

#: The ends of all moments: every request makes one.
_MS: Final = tuple(f".{ms:03d}+00:00" for ms in range(1000))


def moment(wall: float) -> str:
    """Seconds since 1970 as RFC 3339 in UTC, to the millisecond."""
    whole = int(wall)
    second, ms = divmod(whole * 1000 + round((wall - whole) * 1e6) // 1000, 1000)
    return _second(second) + _MS[ms]


@lru_cache(maxsize=2)
def _second(second: int) -> str:
    """Of a busy second's requests one pays for it."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


@dataclass(slots=True)
class BudgetUse:
    """What an attempt held in a budget, and what it used of it; None: it is still open.

    measure: what the budget counts: `cost` in nano-dollars, or `tokens`.
    """

    name: str
    partition: str
    reserved: int
    settled: int | None = None
    measure: str = "cost"


@dataclass(slots=True)
class AttemptRecord:
    """One upstream call. Times are ms after the request began; None = did not happen."""

    number: int
    deployment: str
    node: str
    provider: str
    model: str
    started_ms: float
    failure: str | None = None  # failure class; None = served
    status: int | None = None
    message: str | None = None  # the engine's own words; the vendor's only where the class allows
    first_token_ms: float | None = None
    ended_ms: float | None = None
    usage: dict[str, Any] = field(default_factory=dict)
    estimated: bool = False
    reserved: int = 0  # nano-dollars held while it ran
    cost: Cost = _NO_COST  # nano-dollars by kind of token
    closed: str | None = None  # "settled" or "released"
    dropped: tuple[str, ...] = ()
    credential: str | None = None  # the name of the one that was shown
    budgets: list[BudgetUse] = field(default_factory=list)
    role: str = "answer"  # or hedge, judge, mirror, classify, embed, continue, probe


@dataclass(slots=True)
class Step:
    """One move on the path: at this node, this happened, because."""

    node: str
    what: str
    why: str


@dataclass(slots=True)
class DecisionRecord:
    """Everything that was decided for one request."""

    id: str
    at: str  # RFC 3339, UTC
    revision: str
    route: str | None = None
    model: str | None = None  # what the client asked for
    operation: str = "chat"
    dialect: str | None = None
    stream: bool = False
    key: str | None = None  # the client key's id
    key_name: str | None = None
    org: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    input_tokens: int | None = None
    input_exact: bool = False
    path: list[Step] = field(default_factory=list)
    attempts: list[AttemptRecord] = field(default_factory=list)
    served_by: str | None = None
    variant: str | None = None  # the arm of a split
    cache: str | None = None  # hit, miss or bypass, where the route has a cache
    failure: str | None = None
    refused_by: str | None = None  # the budget or limit that had no room: `budget/NAME` or `limit/NAME`
    status: int = 200
    finish: str | None = None
    duration_ms: float | None = None
    committed_ms: float | None = None
    dropped: tuple[str, ...] = ()
    probe_of: str | None = None  # the deployment that the engine asked by itself, for no client
    aside_of: str | None = None  # the id of the request that this is a copy of, which no client waits for
    schema: int = SCHEMA_VERSION

    @property
    def cost(self) -> int:
        """Nano-dollars over all attempts."""
        attempts = self.attempts
        if len(attempts) == 1:  # of most requests
            return attempts[0].cost.total
        return sum(attempt.cost.total for attempt in attempts)

    @property
    def micros(self) -> int:
        """The cost as clients are told it: in millionths of a dollar, rounded half up."""
        return (self.cost + 500) // 1000

    def served(self) -> Served:
        """How the request was served, as far as it has come."""
        told = Served(cost=self.micros / 1_000_000, calls=len(self.attempts))
        if self.served_by is not None:
            told["deployment"] = self.served_by
        return told
