"""A dialect of a plan, that costs nothing until somebody speaks it."""

from __future__ import annotations

import json

from engine.plan.codec import decode
from engine.plan.types import DialectSegment
from engine.plan.vendors import Dialect
from engine.wire.dialect import BoundDialect


class LazyDialect:
    """A dialect of a plan, decoded and bound when first needed, shared by the snapshots that have it."""

    __slots__ = ("_bound", "_plan", "_text")

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._plan: Dialect | None = None
        self._bound: BoundDialect | None = None

    @property
    def plan(self) -> Dialect:
        if self._plan is None:
            self._plan = decode(DialectSegment, json.loads(self._text)).dialect
        return self._plan

    @property
    def bound(self) -> BoundDialect:
        if self._bound is None:
            self._bound = BoundDialect(self.plan)
        return self._bound
