"""What one request may spend, and what it has spent so far."""

from __future__ import annotations

from collections.abc import Mapping
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
    limit was spent or held when the request began; only those that somebody asks for.
    """

    __slots__ = ("funds", "held", "holds", "most", "shares", "shortfalls", "spent")

    def __init__(self, funds: tuple[Fund, ...], most: int | None, shares: Mapping[str, float]) -> None:
        self.funds = funds
        self.most = most
        self.shares = shares
        self.held = self.spent = self.holds = 0
        self.shortfalls: list[Shortfall] = []

    def another(self) -> Purse:
        """For a copy of the request, which is one of its own."""
        return Purse(self.funds, self.most, self.shares)
