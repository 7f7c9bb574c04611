"""What one request may spend, and what it has spent so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from engine.runtime.shortfall import Shortfall
from engine.runtime.terms import BudgetTerm
from engine.units import show_ratio


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

    def before(self, names: Sequence[str]) -> tuple[str, str] | None:
        """The step below 100% that is reached in the budget that is used most."""
        best: tuple[float, str, str] | None = None
        for fund in self.funds:
            budget = fund.term.budget
            share = self.shares.get(budget.name, 0.0)
            reached = [
                step for step in budget.steps if step.at <= share and step.at < 1 and step.use in names
            ]
            if reached and (best is None or share > best[0]):
                use = reached[-1].use
                assert use is not None
                why = f"{budget.name} is used to {share:.1%}, beyond {show_ratio(reached[-1].at)}"
                best = share, use, why
        return None if best is None else best[1:]

    def after(self, names: Sequence[str]) -> tuple[str, str] | None:
        """Where the last step of a budget leads that had no room."""
        for shortfall in self.shortfalls:
            use = next((step.use for step in reversed(shortfall.budget.steps) if step.use is not None), None)
            if use is not None and use in names and shortfall.refused.why == "spent":
                return use, f"{shortfall.budget.name} has no room"
        return None
