"""Figures of several processes as one."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest

from engine.observe.merge import Family, Merger
from engine.observe.metrics import Metrics


def told(merger: Merger) -> dict[str, float]:
    registry = CollectorRegistry()
    registry.register(merger)
    rows = [line.rsplit(" ", 1) for line in generate_latest(registry).decode().splitlines()]
    return {name: float(value) for name, value in rows if not name.startswith("#")}


def process(refused: int, busy: float, left: float = 7) -> list[Family]:
    """What a process tells that has refused so many and has `left` of a quota."""
    metrics = Metrics()
    for _ in range(refused):
        metrics.refused("bad_host")
    metrics.gauge("engine_busy", "", ("who",), lambda: [(("me",), busy)])
    metrics.gauge("engine_left", "", (), lambda: [((), left)], "min")
    metrics.gauge("engine_worst", "", (), lambda: [((), busy)], "max")
    return metrics.families()


def test_counters_are_summed_and_gauges_as_they_say() -> None:
    merger = Merger()
    merger.take("0", process(2, 3, 7))
    merger.take("1", process(5, 4, 6))
    rows = told(merger)
    assert rows['engine_requests_refused_total{code="bad_host"}'] == 7
    assert rows['engine_busy{who="me"}'] == 7
    assert (rows["engine_left"], rows["engine_worst"]) == (6, 4)
    assert rows['engine_build_info{version="0.1.0"}'] == 1


def test_what_tells_of_a_process_is_told_by_process() -> None:
    merger = Merger()
    merger.take("0", process(0, 0))
    merger.take("supervisor", process(0, 0))
    names = [name for name in told(merger) if name.startswith("process_cpu_seconds_total")]
    assert names == [f'process_cpu_seconds_total{{process="{who}"}}' for who in ("0", "supervisor")]


def test_the_dead_keep_what_they_counted() -> None:
    """A counter that fell would read as a restart of everything."""
    merger = Merger()
    merger.take("0", process(2, 3))
    merger.take("1", process(1, 1))
    for refused in (4, 1):
        merger.bury("0")
        assert told(merger)["engine_busy" + '{who="me"}'] == 1
        merger.take("0", process(refused, 2))
    rows = told(merger)
    assert rows['engine_requests_refused_total{code="bad_host"}'] == 2 + 4 + 1 + 1
    assert rows['engine_busy{who="me"}'] == 3


def test_histograms_are_summed_by_bucket() -> None:
    family = Metrics().families()
    for row in family:
        if row["name"] == "engine_request_duration_seconds":
            row["rows"] = [[row["name"] + "_bucket", {"le": "0.1", "route": "r"}, 2.0]]
    merger = Merger()
    merger.take("0", family)
    merger.take("1", family)
    assert told(merger)['engine_request_duration_seconds_bucket{le="0.1",route="r"}'] == 4
