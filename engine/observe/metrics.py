"""Metrics: sums kept as plain numbers, made of decision records; prometheus-client writes them out.

Every finished request passes `record` once, so that path is a handful of dictionary look-ups and additions
(prometheus-client's own counters take a lock and a look-up for each). All of it runs on one event loop; the
exposition format, escaping and the process's own figures are prometheus-client's, imported with the first
scrape.

Labels hold names of the plan and words of closed lists only, so their number is bounded by the plan.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, Literal

from engine.runtime.record import AttemptRecord, DecisionRecord
from engine.version import VERSION

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

#: Seconds. From a local model's first token to a long answer.
BUCKETS: Final = (
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
    120.0,
    300.0,
    600.0,
)

_TOKENS: Final = (
    ("input_tokens", "input"),
    ("cached_tokens", "cached"),
    ("cache_write_tokens", "cache_write"),
    ("output_tokens", "output"),
    ("reasoning_tokens", "reasoning"),
)

#: label values -> number
Rows = dict[tuple[str, ...], float]

#: What a gauge of several processes is together: each one's work, the most of them, the least.
Combine = Literal["sum", "max", "min"]

#: A gauge asked at scrape time: (label values, value) pairs.
Reading = Callable[[], Iterable[tuple[tuple[str, ...], float]]]


class Histogram:
    """Counts by bucket, and their sum."""

    __slots__ = ("counts", "sum")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS) + 1)
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(BUCKETS, seconds)] += 1
        self.sum += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative, as the exposition format wants them."""
        total = 0
        rows: list[tuple[str, float]] = []
        for bound, count in zip((*map(str, BUCKETS), "+Inf"), self.counts, strict=True):
            total += count
            rows.append((bound, total))
        return rows


class _Route:
    """Sums of one route."""

    __slots__ = ("cached", "cost", "duration", "statuses", "variants")

    def __init__(self) -> None:
        self.statuses: dict[int, int] = {}
        self.cached: dict[str, int] = {}
        self.variants: dict[str, int] = {}
        self.cost = 0
        self.duration = Histogram()


class _Deployment:
    """Sums of one deployment."""

    __slots__ = ("cost", "ends", "estimated", "first_token", "tokens")

    def __init__(self) -> None:
        self.ends: dict[str | None, int] = {}
        self.tokens: dict[str, int] = {}
        self.cost = 0
        self.estimated = 0
        self.first_token = Histogram()


