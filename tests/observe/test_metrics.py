"""Metrics are sums over decision records, in a format that Prometheus' own parser reads."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from engine.observe.metrics import BUCKETS, Metrics
from engine.runtime.record import AttemptRecord, DecisionRecord
from engine.wire.pricing import Cost


def record(route: str | None, status: int, *attempts: AttemptRecord) -> DecisionRecord:
    return DecisionRecord(
        id="r", at="", revision="", route=route, status=status, duration_ms=30.0, attempts=list(attempts)
    )


def attempt(deployment: str, failure: str | None = None, **more: object) -> AttemptRecord:
    return AttemptRecord(1, deployment, "n", "p", "m", 10.0, failure=failure, **more)  # type: ignore[arg-type] # a test's shorthand


def samples(metrics: Metrics) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *(f"{name}={value}" for name, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(metrics.exposition().decode())
        for sample in family.samples
    }


def test_sums() -> None:
    metrics = Metrics()
    usage = {"input_tokens": 100, "cached_tokens": 40, "output_tokens": 7}
    served = attempt(
        "near",
        usage=usage,
        cost=Cost(input=1_000_000, output=500_000),
        first_token_ms=40.0,
        estimated=True,
    )
    metrics.record(record("a", 200, attempt("far", "connect"), served))
    metrics.record(record("a", 502, attempt("far", "connect")))
    metrics.record(record(None, 404))
    found = samples(metrics)
    assert found["engine_requests_total", "route=a", "status=200"] == 1
    assert found["engine_requests_total", "route=a", "status=502"] == 1
    assert found["engine_requests_total", "route=", "status=404"] == 1
    assert found["engine_attempts_total", "deployment=far", "failure=connect"] == 2
    assert found["engine_attempts_total", "deployment=near", "failure="] == 1
    tokens = {
        kind: found["engine_tokens_total", "deployment=near", f"kind={kind}"]
        for kind in ("input", "cached", "output")
    }
    assert tokens == {"input": 100, "cached": 40, "output": 7}
    assert found["engine_cost_usd_total", "deployment=near"] == 0.0015
    assert found["engine_route_cost_usd_total", "route=a"] == 0.0015
    assert found["engine_usage_estimated_total", "deployment=near"] == 1
    assert found["engine_first_token_seconds_count", "deployment=near"] == 1
    assert found["engine_first_token_seconds_sum", "deployment=near"] == 0.03


def test_buckets_are_cumulative_and_end_at_infinity() -> None:
    metrics = Metrics()
    for milliseconds in (1.0, 5.0, 30.0, 10_000_000.0):
        made = record("a", 200)
        made.duration_ms = milliseconds
        metrics.record(made)
    found = samples(metrics)

    def below(bound: str) -> float:
        return found["engine_request_duration_seconds_bucket", f"le={bound}", "route=a"]

    assert [below(str(bound)) for bound in BUCKETS[:4]] == [2, 2, 2, 3]
    assert below("600.0") == 3
    assert below("+Inf") == found["engine_request_duration_seconds_count", "route=a"] == 4


def test_gauges_are_asked_when_scraped() -> None:
    metrics = Metrics()
    now = [1.0]
    metrics.gauge("engine_thing", "A thing.", ("name",), lambda: ((('quoted "name"\n',), now[0]),))
    assert samples(metrics)["engine_thing", 'name=quoted "name"\n'] == 1.0
    now[0] = 2.0
    assert samples(metrics)["engine_thing", 'name=quoted "name"\n'] == 2.0


def test_caches_and_splits() -> None:
    metrics = Metrics()
    for how, arm in (("hit", "new"), ("hit", "old"), ("miss", "new"), (None, None)):
        one = record("a", 200)
        one.cache, one.variant = how, arm
        metrics.record(one)
    found = samples(metrics)
    assert found["engine_cache_requests_total", "result=hit", "route=a"] == 2
    assert found["engine_cache_requests_total", "result=miss", "route=a"] == 1
    assert found["engine_variants_total", "route=a", "variant=new"] == 2


def test_a_copy_costs_its_route_and_is_no_request_of_it() -> None:
    metrics = Metrics()
    copy = record("a", 200, attempt("near", role="mirror", cost=Cost(input=2_000_000)))
    copy.aside_of = "other"
    metrics.record(copy)
    found = samples(metrics)
    assert found["engine_route_cost_usd_total", "route=a"] == 0.002
    assert not [name for name in found if name[0].startswith(("engine_requests_total", "engine_request_dur"))]


def test_who_had_no_room() -> None:
    metrics = Metrics()
    for name in ("budget/day", "budget/day", "limit/few/er"):
        refused = record("a", 402)
        refused.refused_by = name
        metrics.record(refused)
    found = samples(metrics)
    assert found["engine_requests_without_room_total", "kind=budget", "name=day"] == 2
    assert found["engine_requests_without_room_total", "kind=limit", "name=few/er"] == 1
