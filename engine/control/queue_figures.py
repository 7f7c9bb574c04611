"""What metrics and `/admin/status` tell of places and queues, and of who waits for room in limits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from engine.observe.metrics import Metrics
from engine.runtime.queue import Lines, Queues, Seen
from engine.runtime.waiting import Seen as Waited
from engine.runtime.waiting import WaitingLines

Numbers = Iterable[tuple[tuple[str, ...], float]]


def register(metrics: Metrics, queues: Queues) -> None:
    """Figures by what has the places (`deployment`, `route`) and its name."""

    def read(of: Callable[[Lines, str, Seen], float]) -> Callable[[], Numbers]:
        return lambda: [((kind, name), of(lines, name, seen)) for kind, lines, name, seen in _rows(queues)]

    def refused() -> Numbers:
        return [
            ((kind, name, why), float(count))
            for kind, _, name, seen in _rows(queues)
            for why, count in seen.refused.items()
        ]

    labels = ("of", "name")
    metrics.gauge(
        "engine_places_taken", "Places of `concurrent` that are taken.", labels,
        read(lambda lines, name, _: lines.open(name)),
    )  # fmt: skip
    metrics.gauge(
        "engine_queue_waiting", "Who waits for a place.", labels,
        read(lambda lines, name, _: lines.waiting(name)),
    )  # fmt: skip
    metrics.counter("engine_queue_waits", "Waits for a place that ended.", labels,
                    read(lambda _, __, seen: seen.waits))  # fmt: skip
    metrics.counter("engine_queue_wait_seconds", "How long they took together.", labels,
                    read(lambda _, __, seen: seen.waited_s))  # fmt: skip
    metrics.counter(
        "engine_queue_refused",
        "Who got no place: no room to wait (full), for somebody fairer (turned_away), after `wait` (waited), "
        "at the deadline (deadline).",
        (*labels, "why"),
        refused,
    )


def register_limits(metrics: Metrics, lines: WaitingLines) -> None:
    """Figures by limit. Partitions may be anything that clients say, so none is a label."""

    def read(of: Callable[[Waited], float]) -> Callable[[], Numbers]:
        return lambda: [((name,), of(seen)) for name, seen in lines.seen().items()]

    metrics.gauge(
        "engine_limit_waiting", "Who waits for room in a limit.", ("limit",), read(lambda seen: seen.waiting)
    )
    metrics.counter("engine_limit_waits", "Waits for room in a limit that ended.", ("limit",),
                    read(lambda seen: seen.waits))  # fmt: skip
    metrics.counter("engine_limit_wait_seconds", "How long they took together.", ("limit",),
                    read(lambda seen: seen.waited_s))  # fmt: skip


def status(queues: Queues) -> dict[str, Any]:
    """Places taken and who waits, by kind and name, as plain data."""
    told: dict[str, Any] = {"deployment": {}, "route": {}}
    for kind, lines, name, _ in _rows(queues):
        told[kind][name] = {"open": lines.open(name), "waiting": lines.waiting(name)}
    return told


def _rows(queues: Queues) -> Iterator[tuple[str, Lines, str, Seen]]:
    for kind, lines in (("deployment", queues.deployments), ("route", queues.routes)):
        for name, seen in lines.seen().items():
            yield kind, lines, name, seen
