"""What holds for a request beside its route's graph: what it counts in, what is let in, where it may go.

It is the route's own, made once; and for a key that groups, policies or its own words say more of, that and
the route's together, made once for each route it asks for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from engine.plan import narrow
from engine.plan.code import bind_expr
from engine.plan.money import Budget, MoneySegment
from engine.plan.types import Admit, Ceilings, Credential, Route
from engine.plan.values import Expr
from engine.runtime.limit_term import LimitTerm
from engine.runtime.people import Person
from engine.state.ledger import Account

#: A bound expression: (request, key, clock, labels) -> its value.
Test = Callable[..., Any]


_ALL: Final = Admit()
_NO_CEILINGS: Final = Ceilings()


class BudgetTerm:
    """A budget as requests meet it.

    per: the function of its `per`; None: one for all. placed: it reads the deployment, too.
    early: some step below 100% leads elsewhere. told: the steps below 100% that somebody is told of.
    accounts: partition -> the account of the window that was last asked for.
    """

    __slots__ = ("accounts", "budget", "early", "per", "placed", "told")

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.per = _bound(budget.per)
        self.placed = budget.per is not None and budget.per.scope == "budget"
        self.early = any(step.use is not None and step.at < 1 for step in budget.steps)
        self.told = tuple(step for step in budget.steps if step.alert is not None and step.at < 1)
        self.accounts: dict[str, Account] = {}


@dataclass(frozen=True, slots=True)
class Terms:
    """Of a route, or of a route and a key. All of it holds at once.

    residency: places beyond which nothing may go, where that is narrower than what is proven of the route.
    credentials: the only ones that may be shown; None: any. explicit: none from a provider file's defaults.
    """

    budgets: tuple[BudgetTerm, ...] = ()
    limits: tuple[LimitTerm, ...] = ()
    admit: Admit = _ALL
    per_request: Ceilings = _NO_CEILINGS
    residency: frozenset[str] | None = None
    credentials: frozenset[str] | None = None
    explicit: bool = False

    def allows(self, credential: Credential) -> bool:
        """Whether this credential may be shown."""
        if self.explicit and credential.default:
            return False
        return self.credentials is None or (credential.name in self.credentials and not credential.default)


NO_TERMS = Terms()


class TermsOf:
    """Makes the terms of a plan's routes; each `per` is bound once."""

    def __init__(self, money: MoneySegment) -> None:
        self._money = money
        self._budgets: dict[str, BudgetTerm] = {}
        self._limits: dict[str, LimitTerm] = {}

    def route(self, route: Route) -> Terms:
        """What the route says for all of its requests."""
        return Terms(
            tuple(self.budget(name) for name in route.budgets),
            tuple(self.limit(name) for name in route.limits),
            route.admit,
            route.per_request,
        )

    def person(self, route: Route, own: Terms, person: Person) -> Terms:
        """What holds for a key's requests of a route whose own terms are these."""
        more = (name for name in person.budgets if name not in route.budgets)
        limits = (name for name in person.limits if name not in route.limits)
        return Terms(
            (*own.budgets, *(self.budget(name) for name in more)),
            (*own.limits, *(self.limit(name) for name in limits)),
            own.admit if person.admit is None else narrow.admit(own.admit, person.admit),
            own.per_request
            if person.per_request is None
            else narrow.ceilings(own.per_request, person.per_request),
            None if person.residency is None else frozenset(person.residency),
            None if person.credentials is None else frozenset(person.credentials),
            person.explicit,
        )

    def budget(self, name: str) -> BudgetTerm:
        found = self._budgets.get(name)
        if found is None:
            found = self._budgets[name] = BudgetTerm(self._money.budgets[name])
        return found

    def limit(self, name: str) -> LimitTerm:
        found = self._limits.get(name)
        if found is None:
            limit = self._money.limits[name]
            found = self._limits[name] = LimitTerm(limit)
        return found


def _bound(per: Expr | None) -> Test | None:
    return None if per is None else bind_expr(per)
