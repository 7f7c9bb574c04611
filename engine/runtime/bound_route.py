"""A route ready to run, and what is found in its tree when it is made so."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

from engine.kinds.jumps import Jumps
from engine.kinds.use import Use
from engine.plan.types import Deployment, Node, Route
from engine.plan.values import Expr
from engine.runtime import tokens
from engine.runtime.people import Person
from engine.runtime.place import Counter, Place, Test
from engine.runtime.terms import NO_TERMS, BudgetTerm, Terms
from engine.state.health import Peers
from engine.wire.canonical import Request


@dataclasses.dataclass(slots=True)
class BoundRoute:
    """A route ready to run: its whole tree in place, its expressions as functions (by the Expr's id).

    peers: target's id -> with whom it is compared, and who stands in for it.
    count: a request's input tokens, never too low for any of its targets.
    most_output: tokens of the longest answer that one of its targets gives, as far as that is known.
    terms: what holds for all of its requests. special: for those of some keys (by the person's id()).
    compared: the budgets whose use its expressions read.
    jumps: where its requests may be led before anybody is asked.
    counts: calls have to be counted whatever its terms say: for those, or in limits of its deployments.
    """

    route: Route
    tests: dict[int, Test]
    places: dict[str, Place]
    overhead: dict[str, int]
    counters: tuple[tuple[Counter, Deployment], ...]  # one a deployment where all can count, else empty
    peers: dict[str, Peers]
    terms: Terms = NO_TERMS
    count: Callable[[Request], int] = tokens.bound
    most_output: int = 0
    special: dict[int, tuple[Person, Terms]] = dataclasses.field(default_factory=dict)
    compared: tuple[BudgetTerm, ...] = ()
    counts: bool = False
    jumps: frozenset[str] = frozenset()
    meanings: dict[int, str] = dataclasses.field(
        default_factory=dict
    )  # by the node's id(); filled when asked


def targets_in(node: Node) -> Iterator[Use]:
    """Every target in a tree."""
    if isinstance(node, Use):
        yield node
    for value in _inside(node):
        if isinstance(value, Node):
            yield from targets_in(value)


def jumps_of(start: Node) -> frozenset[str]:
    """The names of the branches that a limit or a budget may take in the place of a route's start."""
    if not isinstance(start, Jumps):
        return frozenset()
    return frozenset(branch.name for branch in start.branches if branch.before)


def turns_of(route: Route) -> Iterator[Expr]:
    """What decides who is served first of those who wait."""
    for expr in (route.priority, route.fair_by):
        if expr is not None:
            yield expr


def expressions_in(node: Node) -> Iterator[Expr]:
    """Every expression in a tree."""
    for value in _inside(node):
        if isinstance(value, Expr):
            yield value
        else:
            yield from expressions_in(value)


def budgets_in(ir: Any) -> Iterator[str]:
    """The names in `budget("name").used`."""
    if isinstance(ir, list | tuple):
        if len(ir) == 4 and ir[0] == "m" and ir[2] == "budget_used":
            yield ir[3][0][1]
        for item in ir:
            yield from budgets_in(item)


def _inside(node: Any) -> Iterator[Any]:
    """The nodes and expressions directly in a node, whatever its kind; edges are looked through."""
    for field in dataclasses.fields(node):
        value = getattr(node, field.name)
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, Node | Expr):
                yield item
            elif field.name != "call" and dataclasses.is_dataclass(item):
                yield from _inside(item)
