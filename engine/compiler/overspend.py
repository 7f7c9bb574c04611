"""How far a budget can be overspent, by where its counts are kept: a figure, and the words for it.

Of each value of `per` and each window. What a vendor bills beyond the worst case of a call (a price or a
limit of output that is not so) is in no bound: it is counted, and the next call finds less left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from engine import units
from engine.plan.money import Budget
from engine.spec.settings import Settings

Store = Literal["memory", "sqlite", "redis"]


@dataclass(frozen=True, slots=True)
class Counting:
    """Where a fleet counts: the store, hosts that serve, processes on each. replicas: None: nobody says."""

    store: Store
    replicas: int | None = None
    workers: int = 1

    @property
    def hosts(self) -> int:
        return self.replicas or 1


@dataclass(frozen=True, slots=True)
class Bound:
    """amount: at most so much beyond the limit, in the budget's unit."""

    amount: int
    words: str


def counting(settings: Settings) -> Counting:
    """As engine.yaml says."""
    kind = str(settings.state).partition(":")[0]
    store: Store = "memory" if kind == "memory" else "sqlite" if kind == "sqlite" else "redis"
    return Counting(store, settings.replicas, settings.workers)


def overspend(budget: Budget, where: Counting) -> Bound:
    """How far a budget can be overspent there."""
    if where.store == "memory":
        return _memory(budget, where)
    if where.store == "sqlite":
        return _sqlite(budget, where)
    return _redis(budget, where)


def _memory(budget: Budget, where: Counting) -> Bound:
    processes = where.workers * where.hosts
    words = "memory: forgotten at every restart"
    if processes == 1:
        return Bound(budget.limit, f"{words}, so up to {show(budget.limit, budget)} more after each")
    who = f"{processes} workers" if where.hosts == 1 else f"{processes} processes on {where.hosts} hosts"
    more = (processes - 1) * budget.limit
    return Bound(
        more + budget.limit,
        f"{words}, and each of {who} counts for itself: {show(more, budget)} more between restarts",
    )


def _sqlite(budget: Budget, where: Counting) -> Bound:
    nothing, lent, away = show(0, budget), 0, ""
    if budget.on_state_loss == "local_share":
        lent, figure = _lent(budget, where)
        away = f"; while the file cannot be written at most {figure}"
    if where.hosts == 1:
        further = "" if where.replicas == 1 else "; each further host counts for itself"
        return Bound(lent, f"SQLite: {nothing} on this host{away}{further}")
    more = (where.hosts - 1) * budget.limit
    words = f"SQLite: {nothing} on a host, and each of {where.hosts} counts for itself: {show(more, budget)}"
    return Bound(more + lent, f"{words}{away}")


def _redis(budget: Budget, where: Counting) -> Bound:
    nothing = show(0, budget)
    if budget.on_state_loss == "reject":
        return Bound(
            0, f"Redis: {nothing}; while it is away each process spends what it had drawn, and then rejects"
        )
    more, figure = _lent(budget, where)
    each = "" if where.replicas is not None else " (as many more for each further host)"
    return Bound(more, f"Redis: {nothing}; while it is away at most {figure}{each}")


def _lent(budget: Budget, where: Counting) -> tuple[int, str]:
    """What processes use by themselves while the store is away, together, and how that comes."""
    share, processes = int(budget.limit * budget.share), where.workers * where.hosts
    more = processes * share
    return more, f"{processes} x {show(share, budget)} = {show(more, budget)}"


def show(amount: int, budget: Budget) -> str:
    """An amount of a budget for people."""
    return f"{units.show_count(amount)} tokens" if budget.measure == "tokens" else units.show_money(amount)
