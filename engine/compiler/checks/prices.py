"""What counts in money has a price, and a worst case that somebody bounds.

Where a route counts in a budget of money, or has `per_request.cost`, each target that it can come to has a
known price (or `price: unknown`, which says that nobody wants to know), and a limit of what it writes. And
`per_request.cost` is proven: no request that is let in may come to more (`compiler/worst_cost`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from engine.compiler.checks.subject import Subject
from engine.compiler.document import Path
from engine.compiler.worst_cost import Call, Unbounded, What, WorstCost, show_worst
from engine.diagnostics import Related, Span
from engine.kinds.outline import ANSWER, edges
from engine.kinds.use import Use
from engine.plan.types import Node

#: Calls of a path that a message lists.
_FEW: Final = 4


@dataclass(frozen=True, slots=True)
class _Held:
    """Something that a route counts in: its name for people, and where it is said that it does."""

    what: str
    path: Path


def check(subject: Subject) -> None:
    _of_policies(subject)
    told: set[str] = set()
    for name in sorted(subject.lowered.routes):
        held = _ceilings(subject, name) or _budgets(subject, name)
        if not held:
            continue
        worst = WorstCost(subject.linked(name), subject.lowered.deployments)
        sound = True
        for use, role in _targets(subject.linked(name).start):
            gap = worst.gap(use, role) if use.deployment in subject.lowered.deployments else None
            sound &= gap is None
            if gap is not None and f"{gap} {use.deployment}" not in told:
                told.add(f"{gap} {use.deployment}")
                _report_gap(subject, name, use, gap, held[0])
        if sound and _ceilings(subject, name):
            _prove(subject, name, worst)
        _tools(subject, name, held[0])


def _ceilings(subject: Subject, route: str | None = None) -> list[_Held]:
    """Where `per_request.cost` is written for a route: there, or in a floor."""
    spec = None if route is None else subject.spec.routes[route].per_request
    found = [] if spec is None or spec.cost is None else [("routes", str(route))]
    found += [
        ("require", name)
        for name, floor in sorted(subject.spec.require.items())
        if floor.per_request is not None and floor.per_request.cost is not None
    ]
    return [_Held("`per_request.cost`", (*path, "per_request", "cost")) for path in found]


def _budgets(subject: Subject, route: str | None = None) -> list[_Held]:
    """The budgets of money that a request of the route may count in: its own, floors', groups' and keys'."""
    spec = subject.spec
    own = None if route is None else spec.routes[route].budgets
    clients = (spec.keys.clients if spec.keys is not None else None) or {}
    holders: list[tuple[Path, tuple[str, ...] | None]] = [
        (("routes", str(route)), own),
        *((("require", name), floor.budgets) for name, floor in sorted(spec.require.items())),
        *((("groups", name), group.budgets) for name, group in sorted(spec.groups.items())),
        *(
            (("keys", "clients", name), getattr(each, "budgets", None))
            for name, each in sorted(clients.items())
        ),
    ]
    return [
        _Held(f"the budget `{budget}`", (*path, "budgets", index))
        for path, names in holders
        for index, budget in enumerate(names or ())
        if _is_money(subject, budget)
    ]


def _is_money(subject: Subject, name: str) -> bool:
    budget = subject.lowered.money.budgets.get(name)
    return budget is not None and budget.measure == "cost"


def _of_policies(subject: Subject) -> None:
    """What a policy counts in money does not rest on a price that anybody may edit."""
    floors = [
        held
        for held in (*_budgets(subject), *_ceilings(subject))
        if held.path[0] == "require" and subject.merged.in_policies(held.path[:2])
    ]
    if not floors:
        return
    for name in sorted(subject.used.deployments & subject.lowered.deployments.keys()):
        written = subject.spec.deployments[name].price is not None
        if written and subject.merged.in_policies(("deployments", name)):
            continue
        deployment = subject.lowered.deployments[name]
        vendor = subject.vendors.vendor(deployment.provider)
        own = vendor is not None and vendor.own and deployment.facts.prices
        if written or own:
            where = "at the deployment" if written else f"in providers.d/{deployment.provider}.yaml"
            path: Path = ("deployments", name, "price") if written else ("deployments", name)
            subject.out.add(
                "E284",
                f"the price of `{name}` is written {where}, outside of policies/, and the policy "
                f"`{floors[0].path[1]}` counts by it",
                subject.document.key_span(path),
                help="define the deployment in policies/, with its `price`",
                related=[Related("counts here", subject.document.span(floors[0].path))],
            )


def _targets(node: Node, role: str = ANSWER) -> Iterator[tuple[Use, str]]:
    """Every target below a node, and what it is asked for."""
    if isinstance(node, Use):
        yield node, role
    for edge in edges(node):
        yield from _targets(edge.node, role if edge.role == ANSWER else edge.role)


