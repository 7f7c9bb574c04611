"""Draws the routes of a plan, as Mermaid or DOT text.

Boxes are nodes, rounded boxes are deployments; a deployment is drawn once for each route, so that a picture
of many routes stays readable. Texts come from users, so everything that either language could read as
markup is escaped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from engine.explain.plan_view import linked, title
from engine.kinds.outline import edges
from engine.kinds.use import Use
from engine.plan.plan import Plan
from engine.plan.types import Node

#: Kinds whose children are asked in their order.
_ORDERED: Final = frozenset({"fallback", "cascade", "hedge"})


@dataclass(frozen=True, slots=True)
class _Box:
    id: str
    lines: tuple[str, ...]
    shape: str  # route, node, target, answer


@dataclass(frozen=True, slots=True)
class _Arrow:
    start: str
    end: str
    label: str


@dataclass(frozen=True, slots=True)
class _Picture:
    route: str
    boxes: tuple[_Box, ...]
    arrows: tuple[_Arrow, ...]


def mermaid(plan: Plan, routes: Sequence[str]) -> str:
    """A Mermaid flowchart of the routes."""
    return (
        "\n".join(["flowchart LR", *(line for p in _pictures(plan, routes) for line in _mermaid(p))]) + "\n"
    )


def dot(plan: Plan, routes: Sequence[str]) -> str:
    """A DOT digraph of the routes, for Graphviz."""
    lines = [line for p in _pictures(plan, routes) for line in _dot(p)]
    head = ["digraph plan {", "  rankdir=LR;", '  node [shape=box, fontname="sans-serif", fontsize=11];']
    return "\n".join([*head, '  edge [fontname="sans-serif", fontsize=10];', *lines, "}"]) + "\n"


def _pictures(plan: Plan, routes: Sequence[str]) -> Iterator[_Picture]:
    for number, name in enumerate(routes):
        route = linked(plan, name)
        drawing = _Drawing(plan, f"r{number}")
        start = drawing.draw(route.start)
        root = _Box(f"r{number}", (name, *(m for m in route.match.models if m != name)), "route")
        label = f"when {route.match.when.source}" if route.match.when else ""
        arrows = [_Arrow(root.id, start, label), *drawing.arrows]
        yield _Picture(name, (root, *drawing.boxes.values()), tuple(arrows))


class _Drawing:
    def __init__(self, plan: Plan, prefix: str) -> None:
        self.plan = plan
        self.prefix = prefix
        self.boxes: dict[str, _Box] = {}
        self.arrows: list[_Arrow] = []

    def draw(self, node: Node) -> str:
        """Add a node and what is below it; returns its box's id."""
        if isinstance(node, Use):
            return self._target(node)
        box = _Box(f"{self.prefix}n{len(self.boxes)}", (title(node),), "node" if edges(node) else "answer")
        self.boxes[box.id] = box
        for number, edge in enumerate(edges(node), 1):
            label = edge.label or (str(number) if node.kind in _ORDERED else "")
            arrow = len(self.arrows)
            self.arrows.append(_Arrow(box.id, box.id, label))  # keeps the order of the file
            self.arrows[arrow] = _Arrow(box.id, self.draw(edge.node), label)
        return box.id

    def _target(self, node: Use) -> str:
        deployment = self.plan.deployment(node.deployment)
        name = f"{self.prefix}d_{node.deployment}"
        lines = (node.deployment, f"{deployment.provider} {deployment.model}", deployment.residency)
        self.boxes[name] = _Box(name, lines, "target")
        return name


def _mermaid(picture: _Picture) -> Iterator[str]:
    shapes = {"route": ('(["', '"])'), "node": ('["', '"]'), "target": ('("', '")'), "answer": ('>"', '"]')}
    ids = {box.id: f"{picture.boxes[0].id}_{i}" for i, box in enumerate(picture.boxes)}
    yield f'  subgraph {picture.boxes[0].id}["{_html(picture.route)}"]'
    for box in picture.boxes:
        left, right = shapes[box.shape]
        yield f"    {ids[box.id]}{left}{'<br/>'.join(_html(line) for line in box.lines)}{right}"
    for arrow in picture.arrows:
        label = f'|"{_html(arrow.label)}"|' if arrow.label else ""
        yield f"    {ids[arrow.start]} -->{label} {ids[arrow.end]}"
    yield "  end"


def _dot(picture: _Picture) -> Iterator[str]:
    styles = {
        "route": "shape=oval, style=bold",
        "node": "shape=box",
        "target": 'shape=box, style="rounded,filled", fillcolor="#eef3fb"',
        "answer": "shape=note",
    }
    yield f"  subgraph {_quoted('cluster_' + picture.route)} {{"
    yield f"    label={_quoted(picture.route)};"
    for box in picture.boxes:
        label = "\\n".join(_escaped(line) for line in box.lines)
        yield f'    {_quoted(box.id)} [label="{label}", {styles[box.shape]}];'
    for arrow in picture.arrows:
        label = f" [label={_quoted(arrow.label)}]" if arrow.label else ""
        yield f"    {_quoted(arrow.start)} -> {_quoted(arrow.end)}{label};"
    yield "  }"


def _html(text: str) -> str:
    """Mermaid reads entity codes inside quotes, and HTML; `#` begins a code of its own."""
    escaped = text.replace("#", "#35;").replace("&", "#amp;").replace('"', "#quot;")
    return escaped.replace("<", "#lt;").replace(">", "#gt;").replace("\n", " ").replace("`", "#96;")


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")


def _quoted(text: str) -> str:
    return f'"{_escaped(text)}"'
