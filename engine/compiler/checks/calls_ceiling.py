"""`per_request.calls` so low that the last target of a chain is never asked."""

from __future__ import annotations

from engine.compiler.checks.subject import Subject
from engine.kinds.jumps import Jumps
from engine.kinds.outline import worst
from engine.plan.types import Node


def check(subject: Subject) -> None:
    for name, route in sorted(subject.lowered.routes.items()):
        most = route.per_request.calls
        if most is None:
            continue
        needed = _longest(subject.linked(name).start)
        if needed > most:
            subject.out.add(
                "W229",
                f"the route `{name}` allows {most} call{'s'[: most != 1]}, and its longest chain asks "
                f"{needed} targets",
                subject.document.span(("routes", name, "per_request", "calls")),
                help=f"where the others fail, the last is never asked: allow at least {needed}, or drop a "
                "target",
            )


def _longest(start: Node) -> int:
    """Targets that are asked one after the other. The jump of a full budget is taken where a call was not
    made for it, so that it comes in the place of one.
    """
    if not isinstance(start, Jumps):
        return worst(start, retries=False).calls
    begins = (start.start, *(jump.node for jump in start.branches if jump.before))
    total = max(worst(node, retries=False).calls for node in begins)
    for jump in start.branches:
        if jump.after:
            total += worst(jump.node, retries=False).calls - 1
    return total
