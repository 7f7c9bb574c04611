"""`concurrent:` as the plan holds it, its defaults applied."""

from __future__ import annotations

from engine.plan.types import Concurrent
from engine.spec import concurrency as written
from engine.spec import defaults


def concurrency(spec: written.Concurrent | None) -> Concurrent | None:
    """Places and queue; None where nothing is limited."""
    if spec is None:
        return None
    if spec.queue is None:
        return Concurrent(spec.most)
    return Concurrent(spec.most, spec.queue, defaults.QUEUE_WAIT_MS if spec.wait is None else spec.wait)
