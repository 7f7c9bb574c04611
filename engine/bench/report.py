"""What a benchmark found: rows with a figure, the bar it is held against, and whether it holds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. `bar` None = for information; `holds` None = not judged (a smoke run).

    `always`: right or wrong on any machine, however slow: a smoke run is judged by it too.
    """

    name: str
    value: float
    unit: str
    bar: float | None = None
    sense: Literal["at least", "at most"] = "at least"
    note: str = ""
    always: bool = False

    @property
    def holds(self) -> bool | None:
        if self.bar is None:
            return None
        return self.value >= self.bar if self.sense == "at least" else self.value <= self.bar


@dataclass(slots=True)
class Report:
    """All rows of one run. `void` says why the figures mean nothing, where they do not."""

    title: str
    judged: bool
    rows: list[Row] = field(default_factory=list)
    void: str | None = None

    def add(
        self,
        name: str,
        value: float,
        unit: str,
        *,
        at_least: float | None = None,
        at_most: float | None = None,
        note: str = "",
        always: bool = False,
    ) -> None:
        """One more row."""
        if at_most is not None:
            self.rows.append(Row(name, value, unit, at_most, "at most", note, always))
        else:
            self.rows.append(Row(name, value, unit, at_least, "at least", note, always))

    @property
    def ok(self) -> bool:
        """False where the run is void or a bar is missed that is judged."""
        if self.void is not None:
            return False
        return all(row.holds is not False for row in self.rows if self._judges(row))

    def _judges(self, row: Row) -> bool:
        return self.judged or row.always

    def as_json(self) -> dict[str, Any]:
        return {
            "title": self.title,
            "judged": self.judged,
            "void": self.void,
            "ok": self.ok,
            "rows": [asdict(row) | {"holds": row.holds if self._judges(row) else None} for row in self.rows],
        }

    def as_text(self) -> str:
        """A table for people."""
        width = max((len(row.name) for row in self.rows), default=0)
        lines = [self.title]
        for row in self.rows:
            bar = "" if row.bar is None else f"  ({row.sense} {_number(row.bar)} {row.unit})"
            mark = ""
            if self._judges(row) and row.holds is not None:
                mark = "  ok" if row.holds else "  MISSED"
            note = f"  {row.note}" if row.note else ""
            lines.append(f"  {row.name:<{width}}  {_number(row.value):>10} {row.unit}{bar}{mark}{note}")
        if self.void is not None:
            lines.append(f"  VOID: {self.void}")
        return "\n".join(lines)


def _number(value: float) -> str:
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value < 10 else f"{value:.1f}"


def median(values: Sequence[float]) -> float:
    """The middle one; NaN of none."""
    return statistics.median(values) if values else float("nan")
