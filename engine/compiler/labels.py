"""Which labels an expression may read: those that are given on every way that leads to it.

A `classify` gives its label to all below it. A named node has what all its uses have, with the values of any
of them; so one that is also used without a `classify` above it cannot read the label.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from engine.compiler.document import Path
from engine.compiler.lower_jumps import jump_nodes
from engine.spec.nodes.classify import ClassifyNode
from engine.spec.nodes.node import NodeSpec
from engine.spec.nodes.use import UseNode
from engine.spec.workspace import Workspace

#: Label -> the values that it may have.
Labels = Mapping[str, tuple[str, ...]]
_NONE: Labels = {}


class _Here(NamedTuple):
    path: Path
    node: NodeSpec
    labels: Labels


def labels_by_place(spec: Workspace) -> Callable[[Path], Labels] | None:
    """Gives the labels that hold at a path; None where the workspace has no `classify`."""
    routes: list[tuple[Path, NodeSpec]] = [
        (("routes", name, "start"), route.start) for name, route in sorted(spec.routes.items())
    ]
    nodes: list[tuple[Path, NodeSpec]] = [
        (("nodes", name), node) for name, node in sorted(spec.nodes.items())
    ]
    every = (here.node for path, node in (*routes, *nodes) for here in _below(path, node, _NONE))
    if not any(isinstance(node, ClassifyNode) for node in every):
        return None
    named: dict[str, Labels] = {}
    places: dict[Path, Labels] = {}
    waiting = [(path, node, _NONE) for path, node in routes]
    users = _users(spec)
    for name in jump_nodes(spec):
        named[name] = _NONE
        users[name] -= 1
        if users[name] == 0:
            waiting.append((("nodes", name), spec.nodes[name], _NONE))
    while waiting:
        path, node, labels = waiting.pop()
        for here in _below(path, node, labels):
            places[here.path] = here.labels
            for name, labels_there in _uses(here, spec):
                named[name] = labels_there if name not in named else _both(named[name], labels_there)
                users[name] -= 1
                if users[name] == 0:
                    waiting.append((("nodes", name), spec.nodes[name], named[name]))

    def at(path: Path) -> Labels:
        """Those of the nearest node around the path."""
        while path and path not in places:
            path = path[:-1]
        return places.get(path, _NONE)

    return at


def _users(spec: Workspace) -> dict[str, int]:
    """How often each named node is used by what routes and jumps lead to."""
    counts = dict.fromkeys(jump_nodes(spec), 1)
    waiting = [route.start for route in spec.routes.values()] + [spec.nodes[name] for name in counts]
    while waiting:
        for here in _below((), waiting.pop(), _NONE):
            for name, _ in _uses(here, spec):
                counts[name] = counts.get(name, 0) + 1
                if counts[name] == 1:
                    waiting.append(spec.nodes[name])
    return counts


def _uses(here: _Here, spec: Workspace) -> Iterator[tuple[str, Labels]]:
    """The named nodes that a node uses, with the labels there: who is asked by the engine has none."""
    if isinstance(here.node, UseNode) and here.node.use in spec.nodes:
        yield here.node.use, here.labels
    for _, name in here.node.consults():
        if name in spec.nodes:
            yield name, _NONE


def _below(path: Path, node: NodeSpec, labels: Labels) -> Iterator[_Here]:
    """A node and all inside it, with the labels that each has above it."""
    yield _Here(path, node, labels)
    inside = {**labels, node.name: tuple(node.labels)} if isinstance(node, ClassifyNode) else labels
    for below, child in node.children():
        yield from _below((*path, *below), child, inside)


def _both(a: Labels, b: Labels) -> Labels:
    return {name: tuple(dict.fromkeys((*a[name], *b[name]))) for name in a if name in b}
