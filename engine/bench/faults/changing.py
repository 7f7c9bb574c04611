"""Faults that come and go: down for a while, down by chance."""

from __future__ import annotations

from random import Random
from typing import Final

from engine.bench.faults.exchange import Exchange
from engine.bench.faults.fault import fault, table
from engine.bench.faults.healthy import healthy

_DOWN_S: Final = 60.0


async def _down(exchange: Exchange) -> None:
    if exchange.since_first < _DOWN_S * exchange.quicker:
        await exchange.refuse(503, "service_unavailable", "down for maintenance")
        return
    await healthy(exchange)


async def _sometimes(exchange: Exchange) -> None:
    # By the turn, not by a stream of draws: the n-th request fails or not whatever came before it.
    block, place = divmod(exchange.turn, 10)
    failing = Random(f"{exchange.model}{block}").sample(range(10), 3)
    if place in failing:
        status = (500, 502, 503)[failing.index(place)]
        await exchange.refuse(status, "server_error", "three in ten fail")
        return
    await healthy(exchange)


CHANGING: Final = table(
    fault("down-60s", "503 for 60 s from the first request, then healthy", "S15 U19", _down),
    fault("random-5xx", "of every ten requests three, by chance, get 500, 502 and 503", "U20", _sometimes),
)
