"""Tokens times prices, in whole nano-dollars, kind by kind.

Prices are nano-dollars per million tokens, so a part is `tokens * price / 1_000_000`, rounded up once per
part: a cost is never told too low. A price that is not known (None) makes its part unknown, and so the sum.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from engine.plan.types import PriceRow
from engine.wire.canonical import Usage

_MILLION: Final = 1_000_000
_NANOS: Final = 10**9


@dataclass(frozen=True, slots=True)
class Cost:
    """Nano-dollars by kind of token. `reported`: the vendor's own figure, which wins where it exists.

    `known` is False where a price was missing: the parts are then a bound from below.
    """

    input: int = 0
    cached: int = 0
    cache_write: int = 0
    output: int = 0
    request: int = 0
    reported: int | None = None
    known: bool = True

    @property
    def total(self) -> int:
        if self.reported is not None:
            return self.reported
        return self.input + self.cached + self.cache_write + self.output + self.request


def cost_of(usage: Usage, price: PriceRow | None) -> Cost:
    """What a call cost. `input_tokens` holds cached and written tokens too; each is priced as what it is."""
    told = usage.get("cost")
    reported = round(told * _NANOS) if told is not None and told >= 0 else None
    if price is None:
        return Cost(reported=reported, known=reported is not None)
    total = usage.get("input_tokens", 0)
    cached = min(usage.get("cached_tokens", 0), total)
    written = min(usage.get("cache_write_tokens", 0), total - cached)
    parts = (
        (total - cached - written, price.input),
        (cached, price.input if price.cached is None else price.cached),
        (written, price.input if price.cache_write is None else price.cache_write),
        (usage.get("output_tokens", 0), price.output),
    )
    known = all(each is not None or not tokens for tokens, each in parts)
    plain, from_cache, to_cache, output = (_part(tokens, each) for tokens, each in parts)
    return Cost(plain, from_cache, to_cache, output, price.request, reported, known or reported is not None)


def worst_cost(input_tokens: int, output_tokens: int, price: PriceRow | None) -> int | None:
    """The most that a call may cost: all input at the dearest input price. None where a price is missing."""
    if price is None or price.input is None or price.output is None:
        return None
    dearest = max(price.input, price.cached or 0, price.cache_write or 0)
    return _part(input_tokens, dearest) + _part(output_tokens, price.output) + price.request


def regional(price: PriceRow, factor: float) -> PriceRow:
    """The prices of a region that multiplies them; rounded up to whole nano-dollars per million tokens."""
    if factor == 1.0:
        return price
    # The factor is a percentage with few digits: as thousandths of a percent it is exact.
    share = round(factor * 100_000)

    def times(value: int | None) -> int | None:
        return None if value is None else -(-value * share // 100_000)

    return replace(
        price,
        input=times(price.input),
        output=times(price.output),
        cached=times(price.cached),
        cache_write=times(price.cache_write),
        request=times(price.request) or 0,
    )


def _part(tokens: int, price: int | None) -> int:
    return 0 if price is None else -(-tokens * price // _MILLION)
