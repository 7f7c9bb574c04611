"""What a route writes may not be looser than what a policy requires of every route."""

from __future__ import annotations

from collections.abc import Iterator

from engine.compiler.checks.subject import Subject
from engine.compiler.document import Path
from engine.compiler.lower import admit, ceilings
from engine.compiler.merged import MISSING, value_at
from engine.diagnostics import Related
from engine.plan import narrow
from engine.plan.types import Admit, Ceilings
from engine.spec.model import Spec
from engine.spec.require import Require
from engine.spec.route import Route

#: A key of `per_request` -> the field of the plan.
_CEILINGS = {"calls": "calls", "time": "time_ms", "cost": "cost"}


def check(subject: Subject) -> None:
    for name, floor in sorted(subject.spec.require.items()):
        if floor.when is not None:
            continue
        _credentials(subject, name, floor)
        for route, spec in sorted(subject.spec.routes.items()):
            _residency(subject, name, floor, route, spec)
            for section, keys in (("admit", _admitted(spec, floor)), ("per_request", _ceilings(spec, floor))):
                for key in keys:
                    _looser(subject, (section, key), name, route)


def _residency(subject: Subject, name: str, floor: Require, route: str, spec: Route) -> None:
    if floor.residency is None:
        return
    loose = [zone for zone in spec.residency or () if zone not in floor.residency]
    if loose:
        subject.out.add(
            "E227",
            f"the route `{route}` allows {', '.join(loose)}, and the policy `{name}` does not",
            subject.document.span(("routes", route, "residency")),
            help=f"allow at most {', '.join(floor.residency)}, or leave `residency` out: the policy holds "
            "without it",
            related=[Related("the policy", subject.document.span(("require", name, "residency")))],
        )


def _credentials(subject: Subject, name: str, floor: Require) -> None:
    """What a deployment shows is among what the policy allows to be shown."""
    listed = floor.credentials if isinstance(floor.credentials, tuple) else None
    if floor.credentials is None:
        return
    place = subject.document.span(("require", name, "credentials"))
    for deployment in sorted(subject.used.deployments & subject.lowered.deployments.keys()):
        for credential in subject.lowered.deployments[deployment].credentials:
            if credential.default:
                shows = f"shows what {credential.provider}'s provider file names"
            elif listed is not None and credential.name not in listed:
                shows = f"shows `{credential.name}`"
            else:
                continue
            allowed = "credentials of the workspace alone" if listed is None else ", ".join(listed)
            subject.out.add(
                "E227",
                f"the deployment `{deployment}` {shows}, and the policy `{name}` allows {allowed}",
                subject.document.span(("deployments", deployment, "credentials")),
                help="name one that is allowed in its `credentials`",
                related=[Related("the policy", place)],
            )


def _admitted(spec: Route, floor: Require) -> Iterator[str]:
    """The keys of `admit` that the route writes and that let in more than the policy does."""
    if spec.admit is not None and floor.admit is not None:
        own = admit(spec.admit)
        within: Admit = narrow.admit(own, admit(floor.admit))
        yield from (key for key in _written(spec.admit) if getattr(within, key) != getattr(own, key))


def _ceilings(spec: Route, floor: Require) -> Iterator[str]:
    if spec.per_request is not None and floor.per_request is not None:
        own = ceilings(spec.per_request)
        within: Ceilings = narrow.ceilings(own, ceilings(floor.per_request))
        for key in _written(spec.per_request):
            field = _CEILINGS[key]
            if getattr(within, field) != getattr(own, field):
                yield key


def _written(spec: Spec) -> list[str]:
    return sorted(key for key in spec.model_fields_set if getattr(spec, key) is not None)


def _looser(subject: Subject, where: tuple[str, str], policy: str, route: str) -> None:
    path: Path = ("routes", route, *where)
    allowed: Path = ("require", policy, *where)
    said, most = (value_at(subject.document.data, each) for each in (path, allowed))
    told = "that what it does not name stays out" if most is MISSING else f"`{most}`"
    subject.out.add(
        "E227",
        f"the route `{route}` writes `{where[1]}: {said}` in `{where[0]}`, and the policy `{policy}` says "
        f"{told}",
        subject.document.span(path),
        help="write at most what the policy does, or leave it out: the policy holds without it",
        related=[Related("the policy", subject.document.span(allowed))],
    )
