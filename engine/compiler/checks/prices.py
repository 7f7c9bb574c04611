"""What counts in money has a price, and a worst case that somebody bounds.

Where a route counts in a budget of money, or has `per_request.cost`, each target that it can come to has a
known price (or `price: unknown`, which says that nobody wants to know), and a limit of what it writes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from engine.compiler.checks.subject import Subject
from engine.compiler.document import Path
from engine.compiler.worst_cost import What, WorstCost
from engine.diagnostics import Related, Span
from engine.kinds.outline import ANSWER, edges
from engine.kinds.use import Use
from engine.plan.types import Node
from engine.spec.keys import Client, Group
from engine.wire.pricing import is_free, tool_price

#: Models that a message names.
_FEW: Final = 3


@dataclass(frozen=True, slots=True)
class Held:
    """Something that a route counts in: its name for people, and where it is said that it does."""

    what: str
    path: Path


def check(subject: Subject) -> None:
    _of_policies(subject)
    told: set[str] = set()
    floors, people = _floors(subject), _people(subject)
    for name, route in sorted(subject.lowered.routes.items()):
        held = ceilings_of(subject, name)
        held = held or _money(subject, ("routes", name), subject.spec.routes[name].budgets) or floors
        held = held or [each for each, models in people if _may_ask(models, route.match.models)][:1]
        if not held:
            continue
        worst = WorstCost(subject.linked(name), subject.lowered.deployments)
        for use, role in targets(subject.linked(name).start):
            gap = worst.gap(use, role) if use.deployment in subject.lowered.deployments else None
            if gap is not None and f"{gap} {use.deployment}" not in told:
                told.add(f"{gap} {use.deployment}")
                _report_gap(subject, name, use, gap, held[0])
        _tools(subject, name, held[0])


def ceilings_of(subject: Subject, route: str | None = None) -> list[Held]:
    """Where `per_request.cost` is written for a route: there, or in a floor."""
    spec = None if route is None else subject.spec.routes[route].per_request
    found = [] if spec is None or spec.cost is None else [("routes", str(route))]
    found += [
        ("require", name)
        for name, floor in sorted(subject.spec.require.items())
        if floor.per_request is not None and floor.per_request.cost is not None
    ]
    return [Held("`per_request.cost`", (*path, "per_request", "cost")) for path in found]


def _floors(subject: Subject) -> list[Held]:
    """The budgets of money that floors lay under every route, or under some of its requests."""
    floors = sorted(subject.spec.require.items())
    return [held for name, floor in floors for held in _money(subject, ("require", name), floor.budgets)]


def _people(subject: Subject) -> list[tuple[Held, tuple[str, ...] | None]]:
    """The budgets of money of groups and keys, and the models that these may ask for (None: all)."""
    spec = subject.spec
    clients = (spec.keys.clients if spec.keys is not None else None) or {}
    people: list[tuple[Path, Client | Group]] = [
        *((("groups", name), group) for name, group in sorted(spec.groups.items())),
        *((("keys", "clients", name), client) for name, client in sorted(clients.items())),
    ]
    return [(held, each.models) for path, each in people for held in _money(subject, path, each.budgets)]


def _money(subject: Subject, path: Path, names: tuple[str, ...] | None) -> list[Held]:
    """Those of these budgets that count money."""
    budgets = subject.lowered.money.budgets
    return [
        Held(f"the budget `{name}`", (*path, "budgets", index))
        for index, name in enumerate(names or ())
        if name in budgets and budgets[name].measure == "cost"
    ]


def _may_ask(models: tuple[str, ...] | None, route: tuple[str, ...]) -> bool:
    """Whether who may ask for these models (None: all) may ask for one of a route's."""
    return models is None or any(_overlap(a, b) for a in models for b in route)


