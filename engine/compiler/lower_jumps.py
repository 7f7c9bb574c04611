"""Jumps: which `use` of budgets and limits may lead a route's requests elsewhere, as branches of its graph.

A route has those of its own budgets and limits, of every floor, group and client key, whatever their `when`;
and those of budgets and limits that no file attaches to anything: only keys in the state store can.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from engine.compiler.document import Path
from engine.kinds.jumps import Jump, Jumps
from engine.kinds.use import Use
from engine.plan.types import Call, Node, Ref
from engine.spec import limit as limits
from engine.spec.workspace import Workspace
from engine.units import show_ratio

Section = Literal["budgets", "limits"]
_SECTIONS: Final[tuple[Section, ...]] = ("budgets", "limits")


@dataclass(slots=True)
class _Branch:
    """What is known of one target of jumps. `path`: where it is first written."""

    path: Path
    why: list[str] = field(default_factory=list)
    before: bool = False
    after: bool = False


def everywhere(spec: Workspace) -> dict[Section, tuple[str, ...]]:
    """The budgets and limits that every route may come under, whatever it names itself."""
    return {section: _everywhere(spec, section) for section in _SECTIONS}


def with_jumps(
    spec: Workspace,
    name: str,
    start: Node,
    places: dict[str, Path],
    everywhere: Mapping[Section, tuple[str, ...]],
) -> Node:
    """A route's start with the jumps that may apply to it; the start itself where there are none.

    `places` is told where each new node is written.
    """
    found: dict[str, _Branch] = {}
    for section in _SECTIONS:
        own = getattr(spec.routes[name], section) or ()
        for each in dict.fromkeys((*own, *everywhere[section])):
            for target, path, why, at_end in _uses(spec, section, each):
                branch = found.setdefault(target, _Branch(path))
                branch.why.append(why)
                branch.before |= not at_end
                branch.after |= at_end
    if not found:
        return start
    node = Jumps(f"{name}/jumps", Call(), start, tuple(_jump(spec, name, *item) for item in found.items()))
    places[node.id] = ("routes", name, "start")
    places.update({jump.node.id: found[jump.name].path for jump in node.branches})
    return node


def _jump(spec: Workspace, route: str, target: str, found: _Branch) -> Jump:
    own = f"{route}/jumps/{target}", Call()
    node = Use(*own, target) if target in spec.deployments else Ref(*own, target)
    return Jump(target, node, ", ".join(dict.fromkeys(found.why)), found.before, found.after)


def attached(spec: Workspace, section: Section) -> set[str]:
    """The budgets or limits that some route, floor, group or client key of a file names."""
    holders: list[Any] = [*spec.routes.values(), *_floors(spec)]
    if section == "limits":
        holders += spec.deployments.values()
    return {name for holder in holders for name in getattr(holder, section, None) or ()}


def _everywhere(spec: Workspace, section: Section) -> tuple[str, ...]:
    floors = (name for holder in _floors(spec) for name in getattr(holder, section, None) or ())
    free = sorted(getattr(spec, section).keys() - attached(spec, section))
    return tuple(dict.fromkeys((*floors, *free)))


def _floors(spec: Workspace) -> Iterator[Any]:
    """Whatever may lay budgets and limits under routes that do not name them."""
    yield from (each for _, each in sorted(spec.require.items()))
    yield from (each for _, each in sorted(spec.groups.items()))
    if spec.keys is not None:
        yield from (each for _, each in sorted((spec.keys.clients or {}).items()))


def _uses(spec: Workspace, section: Section, name: str) -> Iterator[tuple[str, Path, str, bool]]:
    """(target, where it is written, why in words, whether it is for the end) of each jump."""
    if section == "limits":
        beyond = spec.limits[name].on_exceed
        if isinstance(beyond, limits.Jump):
            yield beyond.use, ("limits", name, "on_exceed"), f"beyond {name}", False
        return
    steps = spec.budgets[name].steps or ()
    last = max((index for index, step in enumerate(steps) if step.use is not None), default=-1)
    for index, step in enumerate(steps):
        if step.use is not None:
            why = f"at {show_ratio(step.at)} of {name}"
            path: Path = ("budgets", name, "steps", index)
            if step.at < 1:
                yield step.use, path, why, False
            if index == last:
                yield step.use, path, why, True


def jump_nodes(spec: Workspace) -> list[str]:
    """The named nodes that jumps lead to, each once."""
    every = (
        target
        for section in _SECTIONS
        for name in sorted(getattr(spec, section))
        for target, *_ in _uses(spec, section, name)
    )
    return list(dict.fromkeys(target for target in every if target in spec.nodes))
