"""What one request may spend, and what it has spent so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from engine.runtime.shortfall import Shortfall
from engine.runtime.terms import BudgetTerm


class Fund(NamedTuple):
    """A budget, and the partition of it that a request counts in; None: it depends on the deployment."""

    term: BudgetTerm
    partition: str | None


class Purse:
    """Of one request. Costs in nano-dollars.

    most: `per_request.cost`. held, spent: of it, by all attempts so far. shares: of budgets, how much of the
    limit was spent or held when the request began; only those that somebody asks for. tells: somebody is told
    of a step below 100%. shortfalls: the budgets that had no room; beyond: how `per_request.cost` had none.
    busy: a target was skipped that may have room in a moment, without any money.
    """

    __slots__ = (
        "beyond",
        "busy",
        "funds",
        "held",
        "holds",
        "most",
        "shares",
        "shortfalls",
        "spent",
        "tells",
    )

    def __init__(self, funds: Sequence[Fund], most: int | None, shares: Mapping[str, float]) -> None:
        self.funds = funds
        self.tells = any(fund.term.told for fund in funds)
        self.most = most
        self.shares = shares
        self.held = self.spent = self.holds = 0
        self.shortfalls: list[Shortfall] = []
        self.beyond: str | None = None
        self.busy = False

    def another(self) -> Purse:
        """For a copy of the request, which is one of its own."""
        return Purse(self.funds, self.most, self.shares)