def _report_gap(subject: Subject, route: str, use: Use, gap: What, held: _Held) -> None:
    name, document = use.deployment, subject.document
    counted = Related("counts here", document.span(held.path))
    if gap == "price":
        facts = subject.lowered.deployments[name].facts
        prices = "all prices" if facts.prices else "the price"
        subject.out.add(
            "E280",
            f"nobody knows {prices} of `{name}`, and the route `{route}`, which leads to it, "
            f"counts in {held.what}",
            document.key_span(("deployments", name)),
            help="write `price: {input: $0.15/M, output: $0.60/M}` at the deployment (or `request`, "
            "`second`), `price: free`, or `price: unknown`: then nothing is reserved for its calls",
            related=[Related("reached here", subject.place(use)), counted],
        )
    else:
        subject.out.add(
            "E281",
            f"nobody knows how much `{name}` writes at most, and the route `{route}`, which leads to it, "
            f"counts in {held.what}: the worst case has no bound",
            _admit_place(subject, route),
            help="write `admit: {output: 4k}` at the route",
            related=[Related("the deployment", document.key_span(("deployments", name))), counted],
        )


def _tools(subject: Subject, route: str, held: _Held) -> None:
    """Tools that vendors run are billed by the use, and what they find is read as input: without a bound."""
    named = subject.lowered.routes[route].admit.hosted_tools
    if named == () or "chat" not in subject.lowered.routes[route].match.operations:
        return
    uncovered = sorted(
        {
            use.deployment
            for use, _ in _targets(subject.linked(route).start)
            if _bills_tools(subject, use.deployment)
        }
    )
    if uncovered:
        what = "any tool of a vendor's own" if named is None else ", ".join(f"`{name}`" for name in named)
        who = ", ".join(f"`{name}`" for name in uncovered)
        subject.out.add(
            "N287",
            f"the route `{route}` lets in {what}, which {who} may bill by the use: that is not reserved, and "
            f"{held.what} counts it only where the vendor reports its cost",
            _admit_place(subject, route),
            help="write `admit: {hosted_tools: []}`, or what a call may use at most as "
            "`price: {request: $0.05}`",
            related=[Related("counts here", subject.document.span(held.path))],
        )


def _bills_tools(subject: Subject, name: str) -> bool:
    """Whether tools could be run there for money that no price tells: not where calls are free, nor where it
    says that it takes none, nor where a call has a price of its own.
    """
    facts = subject.lowered.deployments[name].facts
    free = all(row.input == row.output == 0 for row in facts.prices)
    return (
        (facts.can is None or "tools" in facts.can) and not free and not any(r.request for r in facts.prices)
    )


def _prove(subject: Subject, route: str, worst: WorstCost) -> None:
    spec, document = subject.spec, subject.document
    limits = [(_cost_at(subject, held.path), held) for held in _ceilings(subject, route)]
    most, held = min(limits, key=lambda each: each[0])
    try:
        paths = worst.paths()
    except Unbounded as unbounded:
        subject.out.add(
            "E282",
            f"nothing bounds the input of the route `{route}`, and so nobody can prove {held.what}: "
            f"`{unbounded.use.deployment}` costs more the more it reads",
            _admit_place(subject, route),
            help="write `admit: {input: 30k, output: 4k}` at the route",
            related=[Related("to be proven", document.span(held.path))],
        )
        return
    dearest = max(paths, key=lambda calls: sum(call.cost for call in calls))
    cost = sum(call.cost for call in dearest)
    if cost <= most:
        return
    copy = "" if dearest is paths[0] else "a mirrored copy of "
    hosted = spec.routes[route]
    advice = "lower `admit.input` or `admit.output`" if hosted.admit is not None else "bound `admit`"
    needed = show_worst(cost)
    subject.out.add(
        "E283",
        f"{copy}a request to `{route}` may cost {needed}, and `per_request.cost` allows {show_worst(most)}: "
        f"{_told(dearest)}",
        document.span(held.path),
        help=f"{advice}, `per_request.calls` or the retries, take a cheaper target, or allow {needed}",
        related=[Related("the dearest call", subject.place(dearest[0].use))],
    )


def _cost_at(subject: Subject, path: Path) -> int:
    section, name, *_ = path
    holder = subject.spec.routes[str(name)] if section == "routes" else subject.spec.require[str(name)]
    assert holder.per_request is not None
    assert holder.per_request.cost is not None
    return holder.per_request.cost


def _admit_place(subject: Subject, route: str) -> Span:
    path: Path = ("routes", route)
    written = subject.spec.routes[route].admit is not None
    return subject.document.key_span((*path, "admit") if written else path)


def _told(calls: list[Call]) -> str:
    """The calls by target: `2 x big at $0.06, 1 x small at $0.01`."""
    counts: dict[tuple[str, int], int] = {}
    for call in calls:
        what = (call.use.deployment, call.cost)
        counts[what] = counts.get(what, 0) + 1
    parts = [f"{count} x {name} at {show_worst(cost)}" for (name, cost), count in counts.items()]
    more = [f"{len(parts) - _FEW} more"] if len(parts) > _FEW else []
    return ", ".join([*parts[:_FEW], *more])
