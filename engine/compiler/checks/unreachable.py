"""Arms and children that no request can come to.

An arm is dead if its condition never holds, or if whatever meets it met an earlier one. In a fallback or a
cascade, what follows a node that always answers by itself (`respond`, `reject`) is dead: it never fails.
"""

from __future__ import annotations

import dataclasses

from engine.compiler.checks.subject import Subject
from engine.compiler.expr import always, disjoint
from engine.compiler.seal import nodes_in
from engine.diagnostics import Related, Span
from engine.kinds.balance import Balance
from engine.kinds.cache import Cache
from engine.kinds.cascade import Cascade
from engine.kinds.classify import Classify
from engine.kinds.ensemble import Ensemble
from engine.kinds.fallback import Fallback
from engine.kinds.hedge import Hedge
from engine.kinds.jumps import Jumps
from engine.kinds.mirror import Mirror
from engine.kinds.outline import edges
from engine.kinds.reject import Reject
from engine.kinds.respond import Respond
from engine.kinds.split import Split
from engine.kinds.switch import Arm, Switch
from engine.plan.types import Node, Ref
from engine.plan.values import Expr


def check(subject: Subject) -> None:
    for name, route in sorted(subject.lowered.routes.items()):
        if route.match.when is not None and always(route.match.when) is False:
            place = subject.document.span(("routes", name, "match", "when"))
            _dead(subject, f"the route `{name}` takes no request: its `when` never holds", place)
    for start in [*(r.start for r in subject.lowered.routes.values()), *subject.lowered.nodes.values()]:
        for node in nodes_in(start):
            if isinstance(node, Switch):
                _switch(subject, node)
            elif isinstance(node, Fallback | Cascade | Hedge):
                _chain(subject, node)
            elif isinstance(node, Split):
                _split(subject, node)


def _switch(subject: Subject, node: Switch) -> None:
    path = subject.places[node.id]
    for index, arm in enumerate(node.arms):
        place = subject.document.span((*path, "switch", index, "when"))
        if always(arm.when) is False:
            _dead(subject, "no request takes this arm: its condition never holds", place)
            continue
        for earlier, before in enumerate(node.arms[:index]):
            if implies(arm.when, before.when):
                first = subject.document.span((*path, "switch", earlier, "when"))
                _dead(subject, _why(before), place, Related("this arm", first))
                break
    total = next((i for i, arm in enumerate(node.arms) if always(arm.when) is True), None)
    if total is not None:
        first = subject.document.span((*path, "switch", total, "when"))
        place = subject.document.key_span((*path, "else"))
        _dead(
            subject,
            "no request comes to `else`: an arm before it takes all",
            place,
            Related("this arm", first),
        )


def _split(subject: Subject, node: Split) -> None:
    for number, arm in enumerate(node.arms):
        if not any(layout.points[number] for layout in node.layouts):
            subject.out.add(
                "W223",
                f"no request takes the arm `{arm.name}`: it never has a share",
                subject.place(arm.node),
                help="give it a `share`, or one in `ramp`, or remove it",
            )


def _why(before: Arm) -> str:
    if always(before.when) is True:
        return "no request takes this arm: one before it takes all"
    return "no request takes this arm: whatever meets its condition meets an earlier one"


def implies(a: Expr, b: Expr) -> bool:
    """Whether `b` holds wherever `a` does, as far as it can be proven."""
    return always(b) is True or a.ir == b.ir or disjoint(a, dataclasses.replace(b, ir=["not", b.ir]))


def _chain(subject: Subject, node: Fallback | Cascade | Hedge) -> None:
    for index, child in enumerate(node.children[:-1]):
        if final(child, subject):
            place = subject.place(node.children[index + 1])
            _dead(
                subject,
                "no request comes here: the child before it always answers",
                place,
                Related("this one", subject.place(child)),
            )
            return


def final(node: Node, subject: Subject) -> bool:
    """Whether a node answers by itself whatever happens, so that nobody is asked after it."""
    match node:
        case Respond() | Reject():
            return True
        case Ref():
            return final(subject.lowered.nodes[node.name], subject)
        case Switch() | Split():
            return all(final(edge.node, subject) for edge in edges(node))
        case Fallback() | Cascade() | Hedge() | Ensemble():
            return any(final(child, subject) for child in node.children)
        case Mirror() | Classify() | Cache():
            return final(node.node, subject)
        case Jumps():
            return final(node.start, subject)
        case Balance():
            return all(final(child, subject) for child in node.children)
        case _:
            return False


def _dead(subject: Subject, message: str, place: Span, related: Related | None = None) -> None:
    advice = "remove it, or put it before the one that takes its requests"
    subject.out.add("W223", message, place, help=advice, related=[related] if related is not None else [])
