"""Labels that nothing below reads: the classifier works, or is paid, for nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from engine.compiler.checks.subject import Subject
from engine.compiler.expr import fields_read
from engine.kinds.classify import Classify
from engine.kinds.outline import walk_tree
from engine.plan.types import Node
from engine.plan.values import Expr


def check(subject: Subject) -> None:
    told: set[str] = set()
    for name in sorted(subject.lowered.routes):
        for node in walk_tree(subject.linked(name).start):
            if isinstance(node, Classify) and node.id not in told and not _read(node):
                told.add(node.id)
                subject.out.add(
                    "W266",
                    f"nothing below reads `label.{node.name}`",
                    subject.document.span((*subject.places[node.id], "as")),
                    help=f'read it, like `when: label.{node.name} == "{node.otherwise}"`, or leave it out',
                )


def _read(node: Classify) -> bool:
    wanted = f"label.{node.name}"
    return any(wanted in fields_read(expr) for expr in _expressions(node.node))


def _expressions(value: Any) -> Iterator[Expr]:
    """All expressions in a linked node and below it, whatever its kind."""
    if isinstance(value, Expr):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _expressions(item)
    elif isinstance(value, Node) or dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            if field.name != "call":
                yield from _expressions(getattr(value, field.name))
