"""`per_request.cost` is proven: no request that a route lets in may come to more (`compiler/worst_cost`).

A floor's ceiling is proven for the requests that the floor lets in.
"""

from __future__ import annotations

import dataclasses
from typing import Final

from engine.compiler.checks.prices import Held, admit_place, ceilings_of, targets
from engine.compiler.checks.subject import Subject
from engine.compiler.document import Path
from engine.compiler.lower import admit, ceilings
from engine.compiler.worst_cost import Call, Unbounded, WorstCost, show_worst
from engine.diagnostics import Related
from engine.plan import narrow
from engine.plan.types import Route

#: Calls of a path that a message lists.
_FEW: Final = 4


def check(subject: Subject) -> None:
    for name in sorted(subject.lowered.routes):
        held = ceilings_of(subject, name)
        if not held:
            continue
        route = subject.linked(name)
        worst = WorstCost(route, subject.lowered.deployments)
        if any(worst.gap(use, role) is not None for use, role in targets(route.start)):
            continue  # told by `prices`
        for each in held:
            if not _prove(subject, name, each):
                break


def _narrowed(subject: Subject, route: str, held: Held) -> Route:
    """The route as it is where a ceiling holds."""
    found = subject.linked(route)
    if held.path[0] != "require":
        return found
    floor = subject.spec.require[str(held.path[1])]
    if floor.admit is not None:
        found = dataclasses.replace(found, admit=narrow.admit(found.admit, admit(floor.admit)))
    lower = narrow.ceilings(found.per_request, ceilings(floor.per_request))
    return dataclasses.replace(found, per_request=lower)


def _prove(subject: Subject, route: str, held: Held) -> bool:
    """Whether a ceiling holds; where it does not, that is told."""
    document, most = subject.document, _allowed(subject, held.path)
    narrowed = _narrowed(subject, route, held)
    try:
        paths = WorstCost(narrowed, subject.lowered.deployments).paths()
    except Unbounded as unbounded:
        subject.out.add(
            "E282",
            f"nothing bounds the input of the route `{route}`, and so nobody can prove {held.what}: "
            f"`{unbounded.use.deployment}` costs more the more it reads",
            admit_place(subject, route),
            help="write `admit: {input: 30k, output: 4k}` at the route",
            related=[Related("to be proven", document.span(held.path))],
        )
        return False
    dearest = max(paths, key=lambda calls: sum(call.cost for call in calls))
    cost = sum(call.cost for call in dearest)
    if cost <= most:
        return True
    copy = "" if dearest is paths[0] else "a mirrored copy of "
    bounded = subject.spec.routes[route].admit is not None
    advice = "lower `admit.input` or `admit.output`" if bounded else "bound `admit`"
    needed = show_worst(cost)
    subject.out.add(
        "E283",
        f"{copy}a request to `{route}` may cost {needed}, and `per_request.cost` allows {show_worst(most)}: "
        f"{_told(dearest)}",
        document.span(held.path),
        help=f"{advice}, `per_request.calls` or the retries, take a cheaper target, or allow {needed}",
        related=[Related("the dearest call", subject.place(dearest[0].use))],
    )
    return False


def _allowed(subject: Subject, path: Path) -> int:
    section, name, *_ = path
    holder = subject.spec.routes[str(name)] if section == "routes" else subject.spec.require[str(name)]
    assert holder.per_request is not None
    assert holder.per_request.cost is not None
    return holder.per_request.cost


def _told(calls: list[Call]) -> str:
    """The calls by target: `2 x big at $0.06, 1 x small at $0.01`."""
    counts: dict[tuple[str, int], int] = {}
    for call in calls:
        what = (call.use.deployment, call.cost)
        counts[what] = counts.get(what, 0) + 1
    parts = [f"{count} x {name} at {show_worst(cost)}" for (name, cost), count in counts.items()]
    more = [f"{len(parts) - _FEW} more"] if len(parts) > _FEW else []
    return ", ".join([*parts[:_FEW], *more])
