"""What holds for a request beside its route's graph: the budgets and limits that it counts in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from engine.plan.code import bind_expr
from engine.plan.money import Budget, MoneySegment
from engine.plan.types import Route
from engine.plan.values import Expr
from engine.runtime.limit_term import LimitTerm

#: A bound expression: (request, key, clock, labels) -> its value.
Test = Callable[..., Any]


class BudgetTerm(NamedTuple):
    """A budget, and the function of its `per`; None: one for all."""

    budget: Budget
    per: Test | None


@dataclass(frozen=True, slots=True)
class Terms:
    """Of a route. All of it holds at once."""

    budgets: tuple[BudgetTerm, ...] = ()
    limits: tuple[LimitTerm, ...] = ()


NO_TERMS = Terms()


class TermsOf:
    """Makes the terms of a plan's routes; each `per` is bound once."""

    def __init__(self, money: MoneySegment) -> None:
        self._money = money
        self._budgets: dict[str, BudgetTerm] = {}
        self._limits: dict[str, LimitTerm] = {}

    def route(self, route: Route) -> Terms:
        """What the route says for all of its requests."""
        if not route.budgets and not route.limits:
            return NO_TERMS
        return Terms(
            tuple(self.budget(name) for name in route.budgets),
            tuple(self.limit(name) for name in route.limits),
        )

    def budget(self, name: str) -> BudgetTerm:
        found = self._budgets.get(name)
        if found is None:
            budget = self._money.budgets[name]
            found = self._budgets[name] = BudgetTerm(budget, _bound(budget.per))
        return found

    def limit(self, name: str) -> LimitTerm:
        found = self._limits.get(name)
        if found is None:
            limit = self._money.limits[name]
            found = self._limits[name] = LimitTerm(limit)
        return found


def _bound(per: Expr | None) -> Test | None:
    return None if per is None else bind_expr(per)
