"""What a call costs: by kind of token after it, at most before it. Integers of nano-dollars throughout."""

from __future__ import annotations

from typing import Final

from engine.plan.types import PriceRow
from engine.runtime.record import CostParts
from engine.wire.canonical import Usage

_PER: Final = 1_000_000  # prices are per million tokens
_NANOS: Final = 1_000_000_000


def parts(price: PriceRow | None, usage: Usage) -> CostParts:
    """The cost of a usage. Cached input without a price of its own costs what input costs.

    Rounded up to a whole nano-dollar per part, so that a sum is never below what the vendor bills.
    """
    found = CostParts()
    if "cost" in usage:
        found.reported = round(usage["cost"] * _NANOS)
    if price is None:
        return found
    cached = usage.get("cached_tokens", 0)
    written = usage.get("cache_write_tokens", 0)
    fresh = max(0, usage.get("input_tokens", 0) - cached - written)
    found.input = _of(fresh, price.input)
    found.cached = _of(cached, price.input if price.cached is None else price.cached)
    found.cache_write = _of(written, price.input if price.cache_write is None else price.cache_write)
    found.output = _of(usage.get("output_tokens", 0), price.output)
    found.request = price.request
    return found


def worst(price: PriceRow | None, input_tokens: int, output_tokens: int | None, answers: int) -> int | None:
    """The most that one call can cost; None where a price or the output's limit is unknown."""
    if price is None or price.input is None or price.output is None:
        return None
    dearest = max(price.input, price.cached or 0, price.cache_write or 0)
    if output_tokens is None:
        return None if price.output else _of(input_tokens, dearest) + price.request
    return _of(input_tokens, dearest) + _of(output_tokens * answers, price.output) + price.request


def _of(count: int, price: int | None) -> int:
    return -(-count * (price or 0) // _PER)
