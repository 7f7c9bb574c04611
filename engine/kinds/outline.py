"""What can be told of a node without running it: its edges, and the worst that walking it can cost.

`plan`, `graph` and the compiler's proofs share this, so that they cannot disagree about what a kind does.
Nodes are linked ones (`plan/link.py`): a named node stands in the place of its name. A vendor's own delay
(`retry-after`) is not foreseen: it is waited for only where it fits the request's deadline.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import reduce
from typing import Final, NamedTuple

from engine.kinds.balance import Balance
from engine.kinds.cache import Cache
from engine.kinds.cascade import Cascade
from engine.kinds.classify import Classify
from engine.kinds.ensemble import Ensemble
from engine.kinds.fallback import Fallback
from engine.kinds.hedge import Hedge
from engine.kinds.jumps import Jumps
from engine.kinds.mirror import Mirror
from engine.kinds.split import Split, percent
from engine.kinds.switch import Switch
from engine.kinds.use import DEFAULT_BACKOFF_MS, Use
from engine.plan.types import Node
from engine.policies.backoff import CAP_MS
from engine.units import show_duration

#: What a child is there for: it answers, or it gets a copy; any other role is a question of the engine's own.
ANSWER: Final = "answer"
MIRROR: Final = "mirror"


class Edge(NamedTuple):
    """A child and what leads there; `label` is empty where the order alone says it.

    role: `answer`, `mirror`, or what the engine itself asks it for (`judge`, ...).
    times: how often one walk can go there.
    """

    label: str
    node: Node
    role: str = ANSWER
    times: int = 1


@dataclass(frozen=True, slots=True)
class Worst:
    """Calls and milliseconds at most; `time_ms` None = nothing limits it.

    copies: calls of mirrors beside these, which are requests of their own.
    """

    calls: int = 0
    time_ms: int | None = 0
    copies: int = 0

    def then(self, other: Worst) -> Worst:
        """One after the other."""
        return self._with(other, sum, sum)

    def either(self, other: Worst) -> Worst:
        """One or the other."""
        return self._with(other, max, max)

    def beside(self, other: Worst) -> Worst:
        """Both at once."""
        return self._with(other, sum, max)

    def _with(
        self, other: Worst, calls: Callable[[tuple[int, int]], int], time: Callable[[tuple[int, int]], int]
    ) -> Worst:
        both = None
        if self.time_ms is not None and other.time_ms is not None:
            both = time((self.time_ms, other.time_ms))
        return Worst(calls((self.calls, other.calls)), both, calls((self.copies, other.copies)))


def edges(node: Node) -> tuple[Edge, ...]:
    """The children of a node, in the order they are asked or tested, then those it asks for itself."""
    match node:
        case Fallback():
            return tuple(Edge("", child) for child in node.children)
        case Hedge():
            return tuple(Edge("" if n == 0 else _after(node), child) for n, child in enumerate(node.children))
        case Balance() | Ensemble():
            told = node.rank == "weight" if isinstance(node, Balance) else node.merge == "weighted"
            members = tuple(
                Edge(f"weight {weight:g}" if told else "", child)
                for child, weight in zip(node.children, node.weights, strict=True)
            )
            judge = node.judge if isinstance(node, Ensemble) else None
            return members if judge is None else (*members, Edge("judge", judge, "judge"))
        case Split():
            return tuple(Edge(_share(node, number), arm.node) for number, arm in enumerate(node.arms))
        case Switch():
            arms = tuple(Edge(f"when {arm.when.source}", arm.node) for arm in node.arms)
            return (*arms, Edge("else", node.otherwise))
        case Cascade():
            looked_at = len(node.children) - node.deliver
            judges = tuple(
                Edge(f"judge, {check.below:g} is enough", check.judge, "judge", looked_at)
                for check in node.checks
                if check.judge is not None
            )
            return (*(Edge("", child) for child in node.children), *judges)
        case Classify():
            below = Edge("", node.node)
            if node.asks is None:
                return (below,)
            role = "embed" if node.via == "embedding" else "judge"
            return (below, Edge(role, node.asks, role))
        case Cache():
            below = Edge("", node.node)
            semantic = node.semantic
            return (below,) if semantic is None else (below, Edge("embed", semantic.embed, "embed"))
        case Mirror():
            return (Edge("", node.node), Edge(f"copy of {node.share * 100:.4g}%", node.to, MIRROR))
        case Jumps():
            return (Edge("", node.start), *(Edge(jump.why, jump.node) for jump in node.branches))
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


def _after(node: Hedge) -> str:
    if node.after_ms is None:
        return f"after p{node.after_percentile}"
    return f"after {show_duration(node.after_ms)}"


def walk_tree(node: Node) -> Iterator[Node]:
    """The node and everything below it, parents first: judges and mirrors too."""
    yield node
    for edge in edges(node):
        yield from walk_tree(edge.node)


def answering(node: Node) -> Iterator[Node]:
    """The node and everything below it that may answer the client's own request."""
    yield node
    for edge in edges(node):
        if edge.role == ANSWER:
            yield from answering(edge.node)


