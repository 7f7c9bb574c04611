"""The most that one request may cost on its way through a route, whatever `admit` lets in: what is proven.

Every call that a request could come to is as dear as it may get at any time: all input that is let in, all
output that may be written, the dearest row, tier and kind of its price, the longest time. Targets with their
retries (who may have to go on with a broken stream reads what was said by then, too); of a switch or split
the dearest branch; of a balance as many as are tried; judges and the like, which read the request and the
answers again. Of these, as many as `per_request.calls` allows, the dearest first. Copies of mirrors are
requests of their own. `explain/worst_cost` works out the same for one request that is known.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from engine import units
from engine.compiler.expr import disjoint
from engine.compiler.expressions import own_condition
from engine.kinds.asking import CONSULT_TOKENS, QUESTION_TOKENS, RETOLD
from engine.kinds.balance import Balance
from engine.kinds.cascade import Cascade
from engine.kinds.ensemble import Ensemble
from engine.kinds.outline import ANSWER, MIRROR, edges, walk_tree
from engine.kinds.split import Split
from engine.kinds.switch import Switch
from engine.kinds.use import Use, longest
from engine.plan.types import Deployment, Node, Route
from engine.plan.values import Expr
from engine.plan.vendors import PriceRow
from engine.wire.pricing import worst_ever

#: More than any request has: a price that does not change up to here does not depend on it.
_MANY: Final = 10**9
#: Operations whose answers are no text: nothing is billed as written.
_WRITES_NOTHING: Final = frozenset({"embeddings", "rerank", "count_tokens", "moderations"})
#: What a message costs beside its text, at most: the rest of an answer stands in one.
_MESSAGE: Final = 64
#: Every document of a ranking is this many tokens of its input, at least.
_DOCUMENT: Final = 8

What = Literal["price", "input", "output"]


class Unbounded(Exception):
    """Why nobody can say what a call costs at most: its price, or what bounds its input or output, is not
    known.
    """

    def __init__(self, use: Use, what: What) -> None:
        super().__init__(f"{use.deployment}: {what}")
        self.use = use
        self.what: What = what


@dataclass(frozen=True, slots=True)
class Call:
    """One call that may be made, in nano-dollars at most."""

    use: Use
    cost: int


@dataclass(slots=True)
class Calls:
    """Those of the request itself, and those of each copy that a mirror makes of it."""

    own: list[Call]
    copies: list[list[Call]]

    def total(self) -> int:
        return sum(call.cost for call in self.own)

    def add(self, other: Calls) -> None:
        self.own += other.own
        self.copies += other.copies


class WorstCost:
    """Of one route, linked."""

    def __init__(self, route: Route, deployments: Mapping[str, Deployment]) -> None:
        self._route = route
        self._deployments = deployments
        self._writes = not _WRITES_NOTHING.issuperset(route.match.operations)
        self._ranks = "rerank" in route.match.operations
        self._longest: dict[str, int | None] = {}
        self._said = 0

    def paths(self) -> list[list[Call]]:
        """The dearest calls of a request, and of each copy of it: as many as are allowed, the dearest first.

        Raises:
            Unbounded: at the first target of which nobody can say it.
        """
        start = self._route.start
        if self._route.stream.on_cut == "continue":
            self._said = max((self._output(use) or 0 for use in _answering(start)), default=0)
        found = self._below(start, ())
        most = self._route.per_request.calls
        return [_dearest(calls, most) for calls in (found.own, *found.copies)]

    def gap(self, use: Use, role: str) -> What | None:
        """What is missing to say how much a call there costs, beside what is let in; None: nothing is."""
        try:
            self._cost(use, 0, self._consult_output(use, role) if role != ANSWER else self._output(use))
        except Unbounded as unbounded:
            return unbounded.what
        return None

    # --- the graph

    def _below(self, node: Node, holds: tuple[Expr, ...]) -> Calls:
        if isinstance(node, Use):
            return Calls(self._calls(node, self._input(holds)), [])
        if isinstance(node, Switch):
            return self._dearest_arm(node, holds)
        answers = [self._below(edge.node, holds) for edge in edges(node) if edge.role == ANSWER]
        if isinstance(node, Split):
            return _either(answers)
        if isinstance(node, Balance) and node.tries is not None:
            answers = sorted(answers, key=Calls.total, reverse=True)[: node.tries]
        found = Calls([], [])
        for calls in answers:
            found.add(calls)
        for edge in edges(node):
            if edge.role == MIRROR:
                copy = self._below(edge.node, holds)
                found.copies += [copy.own, *copy.copies]
            elif edge.role != ANSWER:
                for use in _answering(edge.node):
                    found.own += self._consulted(use, edge.role, node, holds) * edge.times
        return found

    def _dearest_arm(self, node: Switch, holds: tuple[Expr, ...]) -> Calls:
        """Each arm under what its condition leaves of the requests."""
        found: list[Calls] = []
        for arm in node.arms:
            found.append(self._below(arm.node, (*holds, arm.when)))
            holds = (*holds, dataclasses.replace(arm.when, ir=["not", arm.when.ir]))
        return _either([*found, self._below(node.otherwise, holds)])

    def _calls(self, use: Use, read: int | None) -> list[Call]:
        """A target and its retries."""
        output = self._output(use)
        if (
            self._said
            and "prefill" in (self._deployments[use.deployment].facts.can or ())
            and read is not None
        ):
            read += self._said + _MESSAGE
        return [Call(use, self._cost(use, read, output))] * _tries(use)

    def _consulted(self, use: Use, role: str, asking: Node, holds: tuple[Expr, ...]) -> list[Call]:
        """Calls of the engine's own: an embedder reads the request, a judge the answers to it too."""
        read = self._input(holds)
        if read is not None:
            read *= RETOLD
            if role != "embed":
                read += QUESTION_TOKENS
            if isinstance(asking, Cascade | Ensemble):
                read += RETOLD * sum(self._answer(edge.node) for edge in edges(asking) if edge.role == ANSWER)
        return [Call(use, self._cost(use, read, self._consult_output(use, role)))] * _tries(use)

    # --- one call

    def _cost(self, use: Use, read: int | None, output: int | None) -> int:
        deployment = self._deployments[use.deployment]
        if deployment.uncounted:
            return 0
        prices, ms = deployment.facts.prices, self._time(use.deployment)
        reads, writes = _MANY if read is None else read, _MANY if output is None else output
        most = self._priced(use, prices, reads, writes, ms)
        if output is None and self._priced(use, prices, reads, 0, ms) != most:
            raise Unbounded(use, "output")
        if read is None and self._priced(use, prices, 0, writes, ms) != most:
            raise Unbounded(use, "input")
        return most

    def _priced(self, use: Use, prices: Sequence[PriceRow], read: int, output: int, ms: int | None) -> int:
        units = 1
        if self._ranks:
            units = max(1, -(-read // (_DOCUMENT * 100)))
        cost = worst_ever(read, output, prices, ms, units)
        if cost is None:
            raise Unbounded(use, "price")
        return cost

    def _output(self, use: Use) -> int | None:
        """Tokens that a call there may write, over all answers; None: nobody says."""
        if not self._writes:
            return 0
        admit, most = self._route.admit, self._deployments[use.deployment].facts.output
        known = [each for each in (admit.output, most) if each is not None]
        return min(known) * admit.n if known else None

    def _consult_output(self, use: Use, role: str) -> int:
        if role == "embed":
            return 0
        most = self._deployments[use.deployment].facts.output
        return CONSULT_TOKENS if most is None else min(most, CONSULT_TOKENS)

    def _answer(self, node: Node) -> int:
        """The longest answer that can come from below a node."""
        return max((self._output(use) or 0 for use in _answering(node)), default=0)

    def _time(self, deployment: str) -> int | None:
        if deployment not in self._longest:
            nodes = walk_tree(self._route.start)
            uses = (node for node in nodes if isinstance(node, Use) and node.deployment == deployment)
            self._longest[deployment] = longest(uses, self._route.per_request.time_ms)
        return self._longest[deployment]

    # --- what is let in

    def _input(self, holds: tuple[Expr, ...]) -> int | None:
        """The most input that comes to where all of this holds; None: nobody bounds it."""
        most = self._route.admit.input
        speaking = [each for each in holds if each.scope == _AT_LEAST.scope and "input_tokens" in each.source]
        if most is None or not speaking:
            return most
        together = dataclasses.replace(_AT_LEAST, ir=["and", [_lists(each.ir) for each in speaking]])
        low, high = 0, most  # so much may come; more than `high` does not
        while low < high:
            middle = (low + high + 1) // 2
            if disjoint(_at_least(middle), together):
                high = middle - 1
            else:
                low = middle
        return low


_AT_LEAST: Final = own_condition("request.input_tokens >= 1")


def _at_least(tokens: int) -> Expr:
    tag, op, field, (_, _), *rest = _AT_LEAST.ir
    return dataclasses.replace(_AT_LEAST, ir=[tag, op, field, ["c", tokens], *rest])


def _lists(ir: Any) -> Any:
    """Code as the compiler makes it: a plan that was read has tuples for lists."""
    return [_lists(each) for each in ir] if isinstance(ir, list | tuple) else ir


def show_worst(nanos: int) -> str:
    """An amount, rounded up to millionths of a dollar."""
    return units.show_money(-(-nanos // 1000) * 1000)


def _answering(node: Node) -> Iterator[Use]:
    """The targets below a node that may answer."""
    if isinstance(node, Use):
        yield node
    for edge in edges(node):
        if edge.role == ANSWER:
            yield from _answering(edge.node)


def _either(branches: Sequence[Calls]) -> Calls:
    """The dearest of several ways; copies are of all that make any."""
    dearest = max(branches, key=Calls.total)
    return Calls(dearest.own, [copy for calls in branches for copy in calls.copies])


def _dearest(calls: Sequence[Call], most: int | None) -> list[Call]:
    ordered = sorted(calls, key=lambda call: call.cost, reverse=True)
    return ordered if most is None else ordered[:most]


def _tries(use: Use) -> int:
    return 1 + (use.call.retry_extra or 0) * (use.call.retry_failures != ())
