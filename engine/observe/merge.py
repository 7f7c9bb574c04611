"""Metrics of several processes as one: what was counted is summed, and nothing that was counted is lost.

Each process gives its families as plain data (`families`), so they can come over a pipe. Counters and
histograms are summed by their labels, also over the dead: the last figures of a process that ended are kept,
for a counter that falls reads as a restart of everything. A gauge says itself how it is taken together
(`Metrics.gauge`). What tells of a process and not of the work (`process_*`, `python_info`) gets a label
`process`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from engine.observe.metrics import Combine

if TYPE_CHECKING:
    from prometheus_client.core import Metric

#: A family as plain data: name, help, type, how gauges combine, and [sample, labels, value] rows.
Family = dict[str, Any]

_OWN: Final = ("process_", "python_")
_SUMMED: Final = ("counter", "histogram")

#: (sample, sorted labels) -> value
_Rows = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def families(metrics: Iterable[Metric], combine: Mapping[str, Combine]) -> list[Family]:
    """`metrics` as plain data. combine: gauge -> how it is taken together; default: summed."""
    return [
        {
            "name": metric.name,
            "help": metric.documentation,
            "type": metric.type,
            "combine": combine.get(metric.name, "sum"),
            "rows": [[sample.name, sample.labels, sample.value] for sample in metric.samples],
        }
        for metric in metrics
    ]


class Merger:
    """Takes the families of each process by its name; gives all of them as one. A prometheus collector."""

    def __init__(self) -> None:
        self._living: dict[str, list[Family]] = {}
        self._dead: dict[str, Family] = {}

    def take(self, process: str, told: list[Family]) -> None:
        """What a process counts now."""
        self._living[process] = told

    def bury(self, process: str) -> None:
        """A process has ended: what it had counted stays."""
        for family in self._living.pop(process, []):
            if family["type"] in _SUMMED and not family["name"].startswith(_OWN):
                kept = self._dead.get(family["name"])
                self._dead[family["name"]] = family if kept is None else _summed(kept, family)

    def collect(self) -> Iterator[Metric]:
        """The families, for prometheus-client."""
        merged: dict[str, Family] = dict(self._dead)
        for process, told in self._living.items():
            for family in told:
                if family["name"].startswith(_OWN):
                    family = _labelled(family, process)
                known = merged.get(family["name"])
                merged[family["name"]] = family if known is None else _summed(known, family)
        yield from map(_metric, merged.values())


def _summed(first: Family, second: Family) -> Family:
    """Two of one name as one, sample by sample."""
    combine: Combine = "sum" if first["type"] in _SUMMED else first["combine"]
    rows: _Rows = {}
    for sample, labels, value in (*first["rows"], *second["rows"]):
        key = (sample, tuple(sorted(labels.items())))
        known = rows.get(key)
        rows[key] = value if known is None else _together(known, value, combine)
    return {**first, "rows": [[sample, dict(labels), value] for (sample, labels), value in rows.items()]}


def _together(one: float, other: float, combine: Combine) -> float:
    if combine == "sum":
        return one + other
    return max(one, other) if combine == "max" else min(one, other)


def _labelled(family: Family, process: str) -> Family:
    rows = [[sample, {**labels, "process": process}, value] for sample, labels, value in family["rows"]]
    return {**family, "rows": rows}


def _metric(family: Family) -> Metric:
    from prometheus_client.core import Metric

    metric = Metric(family["name"], family["help"], family["type"])
    for sample, labels, value in family["rows"]:
        metric.add_sample(sample, labels, value)
    return metric