def reached(node: Node) -> tuple[str, ...]:
    """The deployments that a node can call, in the order first met."""
    return tuple(dict.fromkeys(item.deployment for item in walk_tree(node) if isinstance(item, Use)))


def _no_wait(_: str) -> int:
    return 0


def worst(node: Node, *, retries: bool = True, wait: Callable[[str], int] = _no_wait) -> Worst:
    """The most calls and time that one walk of the node takes.

    Args:
        node: linked.
        retries: False: each target asked once.
        wait: how long a call may wait for a place of a deployment, in ms.
    """
    if isinstance(node, Use):
        return _target(node, retries, wait(node.deployment))
    below = edges(node)
    found = [worst(edge.node, retries=retries, wait=wait) for edge in below if edge.role == ANSWER]
    match node:
        case Balance():
            total = _some(found, len(found) if node.tries is None else min(node.tries, len(found)))
        case Switch() | Split():
            total = reduce(Worst.either, found)
        case Ensemble():
            total = reduce(Worst.beside, found)
        case Hedge():
            total = _raced(found, node.after_ms)
        case Jumps():
            total = _jumped(node, found)
        case _:
            total = reduce(Worst.then, found, Worst())
    for edge in below:
        if edge.role == MIRROR:
            copy = worst(edge.node, retries=retries, wait=wait)
            total = Worst(total.calls, total.time_ms, total.copies + copy.calls + copy.copies)
        elif edge.role != ANSWER:
            for _ in range(edge.times):
                total = total.then(worst(edge.node, retries=retries, wait=wait))
    return total


def _jumped(node: Jumps, found: list[Worst]) -> Worst:
    """One of those that may be asked first, then all that may be asked once it has failed."""
    begins = [found[0], *(w for w, jump in zip(found[1:], node.branches, strict=True) if jump.before)]
    after = [w for w, jump in zip(found[1:], node.branches, strict=True) if jump.after]
    return reduce(Worst.then, after, reduce(Worst.either, begins))


def _raced(found: list[Worst], after_ms: int | None) -> Worst:
    """Each begins `after_ms` after the one before, or when all before have failed; None: the latter alone."""
    total = reduce(Worst.then, found, Worst())
    if after_ms is None or total.time_ms is None:
        return total
    over = 0
    for place, one in enumerate(found):
        over = max(over, min(over, after_ms * place) + (one.time_ms or 0))
    return Worst(total.calls, over, total.copies)


def _some(found: list[Worst], tries: int) -> Worst:
    """The worst of asking so many of them."""
    times = [w.time_ms for w in found]
    known = sorted((t for t in times if t is not None), reverse=True)
    return Worst(
        sum(sorted((w.calls for w in found), reverse=True)[:tries]),
        sum(known[:tries]) if len(known) == len(times) else None,
        sum(sorted((w.copies for w in found), reverse=True)[:tries]),
    )


def _target(node: Use, retries: bool, wait_ms: int) -> Worst:
    """A call and its retries, each as long as `timeout.total`, with the longest waits before and between."""
    call = node.call
    extra = (call.retry_extra or 0) if retries and call.retry_failures != () else 0
    base = DEFAULT_BACKOFF_MS if call.retry_backoff_ms is None else call.retry_backoff_ms
    waits = sum(min(base << min(n, 20), CAP_MS) for n in range(extra)) + wait_ms * (1 + extra)
    return Worst(1 + extra, None if call.total_ms is None else call.total_ms * (1 + extra) + waits)
