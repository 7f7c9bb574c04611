"""Bounds on what a route becomes once named nodes stand in their places.

A node that is used twice stands in the tree twice, so forty nodes that each use the next one twice would be a
million million targets. Counted before anything is expanded, from the bottom up, without recursion.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from engine.compiler.document import Document
from engine.compiler.lower_jumps import jump_nodes
from engine.diagnostics import Diagnostics
from engine.spec.nodes.node import NodeSpec
from engine.spec.nodes.use import UseNode
from engine.spec.workspace import Workspace

#: Nodes in the tree of one route, and how deep it may be.
MAX_NODES: Final = 10_000
MAX_DEPTH: Final = 100


@dataclass(slots=True)
class _Size:
    """A node's own tree, and the named nodes in it with the depth at which each stands."""

    nodes: int = 0
    depth: int = 0
    uses: list[tuple[str, int]] = field(default_factory=list)


def check_graph_size(spec: Workspace, document: Document, out: Diagnostics) -> None:
    """E245 for each route that is too large. The graph must have no cycles."""
    named = {name: _own(node, spec) for name, node in spec.nodes.items()}
    whole: dict[str, tuple[int, int]] = {}
    for name in _bottom_up(named):
        whole[name] = _total(named[name], whole)
    jumps = [(name, 1) for name in jump_nodes(spec)]  # as many as any route can have
    for name, route in sorted(spec.routes.items()):
        size = _own(route.start, spec)
        size.uses += jumps
        nodes, depth = _total(size, whole)
        if nodes > MAX_NODES or depth > MAX_DEPTH:
            found = f"{nodes:,} nodes" if nodes > MAX_NODES else f"{depth:,} levels"
            bound = f"{MAX_NODES:,} nodes" if nodes > MAX_NODES else f"{MAX_DEPTH} levels"
            out.add(
                "E245",
                f"the route `{name}` grows to {found}; at most {bound} are compiled",
                document.key_span(("routes", name)),
                help="a named node counts wherever it is used: use it at fewer places",
            )


def _own(node: NodeSpec, spec: Workspace) -> _Size:
    size = _Size()
    waiting = [(node, 1)]
    while waiting:
        item, depth = waiting.pop()
        size.nodes += 1
        size.depth = max(size.depth, depth)
        if isinstance(item, UseNode) and item.use in spec.nodes:
            size.uses.append((item.use, depth))
        waiting.extend((child, depth + 1) for _, child in item.children())
        for _, name in item.consults():
            size.nodes += 1
            if name in spec.nodes:
                size.uses.append((name, depth + 1))
    return size


def _total(size: _Size, whole: dict[str, tuple[int, int]]) -> tuple[int, int]:
    nodes = size.nodes + sum(whole[name][0] for name, _ in size.uses)
    return nodes, max([size.depth, *(depth + whole[name][1] for name, depth in size.uses)])


def _bottom_up(named: dict[str, _Size]) -> Iterator[str]:
    """The names, each after all that it uses."""
    done: set[str] = set()
    for start in named:
        waiting = [start]
        while waiting:
            name = waiting[-1]
            missing = [use for use, _ in named[name].uses if use not in done]
            if missing:
                waiting.extend(missing)
            else:
                waiting.pop()
                if name not in done:
                    done.add(name)
                    yield name
