"""Budgets and limits as they run: how much of what, over which time, for whom, and what happens at the end.

Amounts are whole: nano-dollars (10**-9 USD) of money, tokens, requests, requests open at a time. Times are
milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from engine.plan.values import Expr, Secret

#: What is counted. `cost` in nano-dollars.
Measure = Literal["cost", "tokens", "requests", "concurrent"]

#: What happens while the state store cannot be asked.
OnStateLoss = Literal["reject", "local_share"]


@dataclass(frozen=True, slots=True)
class Window:
    """Over which time a budget counts.

    kind: a calendar unit in the workspace's time zone; `every`: of a fixed length, counted from 1970-01-01
        UTC; `rolling`: the last `ms`, whenever one looks.
    ms: the length of `every` and `rolling`; None for calendar units.
    """

    kind: Literal["day", "week", "month", "quarter", "every", "rolling"]
    ms: int | None = None


@dataclass(frozen=True, slots=True)
class BudgetStep:
    """At this share of the limit: who is told, and where requests go from there on (a name of `Jumps`).

    At 1.0 it applies when the worst case of a call no longer fits; below, to spent plus reserved.
    """

    at: float
    alert: str | None = None
    use: str | None = None


@dataclass(frozen=True, slots=True)
class Budget:
    """Money or tokens in a time.

    per: the partition: one budget for each of its values; None: one for all.
    missing: of a request without a value of `per`: rejected, or counted in one shared partition.
    was: an old name, under which counts of this window may stand.
    share: the part of the limit that a process may use by itself while the store is away (`local_share`).
    """

    name: str
    measure: Literal["cost", "tokens"]
    limit: int
    window: Window
    per: Expr | None = None
    missing: Literal["reject", "share"] = "reject"
    steps: tuple[BudgetStep, ...] = ()
    was: str | None = None
    on_state_loss: OnStateLoss = "reject"
    share: float = 0.0


@dataclass(frozen=True, slots=True)
class Rate:
    """So many in a time. `bucket`: refilled evenly, `burst` at once; `sliding`: the last `period_ms`."""

    amount: int
    period_ms: int
    burst: int
    shape: Literal["bucket", "sliding"] = "bucket"


@dataclass(frozen=True, slots=True)
class Limit:
    """How many requests or tokens in a time, or requests at once.

    per: one limit for each of its values (an empty one is a value too); None: one for all.
    on_exceed: `queue` waits up to `wait_ms`, at most `queue` of a partition in each process; `use` goes on at
        that name of `Jumps`.
    scope: `fleet`: counted in the state store; `host`: by each host, in its SQLite file, else by each
        process.
    told: clients are told how they stand.
    """

    name: str
    per: Expr | None = None
    requests: Rate | None = None
    tokens: Rate | None = None
    concurrent: int | None = None
    on_exceed: Literal["reject", "queue", "use"] = "reject"
    wait_ms: int = 0
    queue: int = 0
    use: str | None = None
    scope: Literal["fleet", "host"] = "fleet"
    on_state_loss: OnStateLoss = "local_share"
    share: float = 0.0
    told: bool = False


@dataclass(frozen=True, slots=True)
class Alert:
    """Who is told: the log at this level, or a webhook in this form."""

    name: str
    log: Literal["info", "warning", "error"] | None = None
    webhook: Secret | None = None
    format: Literal["json", "slack"] = "json"


@dataclass(frozen=True, slots=True)
class MoneySegment:
    """All budgets and limits of a plan, by name, and who is told of the budgets. `always`: budgets that every
    call counts in, whatever its route, so those too that the engine makes by itself (probes).
    """

    budgets: Mapping[str, Budget] = field(default_factory=dict)
    limits: Mapping[str, Limit] = field(default_factory=dict)
    always: tuple[str, ...] = ()
    alerts: Mapping[str, Alert] = field(default_factory=dict)


NO_MONEY = MoneySegment()
