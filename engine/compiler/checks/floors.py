"""What a route writes may not be looser than what a policy requires of every route."""

from __future__ import annotations

from engine.compiler.checks.subject import Subject
from engine.diagnostics import Related


def check(subject: Subject) -> None:
    for name, floor in sorted(subject.spec.require.items()):
        if floor.residency is None:
            continue
        place = subject.document.span(("require", name, "residency"))
        for route, spec in sorted(subject.spec.routes.items()):
            loose = [zone for zone in spec.residency or () if zone not in floor.residency]
            if loose:
                subject.out.add(
                    "E227",
                    f"the route `{route}` allows {', '.join(loose)}, and the policy `{name}` does not",
                    subject.document.span(("routes", route, "residency")),
                    help=f"allow at most {', '.join(floor.residency)}, or leave `residency` out: the policy "
                    "holds "
                    "without it",
                    related=[Related("the policy", place)],
                )
