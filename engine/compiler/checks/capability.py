"""What `admit` lets in by name, some target of every branch can serve.

A need is a condition (`request.has("tools")`, `request.input_tokens > 8192`) and a test of a target. A
branch covers it if its requests cannot have the need, or one of its targets meets it; a fallback, balance,
hedge, cascade or ensemble covers what one of its members covers, a switch what all of its arms do, each under
its own condition. Judges and mirrors answer nobody: they need not.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from engine.compiler.checks.subject import Subject
from engine.compiler.expr import disjoint
from engine.compiler.expressions import own_condition
from engine.diagnostics import Related
from engine.kinds.balance import Balance
from engine.kinds.cache import Cache
from engine.kinds.cascade import Cascade
from engine.kinds.classify import Classify
from engine.kinds.ensemble import Ensemble
from engine.kinds.fallback import Fallback
from engine.kinds.hedge import Hedge
from engine.kinds.jumps import Jumps
from engine.kinds.mirror import Mirror
from engine.kinds.outline import ANSWER, edges, reached
from engine.kinds.split import Split
from engine.kinds.switch import Switch
from engine.kinds.use import Use
from engine.plan.types import Deployment, Node, Route
from engine.plan.values import Expr
from engine.units import show_count
from engine.wire.formats import faces

#: Field of `admit` -> what the requests ask of the target, and how expressions say that they have it.
_ABILITIES = (
    ("tools", "tools", "tools"),
    ("json_schema", "json_schema", "json_schema"),
    ("images", "images", "image"),
    ("audio", "audio", "audio"),
    ("files", "files", "file"),
)


@dataclass(frozen=True, slots=True)
class Need:
    """`meets`: whether a target can serve it; `having`: which requests have what a target cannot serve."""

    field: str
    what: str
    meets: Callable[[Deployment], bool]
    having: Callable[[Deployment], Expr | None]


def check(subject: Subject) -> None:
    for name, spec in sorted(subject.spec.routes.items()):
        if spec.admit is None:
            continue
        route = subject.linked(name)
        for need in _needs(subject, route):
            gap = find_gap(subject, route.start, need, _admitted(subject, route))
            if gap is not None:
                _report(subject, name, need, gap)


def _report(subject: Subject, name: str, need: Need, gap: Node) -> None:
    names = ", ".join(f"`{each}`" for each in reached(gap)) or "nobody"
    subject.out.add(
        "E228",
        f"the route `{name}` admits {need.what}, and no target here can serve that: {names}",
        subject.place(gap),
        help="add a target that can, lead such requests elsewhere with a `switch`, or lower "
        f"`admit.{need.field}`",
        related=[Related("admitted here", subject.document.span(("routes", name, "admit", need.field)))],
    )


def _needs(subject: Subject, route: Route) -> Iterator[Need]:
    admit = route.admit
    for field, ability, word in _ABILITIES:
        if getattr(admit, field):
            yield _ability(subject, field, ability, own_condition(f'request.has("{word}")'))
    if admit.output is not None:
        most = admit.output
        what = f"{show_count(most)} output tokens"
        yield Need("output", what, lambda d: _at_least(d.facts.output, most), lambda _: None)
    if admit.input is not None:
        yield _input(admit.input, admit.output or 0)


def _ability(subject: Subject, field: str, ability: str, having: Expr) -> Need:
    return Need(field, ability, lambda d: _can(subject, d, ability), lambda _: having)


def _input(most: int, output: int) -> Need:
    def having(deployment: Deployment) -> Expr | None:
        context = deployment.facts.context
        return (
            own_condition(f"request.input_tokens > {max(context - output, 0)}")
            if context is not None
            else None
        )

    with_output = f" and {show_count(output)} for the answer" if output else ""
    return Need(
        "input",
        f"{show_count(most)} input tokens{with_output}",
        lambda d: _at_least(d.facts.context, most + output),
        having,
    )


def _at_least(known: int | None, wanted: int) -> bool:
    return known is None or known >= wanted


def _can(subject: Subject, deployment: Deployment, ability: str) -> bool:
    """What a file says of the model; what it does not say, the dialect may carry."""
    if deployment.facts.can is not None:
        return ability in deployment.facts.can
    provider = subject.lowered.providers.get(deployment.provider)
    spoken = [] if provider is None else [face.dialect for face in faces(provider)]
    dialects = [subject.lowered.dialects.get(name) for name in spoken if name is not None]
    return not dialects or any(dialect is None or ability in dialect.can for dialect in dialects)


def _admitted(subject: Subject, route: Route) -> tuple[Expr, ...]:
    """What holds for every request of the route."""
    found = () if route.match.when is None else (route.match.when,)
    limit = route.admit.input
    bound = own_condition(f"request.input_tokens <= {limit}") if limit is not None else None
    return found if bound is None else (*found, bound)


def find_gap(subject: Subject, node: Node, need: Need, holds: tuple[Expr, ...]) -> Node | None:
    """The deepest branch that does not cover the need under what `holds`, or None."""
    match node:
        case Use():
            deployment = subject.lowered.deployments[node.deployment]
            if need.meets(deployment):
                return None
            having = need.having(deployment)
            return None if having is not None and _excluded(having, holds) else node
        case Fallback() | Balance() | Hedge() | Cascade() | Ensemble():
            gaps = [find_gap(subject, e.node, need, holds) for e in edges(node) if e.role == ANSWER]
            return node if all(gap is not None for gap in gaps) else None
        case Split() | Jumps():
            found = (find_gap(subject, edge.node, need, holds) for edge in edges(node))
            return next((gap for gap in found if gap is not None), None)
        case Mirror() | Classify() | Cache():
            return find_gap(subject, node.node, need, holds)
        case Switch():
            for arm in node.arms:
                gap = find_gap(subject, arm.node, need, (*holds, arm.when))
                if gap is not None:
                    return gap
                holds = (*holds, dataclasses.replace(arm.when, ir=["not", arm.when.ir]))
            return find_gap(subject, node.otherwise, need, holds)
        case _:
            return None


def _excluded(having: Expr, holds: tuple[Expr, ...]) -> bool:
    """Whether a request of this branch cannot have the need."""
    if not holds:
        return False
    together = dataclasses.replace(having, ir=["and", [each.ir for each in holds]])
    return disjoint(having, together)
