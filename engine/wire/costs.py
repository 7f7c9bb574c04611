"""What requests of a format may cost beside their tokens, as its dialect's `costs` section says.

Vendors sell quicker answers at a multiple of the price, further answers that nobody gets, and answers that
come elsewhere, each by a field of the request. No price book has that, so neither would a budget's worst
case, nor what is settled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from engine.plan.vendors import Costs, Dearer
from engine.wire import native_only

_LONGEST: Final = 40


class Bought(NamedTuple):
    """A field that asks for what no price knows, and what its client is told."""

    field: str
    why: str


class BoundCosts:
    """Of one format. wires: operation -> canonical field -> where it stands in a body."""

    def __init__(self, plan: Costs, wires: Mapping[str, Mapping[str, tuple[str, ...]]]) -> None:
        self.hosted = plan.hosted
        self._dearer = plan.dearer
        self._there = {operation: tuple(_canonical(plan.dearer, wire)) for operation, wire in wires.items()}
        self._elsewhere: Callable[[Mapping[str, Any]], str | None] = native_only.bind(plan.elsewhere)

    def dearer(self, body: Mapping[str, Any]) -> Bought | None:
        """The first field of a body in this format that makes a call dearer than its price."""
        for rule in self._dearer:
            if (found := _bought(rule, body, rule.field.split("."))) is not None:
                return found
        return None

    def dearer_there(self, request: Mapping[str, Any], operation: str) -> Bought | None:
        """The same of a canonical request that is going to be written in this format."""
        for rule, name in self._there.get(operation, ()):
            if name in request and (found := _bought(rule, request, [name])) is not None:
                return found
        return None

    def reads_elsewhere(self, body: Mapping[str, Any]) -> bool:
        """Whether the vendor reads what is not in the request."""
        return self._elsewhere(body) is not None


def _canonical(rules: Iterable[Dearer], wire: Mapping[str, tuple[str, ...]]) -> Iterator[tuple[Dearer, str]]:
    """Each rule with the canonical fields that it is about."""
    for rule in rules:
        for name, paths in wire.items():
            if any(_same(rule.field, path) for path in paths):
                yield rule, name


def _same(field: str, path: str) -> bool:
    """Whether one is the other, or in it."""
    return f"{field}.".startswith(f"{path}.") or f"{path}.".startswith(f"{field}.")


def _bought(rule: Dearer, fields: Mapping[str, Any], steps: list[str]) -> Bought | None:
    for value in native_only.values(fields, tuple(steps)):
        if value is None or value is False or _as_usual(rule, value, fields):
            continue
        return Bought(steps[0], f"{rule.field}{_shown(value)} {rule.why or _UNKNOWN.format(rule.field)}")
    return None


_UNKNOWN: Final = (
    "has no price that is known, and what this model costs is counted here: leave {0} out, or have a "
    "deployment made with that in its `params`, and its `price`"
)


def _as_usual(rule: Dearer, value: Any, fields: Mapping[str, Any]) -> bool:
    if rule.most is not None:
        other = fields.get(rule.most)
        return isinstance(value, int | float) and value <= max(1, other if isinstance(other, int) else 1)
    if rule.usual is None:
        return False
    return (value.lower() if isinstance(value, str) else value) in rule.usual


def _shown(value: Any) -> str:
    """A short value, as it is told."""
    if isinstance(value, str | int | float):
        text = repr(value)
        return f": {text if len(text) <= _LONGEST else text[:_LONGEST] + '...'}"
    return ""


def hosted_names(tool: Mapping[str, Any]) -> Iterator[str]:
    """What a tool of a vendor's own is called: by its `type`, or else by its keys."""
    kind = tool.get("type")
    if isinstance(kind, str):
        yield kind
    else:
        yield from tool
