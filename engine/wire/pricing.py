"""Tokens times prices, in whole nano-dollars, kind by kind.

Prices are nano-dollars per million tokens, so a part is `tokens * price / 1_000_000`, rounded up once per
part: a cost is never told too low. A price that is not known (None) makes its part unknown, and so the sum.
Which row counts depends on the time of the call, which the caller says (seconds since 1970), and which tier
of it on the size of the input: above a limit all of a call's tokens cost more, not only those beyond.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from engine.plan.vendors import Facts, Hours, PriceRow, PriceTier, ToolPrice
from engine.wire.canonical import Usage

_MILLION: Final = 1_000_000
_NANOS: Final = 10**9
_DAY_S: Final = 86_400
#: 1970-01-01 was a Thursday.
_FIRST_WEEKDAY: Final = 3
#: A vendor may bill a call by its end; none lasts longer than this.
_HORIZON_S: Final = 3600
#: The prices in a row and its tiers; `request` is in rows only.
KINDS: Final = (
    "input", "output", "cached", "cache_write", "cache_write_1h", "audio_input", "reasoning", "audio_output",
)  # fmt: skip
#: What a vendor counts at least, and mostly no more.
_PLAIN: Final = frozenset({"input_tokens", "output_tokens", "estimated"})
#: Tokens that have a price of their own.
_SPECIAL: Final = (
    "cached_tokens", "cache_write_tokens", "audio_input_tokens", "reasoning_tokens", "audio_output_tokens"
)  # fmt: skip


@dataclass(slots=True, unsafe_hash=True)
class Cost:
    """Nano-dollars by kind of token, by call and by time. Nobody changes one; it is not frozen, because every
    call makes one and a frozen one costs three times as much. `reported`: the vendor's own figure, which wins
    where it exists.

    `known` is False where a price was missing: the parts are then a bound from below.
    """

    input: int = 0
    cached: int = 0
    cache_write: int = 0
    output: int = 0
    request: int = 0
    reported: int | None = None
    known: bool = True
    time: int = 0
    tools: int = 0  # uses of tools that the vendor ran

    @property
    def total(self) -> int:
        if self.reported is not None:
            return self.reported
        tokens = self.input + self.cached + self.cache_write + self.output
        return tokens + self.request + self.time + self.tools


def cost_of(usage: Usage, prices: Sequence[PriceRow], now: float, took_ms: float = 0) -> Cost:
    """What a call cost that was made at `now`, in seconds since 1970, and took so long.

    `input_tokens` holds cached and written tokens too, `output_tokens` those of reasoning: each is priced as
    what it is. Spoken tokens are priced as such only where neither cache nor reasoning has its share of them.
    """
    told = usage.get("cost")
    reported = round(told * _NANOS) if told is not None and told >= 0 else None
    total = usage.get("input_tokens", 0)
    row = row_at(prices, now)
    if row is None:
        return Cost(reported=reported, known=reported is not None)
    price = tier_of(row, total) if row.tiers else row
    time = _time(took_ms, price.second) if price.second else 0
    if usage.keys() <= _PLAIN:  # nearly all calls: two kinds of tokens
        return _plain(total, usage.get("output_tokens", 0), price, price.request, reported, time)
    output = usage.get("output_tokens", 0)
    calls = price.request * max(1, usage.get("search_units", 1)) if price.request else 0
    if not any(map(usage.get, _SPECIAL)):
        return _plain(total, output, price, calls, reported, time)
    cached = min(usage.get("cached_tokens", 0), total)
    written = min(usage.get("cache_write_tokens", 0), total - cached)
    for_an_hour = min(usage.get("cache_write_1h_tokens", 0), written)
    spoken = min(usage.get("audio_input_tokens", 0), total - cached - written)
    thought = min(usage.get("reasoning_tokens", 0), output)
    said = min(usage.get("audio_output_tokens", 0), output - thought)
    to_cache = _or(price.cache_write, price.input)
    sums = (
        _sum((total - cached - written - spoken, price.input), (spoken, _or(price.audio_input, price.input))),
        _sum((cached, _or(price.cached, price.input))),
        _sum((written - for_an_hour, to_cache), (for_an_hour, _or(price.cache_write_1h, to_cache))),
        _sum(
            (output - thought - said, price.output),
            (thought, _or(price.reasoning, price.output)),
            (said, _or(price.audio_output, price.output)),
        ),
    )
    known = all(each is not None for each in sums)
    plain, from_cache, into_cache, made = (each or 0 for each in sums)
    return Cost(plain, from_cache, into_cache, made, calls, reported, known or reported is not None, time)


def _plain(total: int, output: int, price: PriceRow, calls: int, reported: int | None, time: int) -> Cost:
    """Of tokens that are nothing but read and written."""
    known = (not total or price.input is not None) and (not output or price.output is not None)
    made = _part(output, price.output)
    return Cost(_part(total, price.input), 0, 0, made, calls, reported, known or reported is not None, time)


def worst_cost(
    input_tokens: int, output_tokens: int, prices: Sequence[PriceRow], now: float,
    longest_ms: int | None = 0, units: int = 1,
) -> int | None:  # fmt: skip
    """The most that a call may cost which begins at `now`: the dearest row, tier and kind that may apply.

    None where a price is missing. `input_tokens` is a bound from above: lower tiers may apply as well.

    Args:
        input_tokens: at most.
        output_tokens: at most, over all answers.
        prices: of the deployment.
        now: when it begins, in seconds since 1970.
        longest_ms: how long it may take; None: nobody limits that.
        units: search units that may be billed (rerank).
    """
    rows = _may_apply(prices, now)
    if len(rows) == 1:  # of most deployments
        return _worst(rows[0], input_tokens, output_tokens, longest_ms, units)
    return _dearest_row(rows, input_tokens, output_tokens, longest_ms, units)


def worst_ever(
    input_tokens: int, output_tokens: int, prices: Sequence[PriceRow], longest_ms: int | None = 0,
    units: int = 1,
) -> int | None:  # fmt: skip
    """`worst_cost` whenever the call begins: by the dearest of all rows. None where a price is missing."""
    return _dearest_row(prices, input_tokens, output_tokens, longest_ms, units)


def _dearest_row(
    rows: Iterable[PriceRow], input_tokens: int, output_tokens: int, longest_ms: int | None, units: int
) -> int | None:
    known = [_worst(row, input_tokens, output_tokens, longest_ms, units) for row in rows]
    if not known or None in known:
        return None
    return max(each for each in known if each is not None)


def is_timed(prices: Sequence[PriceRow]) -> bool:
    """Whether the time of a call costs something."""
    return any(row.second for row in prices)


def is_free(facts: Facts) -> bool:
    """Whether nothing that is done there costs anything by the token: then no tool is run for money."""
    return bool(facts.prices) and not facts.tools and all(r.input == r.output == 0 for r in facts.prices)


def tool_price(facts: Facts, name: str) -> ToolPrice | None:
    """What a tool that the vendor runs costs there; None: nobody knows."""
    key = tool_key(facts, name)
    return None if key is None or facts.tools is None else facts.tools[key]


def tool_key(facts: Facts, name: str) -> str | None:
    """The longest name of the price list that is the tool's, or begins it: `web_search` of
    `web_search_20250305`.
    """
    found = [key for key in facts.tools or () if name == key or name.startswith(f"{key}_")]
    return max(found, key=len, default=None)


def row_at(prices: Sequence[PriceRow], now: float) -> PriceRow | None:
    """The row that holds at `now` (seconds since 1970): the last of those that do; None if none does."""
    if len(prices) == 1:
        return prices[0] if _holds(prices[0], now) else None
    return next((row for row in reversed(prices) if _holds(row, now)), None)


def tier_of(row: PriceRow, input_tokens: int) -> PriceRow:
    """The row with the prices that a call with so much input has."""
    found: PriceTier | None = None
    for tier in row.tiers:
        if input_tokens > tier.above:
            found = tier
    if found is None:
        return row
    other = {kind: price for kind in KINDS if (price := getattr(found, kind)) is not None}
    return replace(row, **other, tiers=())


def regional(prices: Sequence[PriceRow], factor: float) -> tuple[PriceRow, ...]:
    """The prices of a region that multiplies them; rounded up to whole nano-dollars per million tokens."""
    if factor == 1.0:
        return tuple(prices)
    # The factor is a percentage with few digits: as thousandths of a percent it is exact.
    share = round(factor * 100_000)

    def times(price: PriceRow | PriceTier) -> dict[str, Any]:
        values = ((kind, getattr(price, kind)) for kind in KINDS)
        return {kind: None if value is None else -(-value * share // 100_000) for kind, value in values}

    return tuple(
        replace(
            row,
            **times(row),
            request=-(-row.request * share // 100_000),
            second=-(-row.second * share // 100_000),
            tiers=tuple(replace(tier, **times(tier)) for tier in row.tiers),
        )
        for row in prices
    )


def _holds(row: PriceRow, now: float) -> bool:
    if (row.since is not None and now < row.since) or (row.until is not None and now >= row.until):
        return False
    return not row.hours or any(_within(hours, now) for hours in row.hours)


def _within(hours: Hours, now: float) -> bool:
    day, second = divmod(int(now), _DAY_S)
    minute, weekday = second // 60, (day + _FIRST_WEEKDAY) % 7 + 1
    if hours.start < hours.end:
        inside = hours.start <= minute < hours.end
    else:
        inside = minute >= hours.start or minute < hours.end
        if minute < hours.end:  # began on the day before
            weekday = (weekday - 2) % 7 + 1
    return inside and (not hours.days or weekday in hours.days)


def _may_apply(prices: Sequence[PriceRow], now: float) -> Sequence[PriceRow]:
    """The rows that hold at some moment from `now` to the latest end of a call that begins then."""
    if len(prices) == 1 and prices[0].since is prices[0].until is None and not prices[0].hours:
        return prices
    moments = {now, now + _HORIZON_S}
    today = int(now) // _DAY_S * _DAY_S
    for row in prices:
        starts = [row.since, row.until]
        starts += [
            day + 60 * at for h in row.hours for at in (h.start, h.end) for day in (today, today + _DAY_S)
        ]
        moments.update(each for each in starts if each is not None and now < each < now + _HORIZON_S)
    found = (row_at(prices, moment) for moment in sorted(moments))
    return [row for row in found if row is not None]


def _worst(
    row: PriceRow, input_tokens: int, output_tokens: int, longest_ms: int | None, units: int
) -> int | None:
    reached = sum(tier.above < input_tokens for tier in row.tiers) if row.tiers else 0
    dearest, made = _dearest(row, reached)
    if dearest is None or (output_tokens and made is None):
        return None
    time = 0
    if row.second:
        if longest_ms is None:
            return None
        time = _time(longest_ms, row.second)
    tokens = _parts(input_tokens, dearest) + _parts(output_tokens, made)
    return tokens + row.request * units + time


#: (a row's id, tiers) -> the row, `_dearest_of` it: making a row's hash costs more than all of the rest.
_DEAREST: Final[dict[tuple[int, int], tuple[PriceRow, tuple[int | None, int | None]]]] = {}
_MOST_ROWS: Final = 4096


def _dearest(row: PriceRow, reached: int) -> tuple[int | None, int | None]:
    """`_dearest_of`, remembered."""
    known = _DEAREST.get((id(row), reached))
    if known is None or known[0] is not row:
        if len(_DEAREST) >= _MOST_ROWS:
            _DEAREST.clear()
        known = _DEAREST[id(row), reached] = row, _dearest_of(row, reached)
    return known[1]


def _dearest_of(row: PriceRow, reached: int) -> tuple[int | None, int | None]:
    """The highest price of what goes in and of what comes out, over the row and its first tiers; None where a
    plain one is missing.
    """
    tiers = [tier_of(row, size) for size in (0, *(tier.above + 1 for tier in row.tiers[:reached]))]
    read = ("input", "cached", "cache_write", "cache_write_1h", "audio_input")
    made = ("output", "reasoning", "audio_output")
    return (
        None if any(t.input is None for t in tiers) else max(getattr(t, k) or 0 for t in tiers for k in read),
        None
        if any(t.output is None for t in tiers)
        else max(getattr(t, k) or 0 for t in tiers for k in made),
    )


def _part(tokens: int, price: int | None) -> int:
    """Tokens at a price, rounded up; 0 where it is unknown."""
    return 0 if price is None else -(-tokens * price // _MILLION)


def _parts(tokens: int, price: int | None) -> int:
    """The same at most where tokens are of several kinds, whose parts are rounded up each."""
    if not price:
        return 0
    return -(-tokens * price // _MILLION) + (2 if price % _MILLION else 0)


def _time(ms: float, second: int) -> int:
    """So long at a price per second, rounded up."""
    return -(-math.ceil(ms) * second // 1000)


def _or(price: int | None, otherwise: int | None) -> int | None:
    return otherwise if price is None else price


def _sum(*parts: tuple[int, int | None]) -> int | None:
    """Tokens at their prices, rounded up; None where tokens have no known price."""
    if any(tokens and price is None for tokens, price in parts):
        return None
    return -(-sum(tokens * (price or 0) for tokens, price in parts) // _MILLION)
