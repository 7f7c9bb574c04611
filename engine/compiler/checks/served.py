"""What a route takes, some target of every branch serves: chats, embeddings, ..."""

from __future__ import annotations

from typing import Final

from engine.compiler.checks.capability import Need, find_gap
from engine.compiler.checks.subject import Subject
from engine.compiler.expressions import own_condition
from engine.kinds.outline import ANSWER, MIRROR, answering, edges, reached, walk_tree
from engine.kinds.use import Use
from engine.plan.types import Deployment

#: Who is asked by the engine itself, by the role of the edge.
_WHO: Final = {"judge": "a judge", "embed": "an embedder"}


def check(subject: Subject) -> None:
    for name, lowered in sorted(subject.lowered.routes.items()):
        _consulted(subject, name)
        for op in lowered.match.operations:
            if op == "count_tokens":
                continue  # where nobody counts, the engine does
            gap = find_gap(subject, subject.linked(name).start, _need(subject, op), ())
            if gap is None:
                continue
            targets = tuple(
                dict.fromkeys(node.deployment for node in answering(gap) if isinstance(node, Use))
            )
            serves = sorted({each for target in targets for each in _serves(subject, target)})
            subject.out.add(
                "E421",
                f"the route `{name}` takes {op}, and no target here serves that: "
                + (", ".join(f"`{each}`" for each in targets) or "nobody"),
                subject.place(gap),
                help="add a target that does, lead such requests elsewhere with a `switch`"
                + (f", or write match: {{operations: [{', '.join(serves)}]}}" if serves else ""),
            )


def _consulted(subject: Subject, name: str) -> None:
    """What is asked of a judge is a chat, and of an embedder embeddings, whatever the route takes."""
    for node in walk_tree(subject.linked(name).start):
        for edge in edges(node):
            if edge.role in (ANSWER, MIRROR):
                continue
            op = "embeddings" if edge.role == "embed" else "chat"
            gap = find_gap(subject, edge.node, _need(subject, op, always=True), ())
            if gap is not None:
                subject.out.add(
                    "E421",
                    f"{_WHO[edge.role]} is asked for {op}, and no target here serves that: "
                    + ", ".join(f"`{each}`" for each in reached(gap)),
                    subject.place(gap),
                    help="name a target that does; if this one does, its provider file says so: "
                    f"`operations: [..., {op}]`",
                )


def _need(subject: Subject, op: str, *, always: bool = False) -> Need:
    """That the operation is served; of requests that have it, or of all (`always`)."""
    having = None if always else own_condition(f'request.operation == "{op}"')
    return Need("operations", op, lambda d: op in _operations(subject, d), lambda _: having)


def _serves(subject: Subject, target: str) -> tuple[str, ...]:
    return _operations(subject, subject.lowered.deployments[target])


def _operations(subject: Subject, deployment: Deployment) -> tuple[str, ...]:
    provider = subject.lowered.providers.get(deployment.provider)
    return ("chat",) if provider is None else provider.operations
