"""`per_request.calls` so low that the last target of a chain is never asked."""

from __future__ import annotations

from engine.compiler.checks.subject import Subject
from engine.kinds.outline import worst


def check(subject: Subject) -> None:
    for name, route in sorted(subject.lowered.routes.items()):
        most = route.per_request.calls
        if most is None:
            continue
        needed = worst(subject.linked(name).start, retries=False).calls
        if needed > most:
            subject.out.add(
                "W229",
                f"the route `{name}` allows {most} call{'s'[: most != 1]}, and its longest chain asks "
                f"{needed} targets",
                subject.document.span(("routes", name, "per_request", "calls")),
                help=f"where the others fail, the last is never asked: allow at least {needed}, or drop a "
                "target",
            )
