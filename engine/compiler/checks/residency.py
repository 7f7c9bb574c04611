"""Residency: every target that a route can come to lies where the route, and the policies, allow.

`unknown` is in no allow-list. A provider file of the workspace may say where it runs, but under a policy
only the policies' own `residency:` counts for it: the floor must not rest on a file that anybody may edit.
"""

from __future__ import annotations

from engine.compiler.checks.subject import Subject
from engine.compiler.resolve import there_is
from engine.diagnostics import Related, Span
from engine.kinds.outline import walk_tree
from engine.kinds.use import Use
from engine.plan.types import Deployment


def check(subject: Subject) -> None:
    _statements(subject)
    told: set[str] = set()
    for name, route in sorted(subject.lowered.routes.items()):
        if route.residency is None:
            continue
        for node in walk_tree(subject.linked(name).start):
            if isinstance(node, Use) and node.deployment in subject.lowered.deployments:
                told.add(node.deployment)
                _target(subject, name, node, route.residency)
    for name, deployment in sorted(subject.lowered.deployments.items()):
        if name not in told and name in subject.used.deployments and _by_default(subject, deployment):
            subject.out.add(
                "N226",
                f"`{name}` runs in the default region of {deployment.provider}: `{deployment.region}`, "
                f"residency {deployment.residency}",
                subject.document.key_span(("deployments", name)),
                help=f"write `region: {deployment.region}` to say so; where a residency applies it must be "
                "named",
            )


def _statements(subject: Subject) -> None:
    """`residency: {acme.eu: eu}` in policies names regions that there are."""
    for place in sorted(subject.spec.residency or {}):
        name, _, region = place.partition(".")
        vendor = subject.vendors.vendor(name)
        if region and vendor is not None and region not in vendor.provider.regions:
            subject.out.add(
                "E217",
                f"{name} has no region `{region}`",
                subject.document.key_span(("residency", place)),
                help=there_is(region, vendor.provider.regions),
            )


def _target(subject: Subject, route: str, node: Use, allowed: tuple[str, ...]) -> None:
    deployment = subject.lowered.deployments[node.deployment]
    here = subject.document.key_span(("deployments", deployment.name))
    zone = deployment.residency
    if only_claimed(subject, deployment):
        subject.out.add(
            "E224",
            f"the route `{route}` stands under a policy's residency, and only the workspace's own "
            f"providers.d/{deployment.provider}.yaml says where `{deployment.name}` runs",
            subject.place(node),
            help=f"state it in policies/: `residency: {{{deployment.provider}.{deployment.region}: {zone}}}`",
            related=[Related("the deployment", here), *_floors(subject)],
        )
    elif zone not in allowed:
        places = ", ".join(allowed) or "no place at all"
        where = f"`{deployment.name}` runs in {zone}"
        advice = "take a region that is allowed, another target, or allow it"
        if zone == "unknown":
            where = f"nobody says where `{deployment.name}` runs"
            advice = "an `endpoint` of its own, or a provider file without `residency`, has none"
        subject.out.add(
            "E224",
            f"the route `{route}` may use {places}, and {where}",
            subject.place(node),
            help=advice,
            related=[
                Related("the deployment", here),
                Related("allowed here", _allowed_place(subject, route)),
            ],
        )
    elif _by_default(subject, deployment):
        subject.out.add(
            "E225",
            f"`{deployment.name}` serves the route `{route}`, which has a residency, and names no region",
            here,
            help=f"write `region: {deployment.region}`: a default could change with the provider file",
            related=[Related("allowed here", _allowed_place(subject, route))],
        )


def _by_default(subject: Subject, deployment: Deployment) -> bool:
    spec = subject.spec.deployments[deployment.name]
    provider = subject.lowered.providers.get(deployment.provider)
    return (
        spec.region is None and spec.endpoint is None and provider is not None and len(provider.regions) > 1
    )


def only_claimed(subject: Subject, deployment: Deployment) -> bool:
    """Under a policy: the residency comes from a provider file of the workspace, and no policy repeats it."""
    vendor = subject.vendors.vendor(deployment.provider)
    if vendor is None or not vendor.own or not _floors(subject):
        return False
    said = subject.spec.residency or {}
    return f"{deployment.provider}.{deployment.region}" not in said and deployment.provider not in said


def _floors(subject: Subject) -> list[Related]:
    return [
        Related("the policy", subject.document.span(("require", name, "residency")))
        for name, floor in sorted(subject.spec.require.items())
        if floor.residency is not None
    ]


def _allowed_place(subject: Subject, route: str) -> Span:
    if subject.spec.routes[route].residency is not None:
        return subject.document.span(("routes", route, "residency"))
    return _floors(subject)[0].span
