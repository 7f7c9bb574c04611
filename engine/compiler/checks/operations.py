"""What a route takes, some target of it does: nobody routes embeddings to models that only chat."""

from __future__ import annotations

from engine.compiler.checks.subject import Subject
from engine.compiler.seal import nodes_in
from engine.diagnostics import Span
from engine.kinds.use import Use
from engine.plan.types import Deployment

#: The engine answers it itself where a target does not.
_ALWAYS = frozenset({"count_tokens"})
#: What the engine's own local models do.
_LOCAL = frozenset({"chat"})


def check(subject: Subject) -> None:
    for name, route in sorted(subject.lowered.routes.items()):
        targets = {node.deployment for node in nodes_in(subject.linked(name).start) if isinstance(node, Use)}
        deployments = [subject.lowered.deployments[each] for each in sorted(targets)]
        if not deployments:
            continue
        done = frozenset().union(*(_does(subject, each) for each in deployments))
        for number, operation in enumerate(route.match.operations):
            if operation in done or operation in _ALWAYS:
                continue
            names = ", ".join(f"`{each}`" for each in sorted(targets))
            subject.out.add(
                "E250",
                f"the route `{name}` takes {operation}, and no target of it does that: {names}",
                _place(subject, name, number),
                help=f"what they do: {', '.join(sorted(done)) or 'nothing'}",
            )


def _does(subject: Subject, deployment: Deployment) -> frozenset[str]:
    provider = subject.lowered.providers.get(deployment.provider)
    if provider is None or provider.dialect is None:
        return _LOCAL
    dialect = subject.lowered.dialects.get(provider.dialect)
    return _LOCAL if dialect is None else frozenset(dialect.operations)


def _place(subject: Subject, name: str, number: int) -> Span:
    spec = subject.spec.routes[name]
    if spec.match is None or "operations" not in spec.match.model_fields_set:
        return subject.document.key_span(("routes", name))
    return subject.document.span(("routes", name, "match", "operations", number))
