"""Chains, balances and the like that are none: one member only, or the same target twice."""

from __future__ import annotations

from engine.compiler.checks.subject import Subject
from engine.compiler.seal import nodes_in
from engine.diagnostics import Related
from engine.kinds.balance import Balance
from engine.kinds.cascade import Cascade
from engine.kinds.ensemble import Ensemble
from engine.kinds.fallback import Fallback
from engine.kinds.hedge import Hedge
from engine.kinds.split import Split
from engine.kinds.use import Use
from engine.plan.types import Node, Ref


def check(subject: Subject) -> None:
    for start in [*(r.start for r in subject.lowered.routes.values()), *subject.lowered.nodes.values()]:
        for node in nodes_in(start):
            if isinstance(node, Fallback | Balance | Cascade | Hedge | Ensemble):
                _one(subject, node, len(node.children))
            elif isinstance(node, Split):
                _one(subject, node, len(node.arms))
            # The same target twice in a hedge or an ensemble is one more try at an answer of it.
            if isinstance(node, Fallback | Balance | Cascade):
                _twice(subject, node)


def _one(subject: Subject, node: Node, members: int) -> None:
    if members == 1:
        subject.out.add(
            "W234",
            f"this `{node.kind}` has one member only",
            subject.document.key_span((*subject.places[node.id], node.kind)),
            help="name another, or use the member itself",
        )


def _twice(subject: Subject, node: Fallback | Balance | Cascade) -> None:
    seen: dict[str, Node] = {}
    for child in node.children:
        name = child.deployment if isinstance(child, Use) else child.name if isinstance(child, Ref) else None
        if name is None:
            continue
        first = seen.setdefault(name, child)
        if first is not child and first.call == child.call:
            advice = "more calls to one target are `retry: {extra: N}`"
            if isinstance(node, Balance):
                advice = "a larger share is `weight`"
            subject.out.add(
                "W235",
                f"`{name}` stands twice in this `{node.kind}`",
                subject.place(child),
                help=f"remove one; {advice}",
                related=[Related("the first", subject.place(first))],
            )
