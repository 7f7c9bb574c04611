"""`breaker:` and `probe:` as the plan holds them."""

from __future__ import annotations

from engine.plan.types import Breaker, Probing
from engine.spec import health as written


def breaker(spec: written.Breaker | None) -> Breaker:
    """When calls stop; the printed defaults where nothing is said."""
    if spec is None:
        return Breaker()
    calls, window_ms = spec.of
    return Breaker(spec.open_at, calls, window_ms, spec.pause)


def probing(spec: written.Probe | None) -> Probing | None:
    """The probe; None where nothing is probed."""
    return None if spec is None else Probing(spec.every, spec.timeout)
