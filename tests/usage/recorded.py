"""Decision records for the tests of usage."""

from __future__ import annotations

from typing import Any

from engine.runtime.record import AttemptRecord, DecisionRecord, moment
from engine.wire.pricing import Cost

#: 2026-12-01T10:00:00Z
START = 1_796_119_200.0


def attempt(number: int = 1, deployment: str = "near", **more: Any) -> AttemptRecord:
    """A call that cost 7 nano-dollars, unless said otherwise."""
    fields = {"cost": Cost(input=3, output=4), "usage": {"input_tokens": 30, "output_tokens": 4}, **more}
    return AttemptRecord(number, deployment, "node", "fake", "m-1", 1.0, ended_ms=9.0, **fields)


def record(name: str = "r1", after_s: float = 0.0, *attempts: AttemptRecord, **more: Any) -> DecisionRecord:
    """A request that began so long after `START`, served by its last call."""
    made = list(attempts) or [attempt()]
    served = next((a.deployment for a in reversed(made) if a.failure is None), None)
    fields = {"route": "chat", "model": "chat", "served_by": served, "duration_ms": 10.0, **more}
    return DecisionRecord(id=name, at=moment(START + after_s), revision="rev", attempts=made, **fields)
