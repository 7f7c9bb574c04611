"""Policies that narrow at run time: whom they cover finds somebody left to ask, on every route.

Of a policy with `when` nothing can be proven of all requests; a target that it does not allow is skipped for
the keys it covers. So what is proven is that skipping leaves something, wherever such a key may ask, and that
where data may go does not rest on a file that anybody may edit. A group may leave its people without a route.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from engine.compiler.checks.residency import only_claimed
from engine.compiler.checks.subject import Subject
from engine.compiler.document import Path
from engine.compiler.expr import disjoint
from engine.diagnostics import Related
from engine.kinds.outline import walk_tree
from engine.kinds.use import Use
from engine.plan.types import Deployment
from engine.plan.values import Expr


class _Narrow(NamedTuple):
    """What holds for some keys. `when` None: for keys that nothing here tells apart."""

    path: Path
    noun: str
    when: Expr | None
    residency: tuple[str, ...] | None
    credentials: tuple[str, ...] | None
    explicit: bool
    models: tuple[str, ...] | None


def check(subject: Subject) -> None:
    for narrow in _all(subject):
        for name in sorted(subject.lowered.routes):
            if _covers(subject, narrow, name):
                _route(subject, narrow, name)


def _all(subject: Subject) -> Iterator[_Narrow]:
    for name, floor in sorted(subject.spec.require.items()):
        listed = floor.credentials if isinstance(floor.credentials, tuple) else None
        explicit, path = floor.credentials == "explicit", ("require", name)
        when = subject.expressions.get((*path, "when"))
        # Without `when` its residency stands in every route, and is proven there.
        residency = None if floor.when is None else floor.residency
        if residency is not None or listed is not None or explicit:
            yield _Narrow(path, f"the policy `{name}`", when, residency, listed, explicit, floor.models)
    for name, group in sorted(subject.spec.groups.items()):
        if group.residency is not None:
            when = subject.expressions.get(("groups", name, "when"))
            yield _Narrow(
                ("groups", name), f"the group `{name}`", when, group.residency, None, False, group.models
            )


def _covers(subject: Subject, narrow: _Narrow, route: str) -> bool:
    """Whether a key that it holds for may come to the route."""
    match = subject.lowered.routes[route].match
    if narrow.when is not None and match.when is not None and disjoint(narrow.when, match.when):
        return False
    return narrow.models is None or any(_meet(a, b) for a in narrow.models for b in match.models)


def _route(subject: Subject, narrow: _Narrow, route: str) -> None:
    targets = [
        subject.lowered.deployments[node.deployment]
        for node in walk_tree(subject.linked(route).start)
        if isinstance(node, Use) and node.deployment in subject.lowered.deployments
    ]
    left = [each for each in targets if _allowed(narrow, each)]
    if targets and not left and narrow.path[0] == "require":
        subject.out.add(
            "E289",
            f"{narrow.noun} leaves the route `{route}` nobody to ask: {_why(narrow, targets[0])}",
            subject.document.key_span(("routes", route)),
            help="give the route a target that is allowed, or a `match.when` that leaves out whom it covers",
            related=[Related("the policy", subject.document.key_span(narrow.path))],
        )
    for each in left if narrow.residency is not None else ():
        if only_claimed(subject, each):
            subject.out.add(
                "E224",
                f"{narrow.noun} says where data may go, and only the workspace's own "
                f"providers.d/{each.provider}.yaml says where `{each.name}` runs",
                subject.document.key_span(("deployments", each.name)),
                help="state it in policies/: "
                f"`residency: {{{each.provider}.{each.region}: {each.residency}}}`",
                related=[Related("the policy", subject.document.key_span(narrow.path))],
            )


def _allowed(narrow: _Narrow, deployment: Deployment) -> bool:
    return _in_place(narrow, deployment) and _has_credential(narrow, deployment)


def _in_place(narrow: _Narrow, deployment: Deployment) -> bool:
    return narrow.residency is None or deployment.residency in narrow.residency


def _has_credential(narrow: _Narrow, deployment: Deployment) -> bool:
    if not deployment.credentials:
        return True
    return any(
        not each.default and (narrow.credentials is None or each.name in narrow.credentials)
        if narrow.explicit or narrow.credentials is not None
        else True
        for each in deployment.credentials
    )


def _why(narrow: _Narrow, deployment: Deployment) -> str:
    if not _in_place(narrow, deployment):
        return f"`{deployment.name}` runs in {deployment.residency}"
    return f"`{deployment.name}` has no credential that is allowed"


def _meet(a: str, b: str) -> bool:
    """Whether two names, or patterns, have a name in common."""
    stem_a, stem_b = a.removesuffix("*"), b.removesuffix("*")
    if a.endswith("*") and b.endswith("*"):
        return stem_a.startswith(stem_b) or stem_b.startswith(stem_a)
    if a.endswith("*"):
        return b.startswith(stem_a)
    return a.startswith(stem_b) if b.endswith("*") else a == b
