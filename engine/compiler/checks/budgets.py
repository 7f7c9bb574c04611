"""Budgets that cannot do what they say: never reached, too small, counted by what is not known, or twice.

A budget may hold for the routes that name it, and for all routes where a floor, a group or a client key does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from engine.compiler.checks.subject import Subject
from engine.compiler.expr import fields_read
from engine.compiler.lower_jumps import attached
from engine.diagnostics import Related
from engine.kinds.jumps import Jumps
from engine.kinds.outline import answering, reached
from engine.kinds.use import Use
from engine.plan.money import Budget
from engine.plan.types import Deployment, Ref, Route
from engine.units import show_count, shown_amount
from engine.wire.pricing import worst_ever

#: More tokens than any call has: what costs nothing then is free.
_MANY = 10**9


def check(subject: Subject) -> None:
    named = attached(subject.spec, "budgets")
    where = _Where(subject)
    for name, budget in sorted(subject.lowered.money.budgets.items()):
        _calendar(subject, budget)
        _old_name(subject, budget)
        _early(subject, budget)
        _required(subject, budget)
        if name not in named:
            subject.out.add(
                "N271",
                f"no file names the budget `{name}`",
                subject.document.key_span(("budgets", name)),
                help="name it in the `budgets` of a route, a policy, a group or a key; keys that are kept in "
                "the state store may (`engine keys list`)",
            )
            continue
        _never_reached(subject, budget, where)
        _too_small(subject, budget, where)
    for name in sorted(subject.lowered.routes):
        _leads_nowhere(subject, name)


def _calendar(subject: Subject, budget: Budget) -> None:
    if budget.window.ms is None and subject.settings.timezone is None:
        subject.out.add(
            "E233",
            f"the budget `{budget.name}` counts by the {budget.window.kind}, and the workspace has no time "
            "zone",
            subject.document.span(("budgets", budget.name, "window")),
            help="add `timezone: Europe/Berlin` (or yours) to engine.yaml, so that it is known when one "
            "begins; `rolling 24h` and `every 24h` need none",
        )


def _old_name(subject: Subject, budget: Budget) -> None:
    """What was spent under an old name carries over to one budget."""
    budgets = subject.lowered.money.budgets
    other = next((name for name in sorted(budgets) if budgets[name].was == budget.was), budget.name)
    if budget.was is not None and other != budget.name:
        subject.out.add(
            "E276",
            f"`was: {budget.was}` is said of `{other}` too: what was spent would count twice",
            subject.document.span(("budgets", budget.name, "was")),
            help="leave it at the one that was renamed",
            related=[Related("here", subject.document.span(("budgets", other, "was")))],
        )


def _early(subject: Subject, budget: Budget) -> None:
    """What is counted by the deployment is not known before one is chosen."""
    if budget.per is None or budget.per.scope != "budget":
        return
    for index, step in enumerate(budget.steps):
        if step.use is not None and step.at < 1:
            subject.out.add(
                "E277",
                f"`{budget.name}` is kept by the deployment, and at this step none is chosen yet",
                subject.document.span(("budgets", budget.name, "steps", index, "at")),
                help="let it jump at 100%, or keep the budget by something of the request or the key",
                related=[Related("kept by this", subject.document.span(("budgets", budget.name, "per")))],
            )


def _required(subject: Subject, budget: Budget) -> None:
    """A floor holds for what the client cannot choose."""
    holder = next(
        (
            name
            for name, floor in sorted(subject.spec.require.items())
            if budget.name in (floor.budgets or ())
        ),
        None,
    )
    if holder is None or budget.per is None:
        return
    other = sorted(field for field in fields_read(budget.per) if not field.startswith("key."))
    if other:
        subject.out.add(
            "E278",
            f"the policy `{holder}` requires the budget `{budget.name}`, and its `per` reads "
            f"`{other[0]}`: who asks could choose where it counts",
            subject.document.span(("budgets", budget.name, "per")),
            help="read `key.*` alone, such as `key.org` or `key.tags.team`",
            related=[Related("required here", subject.document.span(("require", holder, "budgets")))],
        )


# --- never reached, too small -----------------------------------------------------------------------------


class _Where:
    """Which routes' requests may count in a budget, and which smaller ones hold for all of those."""

    def __init__(self, subject: Subject) -> None:
        spec, lowered = subject.spec, subject.lowered
        clients = spec.keys.clients if spec.keys is not None else None
        holders: Iterable[object] = (*spec.require.values(), *spec.groups.values(), *(clients or {}).values())
        self._people = {name for holder in holders for name in getattr(holder, "budgets", None) or ()}
        self._routes = list(lowered.routes.values())
        self._own: dict[str, list[Route]] = {}
        self._budgets = lowered.money.budgets
        for route in self._routes:
            for name in spec.routes[route.name].budgets or ():
                self._own.setdefault(name, []).append(route)

    def routes(self, name: str) -> list[Route]:
        """Where a floor, a group or a client key names it, these are all routes."""
        return self._routes if name in self._people else self._own.get(name, [])

    def first(self, budget: Budget) -> Budget | None:
        """One that counts all that counts in this one, in the same window, and is never larger."""
        routes = self.routes(budget.name)
        for name in routes[0].budgets if routes else ():
            other = self._budgets[name]
            same = (other.measure, other.window, other.per) == (budget.measure, budget.window, None)
            smaller = (other.limit, other.name) < (budget.limit, budget.name)
            if same and smaller and all(name in route.budgets for route in routes):
                return other
        return None