def _overlap(a: str, b: str) -> bool:
    """Whether some name fits both; a `*` ends a pattern."""
    if a.endswith("*") and b.endswith("*"):
        return a[:-1].startswith(b[:-1]) or b[:-1].startswith(a[:-1])
    if a.endswith("*"):
        return b.startswith(a[:-1])
    return a.startswith(b[:-1]) if b.endswith("*") else a == b


def _of_policies(subject: Subject) -> None:
    """What a policy counts in money does not rest on a price that anybody may edit."""
    floors = [
        held
        for held in (*_floors(subject), *ceilings_of(subject))
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


def targets(node: Node, role: str = ANSWER) -> Iterator[tuple[Use, str]]:
    """Every target below a node, and what it is asked for."""
    if isinstance(node, Use):
        yield node, role
    for edge in edges(node):
        yield from targets(edge.node, role if edge.role == ANSWER else edge.role)


def _report_gap(subject: Subject, route: str, use: Use, gap: What, held: Held) -> None:
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
            help=_listed(subject, name)
            + "write `price: {input: $0.15/M, output: $0.60/M}` at the deployment "
            "(or `request`, `second`), `price: free`, or `price: unknown`: then nothing is reserved for its "
            "calls",
            related=[Related("reached here", subject.place(use)), counted],
        )
    else:
        subject.out.add(
            "E281",
            f"nobody knows how much `{name}` writes at most, and the route `{route}`, which leads to it, "
            f"counts in {held.what}: the worst case has no bound",
            admit_place(subject, route),
            help="write `admit: {output: 4k}` at the route",
            related=[Related("the deployment", document.key_span(("deployments", name))), counted],
        )


def _listed(subject: Subject, name: str) -> str:
    """What the provider's table has instead of a model that it does not list; "" where nothing is like it."""
    deployment = subject.lowered.deployments[name]
    vendor = subject.vendors.vendor(deployment.provider)
    if vendor is None or vendor.models.facts(deployment.model) is not None:
        return ""
    like = [each for each in vendor.models.names() if deployment.model in each][:_FEW]
    if not like:
        return ""
    known = ", ".join(f"`{each}`" for each in like)
    return f"{deployment.provider} lists no `{deployment.model}`, it has {known}; else "


def _tools(subject: Subject, route: str, held: Held) -> None:
    """Tools that vendors run are billed by the use: where nobody says what they cost, they are refused."""
    named = subject.lowered.routes[route].admit.hosted_tools
    if named == () or "chat" not in subject.lowered.routes[route].match.operations:
        return
    uncovered = sorted(
        {
            use.deployment
            for use, _ in targets(subject.linked(route).start)
            if _refuses_tools(subject, use.deployment, named)
        }
    )
    if uncovered:
        what = "any tool of a vendor's own" if named is None else ", ".join(f"`{name}`" for name in named)
        who = ", ".join(f"`{name}`" for name in uncovered)
        subject.out.add(
            "N287",
            f"the route `{route}` lets in {what}, and nobody knows what such a tool costs at {who}: where "
            f"{held.what} counts, requests that name one are not sent there",
            admit_place(subject, route),
            help="write `admit: {hosted_tools: []}`, or what a use costs as "
            "`price: {tools: {web_search: {use: $0.01, most: 5}}}` at the deployment",
            related=[Related("counts here", subject.document.span(held.path))],
        )


def _refuses_tools(subject: Subject, name: str, tools: tuple[str, ...] | None) -> bool:
    """Whether one of these tools (None: of any) would be refused there for its cost: not where calls are free
    or not counted, nor where no tool is taken, nor where it has a price.
    """
    deployment = subject.lowered.deployments[name]
    facts = deployment.facts
    if deployment.uncounted or is_free(facts) or (facts.can is not None and "tools" not in facts.can):
        return False
    return not facts.tools if tools is None else any(tool_price(facts, each) is None for each in tools)


def admit_place(subject: Subject, route: str) -> Span:
    path: Path = ("routes", route)
    written = subject.spec.routes[route].admit is not None
    return subject.document.key_span((*path, "admit") if written else path)
