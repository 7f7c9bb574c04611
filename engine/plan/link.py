"""Puts named nodes in the place of their references and resolves what inherits.

A named node may hang under several routes with different defaults, so the plan keeps it once as
written; linking makes one tree a route, in which every target carries its full call options.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from engine.plan.types import Call, Node, Ref, Route

#: Fields of nodes that hold whom the engine asks for itself.
_CONSULTED = frozenset({"judge", "asks", "embed"})
_CALL_FIELDS = tuple(field.name for field in dataclasses.fields(Call) if field.name != "params")


def inherit(outer: Call, inner: Call) -> Call:
    """Nearest wins per leaf; `params` merge, and a None in them removes one."""
    values: dict[str, Any] = {}
    for name in _CALL_FIELDS:
        near = getattr(inner, name)
        values[name] = near if near is not None else getattr(outer, name)
    if inner.params is None or outer.params is None:
        values["params"] = inner.params if inner.params is not None else outer.params
    else:
        merged = {**outer.params, **inner.params}
        values["params"] = {key: value for key, value in merged.items() if value is not None}
    return Call(**values)


def _for(field: str, call: Call) -> Call:
    """What a node in that field inherits. What the engine asks for itself is not worded by the client's
    `params`: those hold for answers.
    """
    return dataclasses.replace(call, params=None) if field in _CONSULTED else call


def link(route: Route, node: Callable[[str], Node], deployment_call: Callable[[str], Call]) -> Route:
    """The route with its whole tree in place.

    Args:
        route: as the plan holds it.
        node: gives a named node.
        deployment_call: the options that a deployment itself declares; they are nearest to the call
            but for what the target says.
    """
    return dataclasses.replace(route, start=_Links(node, deployment_call).walk(route.start, route.call))


class _Links:
    """Walks a tree. A class, because functions inside a function that call each other are a cycle: each
    route that was ever linked would hold its plan until the collector comes by.
    """

    def __init__(self, node: Callable[[str], Node], deployment_call: Callable[[str], Call]) -> None:
        self._node = node
        self._deployment_call = deployment_call

    def walk(self, item: Node, outer: Call) -> Node:
        if isinstance(item, Ref):
            return self.walk(self._node(item.name), inherit(outer, item.call))
        call = inherit(outer, item.call)
        changes: dict[str, Any] = {"call": call}
        for field in dataclasses.fields(item):
            changes.update(self._children(field.name, getattr(item, field.name), call))
        if item.kind == "use":
            own = self._deployment_call(getattr(item, "deployment"))  # noqa: B009  (plan does not know kinds)
            changes["call"] = inherit(inherit(outer, own), item.call)
        return dataclasses.replace(item, **changes)

    def _children(self, name: str, value: Any, call: Call) -> Mapping[str, Any]:
        if isinstance(value, Node):
            return {name: self.walk(value, _for(name, call))}
        if isinstance(value, tuple) and value and isinstance(value[0], Node):
            return {name: tuple(self.walk(child, call) for child in value)}
        if isinstance(value, tuple) and value and dataclasses.is_dataclass(value[0]):
            return {name: tuple(self._inner(child, call) for child in value)}
        if name != "call" and dataclasses.is_dataclass(value):
            return {name: self._inner(value, call)}
        return {}

    def _inner(self, edge: Any, call: Call) -> Any:
        nodes = {
            field.name: self.walk(getattr(edge, field.name), _for(field.name, call))
            for field in dataclasses.fields(edge)
            if isinstance(getattr(edge, field.name), Node)
        }
        return dataclasses.replace(edge, **nodes) if nodes else edge