class Metrics:
    """The sums of one process. `record` is an executor's sink."""

    def __init__(self) -> None:
        self._routes: dict[str | None, _Route] = {}
        self._deployments: dict[str, _Deployment] = {}
        self._refused: dict[str, int] = {}
        self._no_room: dict[str, int] = {}
        self._reloads = {"ack": 0, "nack": 0, "unchanged": 0}
        self._gauges: list[tuple[str, str, tuple[str, ...], Reading]] = []
        self._counters: list[tuple[str, str, tuple[str, ...], Reading]] = []
        self._combine: dict[str, Combine] = {"engine_build_info": "max"}
        self._registry: CollectorRegistry | None = None

    def record(self, record: DecisionRecord) -> None:
        """A request has ended. Of a copy or a probe that no client waited for, only its calls count."""
        route = self._routes.get(record.route)
        if route is None:
            route = self._routes[record.route] = _Route()
        for attempt in record.attempts:
            self._attempt(attempt)
            route.cost += attempt.cost.total
        if record.aside_of is not None or record.probe_of is not None:
            return
        status = record.status
        route.statuses[status] = route.statuses.get(status, 0) + 1
        if record.duration_ms is not None:
            route.duration.observe(record.duration_ms / 1000)
        if record.cache is not None:
            route.cached[record.cache] = route.cached.get(record.cache, 0) + 1
        if record.refused_by is not None:
            self._no_room[record.refused_by] = self._no_room.get(record.refused_by, 0) + 1
        if record.variant is not None:
            route.variants[record.variant] = route.variants.get(record.variant, 0) + 1

    def _attempt(self, attempt: AttemptRecord) -> None:
        sums = self._deployments.get(attempt.deployment)
        if sums is None:
            sums = self._deployments[attempt.deployment] = _Deployment()
        sums.ends[attempt.failure] = sums.ends.get(attempt.failure, 0) + 1
        if attempt.first_token_ms is not None:
            sums.first_token.observe((attempt.first_token_ms - attempt.started_ms) / 1000)
        usage = attempt.usage
        if usage:
            tokens = sums.tokens
            for name, kind in _TOKENS:
                count = usage.get(name)
                if count:
                    tokens[kind] = tokens.get(kind, 0) + count
        sums.cost += attempt.cost.total
        if attempt.estimated:
            sums.estimated += 1

    def refused(self, code: str) -> None:
        """A request was answered before there was a decision: a bad body, an unknown path."""
        self._refused[code] = self._refused.get(code, 0) + 1

    def reloaded(self, result: str) -> None:
        """`ack`, `nack` or `unchanged`."""
        self._reloads[result] += 1

    def gauge(
        self, name: str, help: str, labels: tuple[str, ...], reading: Reading, combine: Combine = "sum"
    ) -> None:
        """A figure that is asked for at scrape time. combine: what the same of several workers is as one."""
        self._gauges.append((name, help, labels, reading))
        self._combine[name] = combine

    def counter(self, name: str, help: str, labels: tuple[str, ...], reading: Reading) -> None:
        """A sum that somebody else keeps, asked for at scrape time; `_total` is added to its name."""
        self._counters.append((name, help, labels, reading))

    def exposition(self) -> bytes:
        """All of it in Prometheus' text format 0.0.4."""
        # Deferred: a sidecar that nobody scrapes does not load the client, which brings an HTTP server along.
        from prometheus_client import generate_latest

        return generate_latest(self._collectors())

    def families(self) -> list[dict[str, Any]]:
        """All of it as plain data, for a process that adds up several (`merge`)."""
        from engine.observe.merge import families

        return families(self._collectors().collect(), self._combine)

    def _collectors(self) -> CollectorRegistry:
        """These figures and those of the process itself."""
        if self._registry is None:
            from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector

            self._registry = CollectorRegistry()
            self._registry.register(self)
            ProcessCollector(registry=self._registry)
            PlatformCollector(registry=self._registry)
        return self._registry

    def collect(self) -> Iterator[Metric]:
        """The families, for prometheus-client."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        def counter(name: str, help: str, labels: tuple[str, ...], rows: Rows) -> Metric:
            family = CounterMetricFamily(name, help, labels=labels)
            for values, number in rows.items():
                family.add_metric(values, number)
            return family

        yield from self._of_routes(counter)
        yield from self._of_deployments(counter)
        refused: Rows = {(code,): count for code, count in self._refused.items()}
        yield counter(
            "engine_requests_refused", "Requests answered before any route was asked.", ("code",), refused
        )
        no_room: Rows = {(*name.split("/", 1),): count for name, count in self._no_room.items()}
        yield counter(
            "engine_requests_without_room",
            "Requests that a budget or a limit turned away.",
            ("kind", "name"),
            no_room,
        )
        reloads: Rows = {(result,): count for result, count in self._reloads.items()}
        yield counter(
            "engine_reloads", "Changed workspaces: taken, rejected, or without effect.", ("result",), reloads
        )
        for name, told, labels, reading in self._counters:
            yield counter(name, told, labels, dict(reading()))
        gauges = [*self._gauges, ("engine_build_info", "The engine's version.", ("version",), _version)]
        for name, told, labels, reading in gauges:
            family = GaugeMetricFamily(name, told, labels=labels)
            for values, number in reading():
                family.add_metric(values, number)
            yield family

    def _of_routes(self, counter: Callable[..., Metric]) -> Iterator[Metric]:
        from prometheus_client.core import HistogramMetricFamily

        requests: Rows = {}
        cached: Rows = {}
        variants: Rows = {}
        durations = HistogramMetricFamily(
            "engine_request_duration_seconds",
            "From a request's arrival to the end of its answer.",
            labels=("route",),
        )
        cost: Rows = {}
        for route, sums in self._routes.items():
            cost[(route or "",)] = sums.cost / 1e9
            for status, count in sums.statuses.items():
                requests[(route or "", str(status))] = count
            cached.update({(route or "", how): count for how, count in sums.cached.items()})
            variants.update({(route or "", arm): count for arm, count in sums.variants.items()})
            if sums.statuses:
                buckets = sums.duration.buckets()
                durations.add_metric((route or "",), buckets=buckets, sum_value=sums.duration.sum)
        yield counter(
            "engine_requests", "Finished requests, by the answer's status.", ("route", "status"), requests
        )
        yield durations
        yield counter(
            "engine_route_cost_usd",
            "What a route's calls cost, in dollars; copies of its requests too.",
            ("route",),
            cost,
        )
        yield counter("engine_cache_requests", "Requests by what a cache did.", ("route", "result"), cached)
        yield counter("engine_variants", "Requests by the arm of a split.", ("route", "variant"), variants)

    def _of_deployments(self, counter: Callable[..., Metric]) -> Iterator[Metric]:
        from prometheus_client.core import HistogramMetricFamily

        attempts: Rows = {}
        tokens: Rows = {}
        cost: Rows = {}
        estimated: Rows = {}
        first = HistogramMetricFamily(
            "engine_first_token_seconds", "From a call's start to its first token.", labels=("deployment",)
        )
        for name, sums in self._deployments.items():
            for failure, count in sums.ends.items():
                attempts[(name, failure or "")] = count
            for kind, count in sums.tokens.items():
                tokens[(name, kind)] = count
            cost[(name,)] = sums.cost / 1e9
            estimated[(name,)] = sums.estimated
            first.add_metric((name,), buckets=sums.first_token.buckets(), sum_value=sums.first_token.sum)
        yield counter(
            "engine_attempts", "Calls to deployments, by failure class (empty: served).",
            ("deployment", "failure"), attempts,
        )  # fmt: skip
        yield counter("engine_tokens", "Tokens, by kind; cached ones count as input too.",
                      ("deployment", "kind"), tokens)  # fmt: skip
        yield counter("engine_cost_usd", "What calls cost, in dollars.", ("deployment",), cost)
        yield counter("engine_usage_estimated", "Calls whose tokens we counted, as the vendor said nothing.",
                      ("deployment",), estimated)  # fmt: skip
        yield first


def _version() -> Iterable[tuple[tuple[str, ...], float]]:
    return (((VERSION,), 1.0),)


__all__ = ["BUCKETS", "Combine", "Histogram", "Metrics"]
