"""Failure classes in `retry.failures` after which the same target is never asked again.

Repeating a call with a bad key, or one that the target refused as too long, gives the same answer.
"""

from __future__ import annotations

from collections.abc import Iterator

from engine.compiler.checks.subject import Subject
from engine.compiler.document import Path
from engine.policies.failures import GROUPS
from engine.policies.retry import IN_PLACE, IN_PLACE_IF_NAMED
from engine.spec.call import CallOptions
from engine.spec.nodes.node import NodeSpec


def check(subject: Subject) -> None:
    can = {*IN_PLACE, *IN_PLACE_IF_NAMED, *GROUPS}
    for path, spec in call_options(subject):
        failures = spec.retry.failures if spec.retry is not None else None
        for index, name in enumerate(failures or ()):
            if name not in can:
                subject.out.add(
                    "W236",
                    f"after `{name}` the same target is never asked again",
                    subject.document.span((*path, "retry", "failures", index)),
                    help="remove it here; `failures` says what moves on to the next target",
                )


def call_options(subject: Subject) -> Iterator[tuple[Path, CallOptions]]:
    """Everything on which the options that inherit may stand, with its path."""
    if subject.spec.defaults is not None:
        yield ("defaults",), subject.spec.defaults
    for name, route in sorted(subject.spec.routes.items()):
        yield ("routes", name), route
        yield from _in_node(route.start, ("routes", name, "start"))
    for name, node in sorted(subject.spec.nodes.items()):
        yield from _in_node(node, ("nodes", name))


def _in_node(node: NodeSpec, path: Path) -> Iterator[tuple[Path, CallOptions]]:
    if isinstance(node, CallOptions):
        yield path, node
    for below, child in node.children():
        yield from _in_node(child, path + below)
