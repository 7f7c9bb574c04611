"""The retry budgets of a process: one for each route, one for each deployment; an attempt draws from both."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping

from engine.plan.fate import Fate
from engine.policies.retry_budget import RetryBudget


class Retries:
    """Made of nothing: a budget begins full, with the first that is drawn of it."""

    def __init__(self) -> None:
        self._routes: dict[str, RetryBudget] = {}
        self._deployments: dict[str, RetryBudget] = {}

    def draw(self, route: str, deployment: str, now_ms: int, *, in_place: bool) -> str | None:
        """Take one more attempt from the budgets of both; else the name of the one that is used up."""
        ours = self._routes.get(route) or self._routes.setdefault(route, RetryBudget())
        theirs = self._deployments.get(deployment) or self._deployments.setdefault(deployment, RetryBudget())
        if not ours.has(now_ms, in_place):
            return f"route {route}"
        if not theirs.has(now_ms, in_place):
            return f"deployment {deployment}"
        ours.draw()
        theirs.draw()
        return None

    def refill(self, route: str, deployment: str) -> None:
        """A call was answered."""
        if self._routes:
            for budget in self._both(route, deployment):
                budget.refill()

    def give_back(self, route: str, deployment: str) -> None:
        """What was drawn for an attempt is not used."""
        for budget in self._both(route, deployment):
            budget.give_back()

    def of_routes(self, now_ms: int) -> Mapping[str, float]:
        """What is left to routes that ever used theirs."""
        return {route: budget.held(now_ms) for route, budget in self._routes.items()}

    def of_deployment(self, name: str, now_ms: int) -> float | None:
        """What is left to a deployment; None where it never used its own."""
        budget = self._deployments.get(name)
        return None if budget is None else round(budget.held(now_ms), 1)

    def carry(self, fate: Fate) -> None:
        """A plan was published in the place of another: what has another name now moves."""
        for new, old in fate.deployments.moves.items():
            if old in self._deployments:
                self._deployments[new] = self._deployments.pop(old)

    def keep(self, deployments: Container[str], routes: Container[str]) -> None:
        """Forget what is not among these names."""
        self._routes = {name: budget for name, budget in self._routes.items() if name in routes}
        self._deployments = {n: budget for n, budget in self._deployments.items() if n in deployments}

    def forget(self, deployment: str) -> None:
        """Another place has this name now."""
        self._deployments.pop(deployment, None)

    def _both(self, route: str, deployment: str) -> Iterator[RetryBudget]:
        if (ours := self._routes.get(route)) is not None:
            yield ours
        if (theirs := self._deployments.get(deployment)) is not None:
            yield theirs
