"""A budget that had no room: in words for the record, and as the error that a client gets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo

from engine.errors import BudgetExceeded, EngineError, NotAdmitted, StateUnavailable
from engine.plan.money import Budget
from engine.state.ledger import Refused
from engine.units import shown_amount

#: When a store that cannot be asked is worth another try.
RETRY_MS = 1_000


@dataclass(frozen=True, slots=True)
class Shortfall:
    """An attempt that was refused. amount: its worst case, in the budget's unit. at_ms: when, in epoch ms."""

    budget: Budget
    partition: str
    amount: int
    refused: Refused
    at_ms: int

    @property
    def called(self) -> str:
        """The budget with its partition."""
        return f"`{self.budget.name}`" + (f" ({self.partition})" if self.partition else "")

    def words(self) -> str:
        """What stands in the record."""
        if self.refused.why == "store":
            return f"the budget {self.called} cannot be asked now: its state store is away"
        measure = self.budget.measure
        amount, used = shown_amount(measure, self.amount), shown_amount(measure, self.refused.used)
        limit = shown_amount(measure, self.budget.limit)
        return f"the budget {self.called} has no room for {amount}: {used} of {limit} are spent or held"


def told(shortfalls: Sequence[Shortfall], zone: tzinfo) -> EngineError:
    """The error for a client, of the budget that has room last.

    Args:
        shortfalls: at least one.
        zone: the workspace's, which the moment is told in.
    """
    away = next((each for each in shortfalls if each.refused.why == "store"), None)
    if away is not None:
        return StateUnavailable(away.words(), retry_after_ms=away.refused.retry_after_ms or RETRY_MS)
    worst = max(shortfalls, key=_waits)
    after = worst.refused.retry_after_ms
    if after is None:
        again = "no such request fits: ask for fewer tokens (max_tokens), or have the budget raised"
    else:
        at = datetime.fromtimestamp(-(-(worst.at_ms + after) // 1000), zone).isoformat()
        again = f"it has room again at {at}"
    return BudgetExceeded(
        f"{worst.words()}; {again}",
        budget=worst.budget.name,
        partition=worst.partition,
        retry_after_ms=after,
    )


def too_dear(why: str) -> BudgetExceeded:
    """The error of a request that may not cost so much."""
    return BudgetExceeded(why, budget="per_request.cost", partition="", retry_after_ms=None)


def no_partition(budget: str, per: str) -> NotAdmitted:
    """The error of a request that has no value of `per`."""
    words = f"the budget `{budget}` is kept by `{per}`, and this request has no value for it"
    return NotAdmitted(words, status=403, code="budget_partition_missing")


def _waits(shortfall: Shortfall) -> float:
    after = shortfall.refused.retry_after_ms
    return float("inf") if after is None else after
