"""What metrics tell of the health of deployments, credentials and retry budgets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from engine.observe.metrics import Metrics
from engine.runtime.clock import Clock
from engine.runtime.snapshot import Snapshot
from engine.state.health import Health

Numbers = Iterable[tuple[tuple[str, ...], float]]

_STATES: Final = {"closed": 0.0, "half_open": 1.0, "open": 2.0}


def register(metrics: Metrics, health: Health, clock: Clock, current: Callable[[], Snapshot]) -> None:
    """Figures of those deployments of the running plan that were ever asked. Of workers, the worst counts."""

    def now() -> int:
        return int(clock.now_ms())

    def names() -> Iterator[str]:
        running = current().plan.manifest.deployments
        return (name for name in health.names() if name in running)

    def each(of: Callable[[dict[str, Any]], float]) -> Callable[[], Numbers]:
        return lambda: [((name,), of(health.told(name, now()))) for name in names()]

    def refused() -> Numbers:
        for name in names():
            for credential, known in health.told(name, now())["refused"].items():
                yield (name, credential, known["failure"]), known["aside_ms"] / 1000

    labels = ("deployment",)
    metrics.gauge(
        "engine_deployment_healthy", "1 where health keeps no call away from a deployment, else 0.", labels,
        lambda: [((name,), float(health.healthy(name, now()))) for name in names()],
        "min",
    )  # fmt: skip
    metrics.gauge(
        "engine_breaker_state", "Of a deployment's breaker: 0 closed, 1 half-open, 2 open.", labels,
        each(lambda told: _STATES[told["breaker"]]), "max",
    )  # fmt: skip
    metrics.counter("engine_breaker_opened", "How often a breaker opened.", labels,
                    each(lambda told: told["opened"]))  # fmt: skip
    metrics.gauge(
        "engine_deployment_ejected_seconds", "For how long a deployment is still set aside for its peers.",
        labels, each(lambda told: told["ejected_ms"] / 1000), "max",
    )  # fmt: skip
    metrics.gauge(
        "engine_deployment_cooling_seconds", "How long its vendor's last word to slow down still holds.",
        labels, each(lambda told: max(told["cooling_ms"].values(), default=0) / 1000), "max",
    )  # fmt: skip
    metrics.gauge(
        "engine_credential_refused_seconds",
        "Credentials that a vendor refused, the class, and for how long they are still not shown.",
        ("deployment", "credential", "failure"), refused, "max",
    )  # fmt: skip
    metrics.gauge(
        "engine_retry_budget", "Attempts beyond a request's first that a route may still make.", ("route",),
        lambda: [((route,), held) for route, held in health.retries.of_routes(now()).items()], "min",
    )  # fmt: skip
