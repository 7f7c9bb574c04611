"""`/healthz`: the process is up. `/readyz`: a plan is live and new work is welcome.

`/readyz?route=R` asks whether some deployment of that route can serve here. Without a route no deployment
is looked at: one vendor's outage must not take every pod out of its load balancer.
"""

from __future__ import annotations

from engine.errors import EngineError, RequestError
from engine.server.exchange import Exchange


async def healthz(exchange: Exchange) -> None:
    await exchange.json(200, {"status": "ok"})


async def readyz(exchange: Exchange) -> None:
    if exchange.service.draining:
        raise EngineError("the sidecar is shutting down", status=503, code="shutting_down", failure="full")
    route = exchange.query("route")
    if route is not None:
        _check_route(exchange, route)
    up = exchange.service.store()
    store = {} if up is None else {"store": "up" if up else "away"}
    await exchange.json(200, {"status": "ready", "revision": exchange.snapshot.revision, **store})


def _check_route(exchange: Exchange, route: str) -> None:
    snapshot = exchange.snapshot
    if route not in snapshot.plan.manifest.routes:
        raise RequestError("there is no such route", status=404, code="unknown_route", param="route")
    places = snapshot.route(route).places
    if places and all(place.missing is not None for place in places.values()):
        raise EngineError(
            "no deployment of this route can serve here", status=503, code="not_ready", failure="full"
        )
