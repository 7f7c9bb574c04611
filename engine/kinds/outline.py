"""What can be told of a node without running it: its edges, and the worst that walking it can cost.

`plan`, `graph` and the compiler's proofs share this, so that they cannot disagree about what a kind does.
Nodes are linked ones (`plan/link.py`): a named node stands in the place of its name. A vendor's own delay
(`retry-after`) is not foreseen: it is waited for only where it fits the request's deadline.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from engine.kinds.balance import Balance
from engine.kinds.fallback import Fallback
from engine.kinds.split import Split, percent
from engine.kinds.switch import Switch
from engine.kinds.use import DEFAULT_BACKOFF_MS, Use
from engine.plan.types import Node
from engine.policies.backoff import CAP_MS


class Edge(NamedTuple):
    """A child and what leads there; `label` is empty where the order alone says it."""

    label: str
    node: Node


@dataclass(frozen=True, slots=True)
class Worst:
    """Calls and milliseconds at most; `time_ms` None = nothing limits it."""

    calls: int = 0
    time_ms: int | None = 0

    def then(self, other: Worst) -> Worst:
        """One after the other."""
        both = self.time_ms is not None and other.time_ms is not None
        return Worst(self.calls + other.calls, (self.time_ms or 0) + (other.time_ms or 0) if both else None)

    def either(self, other: Worst) -> Worst:
        """One or the other."""
        both = self.time_ms is not None and other.time_ms is not None
        time = max(self.time_ms or 0, other.time_ms or 0) if both else None
        return Worst(max(self.calls, other.calls), time)


def edges(node: Node) -> tuple[Edge, ...]:
    """The children of a node, in the order they are asked or tested."""
    match node:
        case Fallback():
            return tuple(Edge("", child) for child in node.children)
        case Balance():
            return tuple(
                Edge(f"weight {weight:g}" if node.rank == "weight" else "", child)
                for child, weight in zip(node.children, node.weights, strict=True)
            )
        case Split():
            return tuple(Edge(_share(node, number), arm.node) for number, arm in enumerate(node.arms))
        case Switch():
            arms = tuple(Edge(arm.when.source, arm.node) for arm in node.arms)
            return (*arms, Edge("else", node.otherwise))
        case _:
            return ()


def _share(node: Split, arm: int) -> str:
    """An arm's share, and what it becomes: `5%, 20% from 2026-12-06 23:00 UTC`."""
    first, *later = node.layouts
    changes = (
        f"{percent(layout.points[arm])} from {datetime.fromtimestamp(layout.since, UTC):%Y-%m-%d %H:%M} UTC"
        for layout in later
    )
    return ", ".join(("share " + percent(first.points[arm]), *changes))


def walk_tree(node: Node) -> Iterator[Node]:
    """The node and everything below it, parents first."""
    yield node
    for edge in edges(node):
        yield from walk_tree(edge.node)


def reached(node: Node) -> tuple[str, ...]:
    """The deployments that a node can call, in the order first met."""
    return tuple(dict.fromkeys(item.deployment for item in walk_tree(node) if isinstance(item, Use)))


def worst(node: Node, *, retries: bool = True) -> Worst:
    """The most calls and time that one walk of the node takes; without `retries`, each target asked once."""
    match node:
        case Use():
            return _target(node, retries)
        case Balance():
            found = [worst(child, retries=retries) for child in node.children]
            tries = len(found) if node.tries is None else min(node.tries, len(found))
            calls = sum(sorted((w.calls for w in found), reverse=True)[:tries])
            times = [w.time_ms for w in found]
            known = sorted((t for t in times if t is not None), reverse=True)
            return Worst(calls, sum(known[:tries]) if len(known) == len(times) else None)
        case Switch() | Split():
            total = Worst()
            for edge in edges(node):
                total = total.either(worst(edge.node, retries=retries))
            return total
        case _:
            total = Worst()
            for edge in edges(node):
                total = total.then(worst(edge.node, retries=retries))
            return total


def _target(node: Use, retries: bool) -> Worst:
    """A call and its retries, each as long as `timeout.total`, with the longest backoff between them."""
    call = node.call
    extra = (call.retry_extra or 0) if retries and call.retry_failures != () else 0
    base = DEFAULT_BACKOFF_MS if call.retry_backoff_ms is None else call.retry_backoff_ms
    waits = sum(min(base << min(n, 20), CAP_MS) for n in range(extra))
    return Worst(1 + extra, None if call.total_ms is None else call.total_ms * (1 + extra) + waits)
