"""The most that one request may cost on its way through a route: every call that it could come to.

Targets that this request could reach, with their retries, each as dear as it may get (who may have to go on
with a broken stream reads what was said by then, too); judges and the like, which read the request and the
answers in question again; and the copies that mirrors make, which have the route's ceilings for themselves.
Of each, as many calls as the route allows, the dearest first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from engine.kinds.asking import CONSULT_TOKENS, QUESTION_TOKENS, RETOLD
from engine.kinds.cascade import Cascade
from engine.kinds.classify import Classify
from engine.kinds.ensemble import Ensemble
from engine.kinds.outline import ANSWER, MIRROR, Edge, edges
from engine.kinds.split import Split, possible
from engine.kinds.switch import Switch, branch
from engine.kinds.use import Use
from engine.plan.types import Node
from engine.runtime.place import Place
from engine.runtime.run import Run
from engine.wire.pricing import worst_cost


class _Unknown(Exception):
    """A price or a limit is not known."""


@dataclass(slots=True)
class _Calls:
    """What each call below a node can cost: those of the request, and those of its copies."""

    own: list[int]
    copies: list[int]

    def add(self, other: _Calls) -> None:
        self.own += other.own
        self.copies += other.copies


def worst_of(run: Run) -> int | None:
    """Nano-dollars; None where a price or a limit is unknown, or no route was found."""
    if not hasattr(run, "bound"):
        return None
    most = run.terms.per_request.calls
    try:
        calls = _calls(run.bound.route.start, run)
    except _Unknown:
        return None
    return _dearest(calls.own, most) + _dearest(calls.copies, most)


def _dearest(costs: Sequence[int], most: int | None) -> int:
    ordered = sorted(costs, reverse=True)
    return sum(ordered if most is None else ordered[:most])


def _calls(node: Node, run: Run) -> _Calls:
    """The calls that this request could make below a node."""
    if isinstance(node, Use):
        if run.unfit(node) is not None:
            return _Calls([], [])
        cost = max(_known(run.worst_cost(_place(node, run))), _continuing(node, run))
        return _Calls([cost] * _tries(node), [])
    if isinstance(node, Split):
        arms = [_calls(arm.node, run) for arm in possible(node, run)]
        return max(arms, key=lambda calls: sum(calls.own) + sum(calls.copies))
    found = _Calls([], [])
    for edge in (Edge("", branch(node, run)),) if isinstance(node, Switch) else edges(node):
        if edge.role == MIRROR:
            copy = _calls(edge.node, run)
            found.copies += [*copy.own, *copy.copies]
        elif edge.role != ANSWER:
            asked = [cost for use in _targets(edge.node) for cost in _consulted(use, edge.role, node, run)]
            found.own += asked * edge.times
        elif isinstance(node, Classify):
            found.add(_dearest_label(node, run))
        else:
            found.add(_calls(edge.node, run))
    return found


def _dearest_label(node: Classify, run: Run) -> _Calls:
    """Below a label, whichever it turns out to be."""
    names = (*(label.name for label in node.labels), node.otherwise)
    below = [_calls(node.node, run.label(node.name, name)) for name in names]
    return max(below, key=lambda calls: sum(calls.own) + sum(calls.copies))


def _continuing(use: Use, run: Run) -> int:
    """What a call costs that goes on with a stream that broke: it reads what was said by then, too."""
    place = _place(use, run)
    if not run.continues or "prefill" not in (run.face(place).can or ()):
        return 0
    said = max((_output(_place(each, run), run) for each in _targets(run.bound.route.start)), default=0)
    read = run.view.input_tokens + said + run.bound.overhead["message"]
    return _costs(place, read, _output(place, run), run)


def _consulted(use: Use, role: str, asking: Node, run: Run) -> list[int]:
    """What calls of the engine's own cost: an embedder reads the request, a judge the answers to it too."""
    place = _place(use, run)
    facts = place.deployment.facts
    output = 0
    read = RETOLD * run.view.input_tokens
    if role != "embed":
        output = CONSULT_TOKENS if facts.output is None else min(facts.output, CONSULT_TOKENS)
        read += QUESTION_TOKENS
    if isinstance(asking, Cascade | Ensemble):
        answers = (
            max((_output(_place(each, run), run) for each in _targets(edge.node)), default=0)
            for edge in edges(asking)
            if edge.role == ANSWER
        )
        read += RETOLD * sum(answers)
    return [_costs(place, read, output, run)] * _tries(use)


def _costs(place: Place, read: int, output: int, run: Run) -> int:
    """What one call there costs at most."""
    if place.deployment.uncounted:
        return 0
    return _known(worst_cost(read, output, run.prices(place), run.clock.now, place.longest_ms))


def _targets(node: Node) -> Iterator[Use]:
    if isinstance(node, Use):
        yield node
    for edge in edges(node):
        if edge.role == ANSWER:
            yield from _targets(edge.node)


def _output(place: Place, run: Run) -> int:
    limit = run.output_limit(place)
    return _known(place.deployment.facts.output if limit is None else limit)


def _place(use: Use, run: Run) -> Place:
    return run.bound.places[use.deployment]


def _tries(use: Use) -> int:
    return 1 + (use.call.retry_extra or 0)


def _known(value: int | None) -> int:
    if value is None:
        raise _Unknown
    return value
