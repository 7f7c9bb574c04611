"""What is known of deployments now: the answers to `Measure`."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Coroutine
from typing import Any, Final

from engine.kinds.effects import Measure
from engine.runtime.clock import Clock
from engine.runtime.place import Place
from engine.runtime.run import Run
from engine.runtime.vendor_quota import share_left
from engine.state.ledger import Ledger
from engine.state.protocol import State

log = logging.getLogger("engine.runtime")

Reading = Callable[[Place, Run, State, int], float]


class Measures:
    """Those of an executor."""

    def __init__(self, state: State, clock: Clock) -> None:
        self._state = state
        self._clock = clock
        self._left: dict[str, float] = {}  # what was last heard of a deployment's own limits
        self._asking: dict[str, asyncio.Future[None]] = {}

    def of(self, effect: Measure, run: Run, ledger: Ledger) -> tuple[float, ...]:
        """One figure a deployment, in order; NaN where nothing is known."""
        places = run.bound.places
        if effect.what == "headroom":
            return tuple(self._headroom(places[name], run, ledger) for name in effect.deployments)
        if effect.what in _READINGS:
            read, now_ms = _READINGS[effect.what], int(self._clock.now_ms())
            return tuple(read(places[name], run, self._state, now_ms) for name in effect.deployments)
        share = int(effect.what.removeprefix("p")) / 100
        return tuple(self._state.percentile(name, share) for name in effect.deployments)

    def _headroom(self, place: Place, run: Run, ledger: Ledger) -> float:
        """Of what the vendor said in its headers is left, and of its own limits, the tightest."""
        seen = getattr(place.upstream, "headroom", None)
        told = math.nan if seen is None else float(seen.share(place.deployment.name))
        if not place.limits:
            return told
        own = self._own(place, run, ledger)
        return own if math.isnan(told) else told if math.isnan(own) else min(told, own)

    def _own(self, place: Place, run: Run, ledger: Ledger) -> float:
        """What is left of the deployment's limits. A store that has to be asked is, for the next request."""
        found = share_left(place, run, ledger, int(self._clock.wall() * 1000))
        if isinstance(found, float):
            return found
        name = place.deployment.name
        if name in self._asking:
            found.close()
        else:
            asking = self._asking[name] = asyncio.ensure_future(self._asked(name, found))
            asking.add_done_callback(lambda _: self._asking.pop(name))
        return self._left.get(name, math.nan)

    async def _asked(self, name: str, left: Coroutine[Any, Any, float]) -> None:
        try:
            self._left[name] = await left
        except Exception:
            log.exception("what is left of the limits of %s is not known", name)


def _in_flight(place: Place, run: Run, state: State, now_ms: int) -> float:
    return float(state.in_flight(place.deployment.name))


def _latency(place: Place, run: Run, state: State, now_ms: int) -> float:
    return state.latency(place.deployment.name, now_ms)


def _cost(place: Place, run: Run, state: State, now_ms: int) -> float:
    return _known(run.worst_cost(place))


def _quality(place: Place, run: Run, state: State, now_ms: int) -> float:
    return _known(place.deployment.facts.quality)


def _known(value: float | None) -> float:
    return math.nan if value is None else float(value)


_READINGS: Final[dict[str, Reading]] = {
    "in_flight": _in_flight,
    "latency": _latency,
    "cost": _cost,
    "quality": _quality,
}
