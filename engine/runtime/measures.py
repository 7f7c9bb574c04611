"""What is known of deployments now: the answers to `Measure`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from engine.kinds.effects import Measure
from engine.runtime.clock import Clock
from engine.runtime.run import Run
from engine.runtime.snapshot import Place
from engine.runtime.vendor_quota import share_left
from engine.state.ledger import Ledger
from engine.state.protocol import State

Reading = Callable[[Place, Run, State, int], float]


def measured(effect: Measure, run: Run, state: State, ledger: Ledger, clock: Clock) -> tuple[float, ...]:
    """One figure a deployment, in order; NaN where nothing is known."""
    places = run.bound.places
    if effect.what == "headroom":
        wall_ms = int(clock.wall() * 1000)
        return tuple(_headroom(places[name], run, ledger, wall_ms) for name in effect.deployments)
    if effect.what in _READINGS:
        read, now_ms = _READINGS[effect.what], int(clock.now_ms())
        return tuple(read(places[name], run, state, now_ms) for name in effect.deployments)
    share = int(effect.what.removeprefix("p")) / 100
    return tuple(state.percentile(name, share) for name in effect.deployments)


def _in_flight(place: Place, run: Run, state: State, now_ms: int) -> float:
    return float(state.in_flight(place.deployment.name))


def _latency(place: Place, run: Run, state: State, now_ms: int) -> float:
    return state.latency(place.deployment.name, now_ms)


def _cost(place: Place, run: Run, state: State, now_ms: int) -> float:
    return _known(run.worst_cost(place))


def _quality(place: Place, run: Run, state: State, now_ms: int) -> float:
    return _known(place.deployment.facts.quality)


def _headroom(place: Place, run: Run, ledger: Ledger, wall_ms: int) -> float:
    """Of what the vendor said in its headers is left, and of its own limits, the tightest."""
    seen = getattr(place.upstream, "headroom", None)
    told = math.nan if seen is None else float(seen.share(place.deployment.name))
    if not place.limits:
        return told
    own = share_left(place, run, ledger, wall_ms)
    return own if math.isnan(told) else told if math.isnan(own) else min(told, own)


def _known(value: float | None) -> float:
    return math.nan if value is None else float(value)


_READINGS: Final[dict[str, Reading]] = {
    "in_flight": _in_flight,
    "latency": _latency,
    "cost": _cost,
    "quality": _quality,
}
