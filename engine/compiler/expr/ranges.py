"""The values that a field can still have under several comparisons with constants."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Bounds:
    """One comparison: `==` any of `values`, `!=` all of them, `< <= > >=` the first, or `prefix`."""

    op: str
    values: tuple[Any, ...]


@dataclass(slots=True)
class Range:
    """What is left. Texts are held by the values allowed or excluded, numbers by an interval too."""

    allowed: list[Any] | None = None
    excluded: list[Any] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False

    def narrow(self, bounds: Bounds) -> bool:
        """Apply one comparison; False when nothing is left."""
        op, values = bounds.op, bounds.values
        if op == "==":
            self.allowed = [v for v in values if self.allowed is None or v in self.allowed]
        elif op == "!=":
            self.excluded += values
        elif op == "prefix":
            self.prefixes += values
        elif isinstance(values[0], int | float):
            self._order(op, values[0])
        return self._possible()

    def _order(self, op: str, value: float) -> None:
        if op in ("<", "<=") and (value, op == "<=") < (self.high, not self.high_open):
            self.high, self.high_open = value, op == "<"
        if op in (">", ">=") and (-value, op == ">=") < (-self.low, not self.low_open):
            self.low, self.low_open = value, op == ">"

    def _possible(self) -> bool:
        if self.allowed is not None:
            return any(self._holds(value) for value in self.allowed)
        if not all(a.startswith(b) or b.startswith(a) for a in self.prefixes for b in self.prefixes):
            return False
        return self.low < self.high or (self.low == self.high and not self.low_open and not self.high_open)

    def _holds(self, value: Any) -> bool:
        if value in self.excluded:
            return False
        if isinstance(value, str):
            return all(value.startswith(prefix) for prefix in self.prefixes)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return True
        above = value > self.low or (value == self.low and not self.low_open)
        below = value < self.high or (value == self.high and not self.high_open)
        return above and below