def _never_reached(subject: Subject, budget: Budget, where: _Where) -> None:
    routes = where.routes(budget.name)
    place = subject.document.key_span(("budgets", budget.name))
    if budget.measure == "cost" and routes:
        places = {name for route in routes for name in reached(subject.linked(route.name).start)}
        if all(_free(each) for each in _deployments(subject, places)):
            subject.out.add(
                "W276",
                f"the budget `{budget.name}` is never used: nothing that counts in it costs anything",
                place,
                help="count tokens (`limit: 2M tokens`), give the deployments a `price`, or remove it",
            )
            return
    other = where.first(budget)
    if other is not None:
        subject.out.add(
            "W276",
            f"the budget `{budget.name}` is never reached: all that counts in it counts in `{other.name}` "
            "too, which is not larger",
            place,
            help="make it smaller than that one, or remove it",
            related=[Related("this one", subject.document.key_span(("budgets", other.name)))],
        )


def _too_small(subject: Subject, budget: Budget, where: _Where) -> None:
    """No request as large as a route lets in fits into the whole budget, whoever serves it."""
    for route in where.routes(budget.name):
        most = _largest(subject, budget, route)
        if most is not None and most > budget.limit:
            amount, limit = shown_amount(budget.measure, most), shown_amount(budget.measure, budget.limit)
            admit = route.admit
            what = ", ".join(
                f"{show_count(bound)} {word}"
                for bound, word in ((admit.input, "in"), (admit.output, "out"))
                if bound is not None
            )
            subject.out.add(
                "W277",
                f"a request as large as `{route.name}` admits ({what or 'what its models take'}) may use "
                f"{amount} wherever it goes, and `{budget.name}` holds {limit}: it is never served",
                subject.document.span(("budgets", budget.name, "limit")),
                help="raise the limit, or lower `admit.input` or `admit.output` of the route",
                related=[Related("the route", subject.document.key_span(("routes", route.name)))],
            )
            return


def _largest(subject: Subject, budget: Budget, route: Route) -> int | None:
    """What the largest request uses at the target where it uses least; None where nobody knows."""
    targets = {n.deployment for n in answering(subject.linked(route.name).start) if isinstance(n, Use)}
    found: list[int] = []
    for deployment in _deployments(subject, targets):
        facts = deployment.facts
        most = route.admit.input or facts.context
        bounds = [bound for bound in (route.admit.output, facts.output) if bound is not None]
        if most is None or not bounds:
            return None
        output = min(bounds) * route.admit.n
        if budget.measure == "tokens":
            found.append(most + output)
        elif deployment.uncounted:
            found.append(0)
        else:
            cost = worst_ever(most, output, facts.prices)
            if cost is None:
                return None
            found.append(cost)
    return min(found, default=None)


def _deployments(subject: Subject, names: Iterable[str]) -> Iterator[Deployment]:
    for name in sorted(names):
        if name in subject.lowered.deployments:
            yield subject.lowered.deployments[name]


def _free(deployment: Deployment) -> bool:
    facts = deployment.facts
    return deployment.uncounted or worst_ever(_MANY, _MANY, facts.prices, _MANY) == 0


# --- jumps ------------------------------------------------------------------------------------------------


def _leads_nowhere(subject: Subject, name: str) -> None:
    """A jump to where the route's requests begin anyway."""
    node = subject.lowered.routes[name].start
    if not isinstance(node, Jumps):
        return
    start = node.start
    first = start.name if isinstance(start, Ref) else start.deployment if isinstance(start, Use) else None
    for jump in node.branches:
        if jump.name == first:
            subject.out.add(
                "W278",
                f"the route `{name}` begins at `{first}`, and this jump leads there",
                subject.place(jump.node),
                help="jump to a cheaper node or deployment, or remove the `use`: then it rejects",
                related=[Related("the route", subject.document.span(("routes", name, "start")))],
            )
