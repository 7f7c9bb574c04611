"""Budgets, limits and the ledger as metrics.

A partition may be anything that clients say, so none is a label: a budget has the share of its fullest
partition, how many there are, how many are full, and what all of them spent. `refresh` reads the ledger
before a scrape, at most every `EVERY_S`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

from engine.control.standings import Sum, Sums, in_units, sums
from engine.observe.metrics import Combine, Metrics
from engine.state.ledger import Ledger

EVERY_S: Final = 5.0
#: A store that does not answer in this time is down, for the metrics.
_ANSWER_S: Final = 1.0

_Rows = Iterable[tuple[tuple[str, ...], float]]
_Read = Callable[[Sum], float]

#: Of budgets, over all partitions.
_AMOUNTS: Final[tuple[tuple[str, str, _Read], ...]] = (
    ("limit", "A budget's limit.", lambda s: in_units(s.measure, s.limit)),
    ("spent", "What was spent in its window, by all partitions.", lambda s: in_units(s.measure, s.spent)),
    ("held", "What calls under way may still spend.", lambda s: in_units(s.measure, s.held)),
)
#: Of budgets and limits.
_COUNTS: Final[tuple[tuple[str, str, _Read, Combine], ...]] = (
    ("used_ratio", "Share of a {kind} that is used, of its fullest partition.", lambda s: s.used, "max"),
    ("partitions", "Partitions of a {kind} in which something is counted.", lambda s: s.partitions, "sum"),
    ("partitions_full", "Partitions of a {kind} that have nothing left.", lambda s: s.full, "sum"),
)


class MoneyFigures:
    """Those of one process.

    ledger: its ledger. counts: whether the plan has budgets or limits. speaks: whether this process tells
    them: where several share a store, one does.
    """

    def __init__(
        self,
        ledger: Callable[[], Ledger],
        counts: Callable[[], bool],
        speaks: Callable[[], bool],
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._ledger, self._counts, self._speaks, self._wall = ledger, counts, speaks, wall
        self._sums: Sums = {}
        self._read_at = -EVERY_S
        self._seconds: float | None = None  # the last read took so long; None: there was none
        self._up = True

    async def refresh(self) -> None:
        """Read the ledger, if that is worth it now."""
        began = time.monotonic()
        if began - self._read_at < EVERY_S:
            return
        self._read_at = began
        if not self._counts():
            self._sums, self._seconds, self._up = {}, None, True
            return
        try:
            async with asyncio.timeout(_ANSWER_S):
                self._sums = await sums(self._ledger(), int(self._wall() * 1000))
            self._up = not self._ledger().away()
        except Exception:  # noqa: BLE001 - whatever ails a store, the other figures are told
            self._sums, self._up = {}, False
        self._seconds = time.monotonic() - began

    def register(self, metrics: Metrics) -> None:
        """Register the gauges."""
        gauge, of = metrics.gauge, self._of
        for name, said, read in _AMOUNTS:
            reading = partial(self._of_budgets, read)
            gauge(f"engine_budget_{name}", f"{said} In dollars or tokens.", ("budget", "unit"), reading)
        for kind in ("budget", "limit"):
            for name, said, read, combine in _COUNTS:
                about = said.format(kind=kind)
                gauge(f"engine_{kind}_{name}", about, (kind, "measure"), partial(of, kind, read), combine)
        gauge("engine_ledger_up", "1 while the state store answers.", (), self._is_up, "min")
        gauge(
            "engine_ledger_read_seconds",
            "How long the last reading of all counts took.",
            (),
            lambda: () if self._seconds is None else (((), self._seconds),),
            "max",
        )
        gauge(
            "engine_ledger_holds",
            "Reservations that are open.",
            (),
            lambda: (((), float(self._ledger().open_holds())),),
        )

    def _is_up(self) -> _Rows:
        return () if self._seconds is None else (((), float(self._up)),)

    def _of(self, kind: str, read: _Read) -> _Rows:
        if not self._speaks():
            return
        for (of, name, measure), each in self._sums.items():
            if of == kind:
                yield (name, measure), float(read(each))

    def _of_budgets(self, read: _Read) -> _Rows:
        for (name, measure), value in self._of("budget", read):
            yield (name, "usd" if measure == "cost" else measure), value
