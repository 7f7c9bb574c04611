"""`mirror: NODE`: a copy of the traffic goes elsewhere; its answer is thrown away.

The copy is a request of its own from then on, with a record of its own (`aside_of` names the request): it is
never waited for, fails alone, and draws on nothing of the request's but the limits of the deployments.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from engine.kinds.effects import Aside, Context, Draw, Note, Steps
from engine.kinds.use import Use
from engine.kinds.walk import Rest, walk
from engine.kinds.walk import targets as targets_of
from engine.plan.types import Node


@dataclass(frozen=True, slots=True)
class Mirror(Node):
    """Who answers, who gets the copy, and of which share of the requests (0 to 1)."""

    kind: ClassVar[str] = "mirror"
    node: Node
    to: Node
    share: float = 1.0


def steps(node: Mirror, ctx: Context, rest: Rest | None) -> Steps:
    """Send the copy off, then answer."""
    if node.share >= 1 or (yield Draw()) < node.share:
        yield Note(node.id, "mirrored", f"a copy goes to {node.to.id}")
        yield Aside(node.to, "mirror", f"{node.share:.4g} of the traffic", ctx.labels)
    return (yield from walk(node.node, ctx, rest))


def targets(node: Mirror, ctx: Context) -> Iterator[Use]:
    """Those that can answer."""
    return targets_of(node.node, ctx)
