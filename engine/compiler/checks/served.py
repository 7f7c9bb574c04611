"""What a route takes, some target of every branch serves: chats, embeddings, ..."""

from __future__ import annotations

from engine.compiler.checks.capability import Need, find_gap
from engine.compiler.checks.subject import Subject
from engine.compiler.expressions import own_condition
from engine.kinds.outline import reached
from engine.plan.types import Deployment


def check(subject: Subject) -> None:
    for name, lowered in sorted(subject.lowered.routes.items()):
        for op in lowered.match.operations:
            if op == "count_tokens":
                continue  # where nobody counts, the engine does
            gap = find_gap(subject, subject.linked(name).start, _need(subject, op), ())
            if gap is None:
                continue
            targets = reached(gap)
            serves = sorted({each for target in targets for each in _serves(subject, target)})
            subject.out.add(
                "E421",
                f"the route `{name}` takes {op}, and no target here serves that: "
                + (", ".join(f"`{each}`" for each in targets) or "nobody"),
                subject.place(gap),
                help="add a target that does, lead such requests elsewhere with a `switch`"
                + (f", or write match: {{operations: [{', '.join(serves)}]}}" if serves else ""),
            )


def _need(subject: Subject, op: str) -> Need:
    having = own_condition(f'request.operation == "{op}"')
    return Need("operations", op, lambda d: op in _operations(subject, d), lambda _: having)


def _serves(subject: Subject, target: str) -> tuple[str, ...]:
    return _operations(subject, subject.lowered.deployments[target])


def _operations(subject: Subject, deployment: Deployment) -> tuple[str, ...]:
    provider = subject.lowered.providers.get(deployment.provider)
    return ("chat",) if provider is None else provider.operations
