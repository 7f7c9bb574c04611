"""The most that one request may cost on its way through a route: every call that it could come to.

Targets that this request could reach, with their retries, each as dear as it may get (who may have to go on
with a broken stream reads what was said by then, too); judges and the like, which read the request and the
answers in question again; and the copies that mirrors make, which have the route's ceilings for themselves.
Of each, as many calls as the route allows, the dearest first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from engine.kinds.outline import ANSWER, MIRROR, Edge, edges
from engine.kinds.switch import Switch, branch
from engine.kinds.use import Use
from engine.plan.types import Node
from engine.runtime.run import CONSULT_TOKENS, Run
from engine.runtime.snapshot import Place
from engine.wire.pricing import worst_cost

#: What is asked about is told again as JSON, and in another model's tokens; and the question itself.
_RETOLD: Final = 2
_QUESTION: Final = 1_000


class _Unknown(Exception):
    """A price or a limit is not known."""


def worst_of(run: Run) -> int | None:
    """Nano-dollars; None where a price or a limit is unknown, or no route was found."""
    if not hasattr(run, "bound"):
        return None
    most = run.bound.route.per_request.calls
    copies: list[int] = []
    try:
        costs = _costs(run.bound.route.start, run, copies)
    except _Unknown:
        return None
    return _dearest(costs, most) + _dearest(copies, most)


def _dearest(costs: Sequence[int], most: int | None) -> int:
    ordered = sorted(costs, reverse=True)
    return sum(ordered if most is None else ordered[:most])


def _costs(node: Node, run: Run, copies: list[int]) -> list[int]:
    """One for each call below a node that this request takes; those of copies go into `copies`."""
    if isinstance(node, Use):
        if run.unfit(node) is not None:
            return []
        return [max(_known(run.worst_cost(_place(node, run))), _continuing(node, run))] * _calls(node)
    found: list[int] = []
    below = (Edge("", branch(node, run)),) if isinstance(node, Switch) else edges(node)
    for edge in below:
        if edge.role == ANSWER:
            found += _costs(edge.node, run, copies)
        elif edge.role == MIRROR:
            copies += _costs(edge.node, run, copies)
        else:
            found += [cost for use in _targets(edge.node) for cost in _consulted(use, node, run)] * edge.times
    return found


def _continuing(use: Use, run: Run) -> int:
    """What a call costs that goes on with a stream that broke: it reads what was said by then, too."""
    place = _place(use, run)
    if not run.continues or "prefill" not in (run.face(place).can or ()):
        return 0
    said = max((_output(_place(each, run), run) for each in _targets(run.bound.route.start)), default=0)
    read = run.view.input_tokens + said + run.bound.overhead["message"]
    return _known(worst_cost(read, _output(place, run), run.prices(place), run.clock.now))


def _consulted(use: Use, asking: Node, run: Run) -> list[int]:
    """What the calls of a judge cost, which reads every answer that there can be to one request."""
    place = _place(use, run)
    answers = [
        max((_output(_place(each, run), run) for each in _targets(edge.node)), default=0)
        for edge in edges(asking)
        if edge.role == ANSWER
    ]
    read = _RETOLD * (run.view.input_tokens + sum(answers)) + _QUESTION
    most = place.deployment.facts.output
    output = CONSULT_TOKENS if most is None else min(most, CONSULT_TOKENS)
    cost = worst_cost(read, output, run.prices(place), run.clock.now)
    return [_known(cost)] * _calls(use)


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


def _calls(use: Use) -> int:
    return 1 + (use.call.retry_extra or 0)


def _known(value: int | None) -> int:
    if value is None:
        raise _Unknown
    return value
