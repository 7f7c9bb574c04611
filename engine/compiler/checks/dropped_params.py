"""`params` that the provider of every target below drops: they change nothing."""

from __future__ import annotations

from engine.compiler.checks.subject import Subject
from engine.compiler.seal import nodes_in
from engine.diagnostics import Related
from engine.kinds.use import Use


def check(subject: Subject) -> None:
    for start in [*(r.start for r in subject.lowered.routes.values()), *subject.lowered.nodes.values()]:
        for node in nodes_in(start):
            if isinstance(node, Use) and node.call.params:
                _target(subject, node)


def _target(subject: Subject, node: Use) -> None:
    deployment = subject.lowered.deployments.get(node.deployment)
    provider = subject.lowered.providers.get(deployment.provider) if deployment is not None else None
    if provider is None or deployment is None:
        return
    vendor = subject.vendors.vendor(provider.name)
    for name in sorted(node.call.params or ()):
        if name in provider.drop:
            related = [Related("dropped here", vendor.document.span(("drop",)))] if vendor is not None else []
            subject.out.add(
                "W238",
                f"{provider.name} takes no `{name}`: it is left out of every call to `{deployment.name}`",
                subject.document.key_span((*subject.places[node.id], "params", name)),
                help="remove it, or use another target",
                related=related,
            )
