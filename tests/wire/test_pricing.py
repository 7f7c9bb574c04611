"""What a call costs: by kind of token, by tier, by the day and the hour, and at most."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.plan import codec
from engine.plan.vendors import Facts, Hours, PriceRow, PriceTier
from engine.wire.canonical import Usage
from engine.wire.pricing import cost_of, is_timed, regional, row_at, tier_of, worst_cost, worst_ever

M = 1_000_000_000  # a dollar per million tokens
ROW = PriceRow(
    input=2_000_000_000, output=10_000_000_000, cached=200_000_000, cache_write=2_500_000_000, request=7
)


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


NOW = at("2026-11-23T12:00")


def test_cost_by_kind_of_token() -> None:
    usage: Usage = {
        "input_tokens": 1000, "cached_tokens": 600, "cache_write_tokens": 100, "output_tokens": 10,
    }  # fmt: skip
    cost = cost_of(usage, (ROW,), NOW)
    assert (cost.input, cost.cached, cost.cache_write, cost.output, cost.request) == (
        300 * 2000, 600 * 200, 100 * 2500, 10 * 10_000, 7,
    )  # fmt: skip
    assert cost.total == 600_000 + 120_000 + 250_000 + 100_000 + 7
    assert cost.known


@pytest.mark.parametrize(
    ("usage", "total"),
    [
        ({"input_tokens": 10, "cache_write_tokens": 10, "cache_write_1h_tokens": 4}, 6 * 2500 + 4 * 4000),
        ({"input_tokens": 10, "cache_write_tokens": 3, "cache_write_1h_tokens": 9}, 7 * 2000 + 3 * 4000),
        ({"input_tokens": 10, "audio_input_tokens": 4}, 6 * 2000 + 4 * 3000),
        ({"output_tokens": 10, "reasoning_tokens": 4}, 6 * 10_000 + 4 * 20_000),
        ({"output_tokens": 10, "audio_output_tokens": 4}, 6 * 10_000 + 4 * 30_000),
        ({"input_tokens": 5, "cached_tokens": 50}, 5 * 200),  # more cached than there was
        ({"input_tokens": 5, "cost": 0.25}, 250_000_000),  # the vendor's own figure wins
    ],
)
def test_kinds_with_prices_of_their_own(usage: Usage, total: int) -> None:
    row = PriceRow(
        2 * M, 10 * M, 200_000_000, 2_500_000_000, cache_write_1h=4 * M, audio_input=3 * M, reasoning=20 * M,
        audio_output=30 * M,
    )  # fmt: skip
    assert cost_of(usage, (row,), NOW).total == total


def test_cost_where_little_is_known() -> None:
    assert cost_of({}, (), NOW).known is False
    assert cost_of({"cost": 0.5}, (), NOW).total == 500_000_000
    assert cost_of({"input_tokens": 5}, (PriceRow(output=1),), NOW).known is False
    assert cost_of({"output_tokens": 1}, (PriceRow(output=1),), NOW).output == 1  # never to nothing
    plain = (PriceRow(input=10**6, output=0),)
    assert cost_of({"input_tokens": 5, "cached_tokens": 50}, plain, NOW).total == 5


TIERED = PriceRow(
    1 * M, 5 * M, 100_000_000, tiers=(PriceTier(100, 2 * M, 8 * M), PriceTier(1000, 4 * M, cached=M))
)


@pytest.mark.parametrize(
    ("size", "prices"),
    [
        (100, (1 * M, 5 * M, 100_000_000)),
        (101, (2 * M, 8 * M, 100_000_000)),
        (1000, (2 * M, 8 * M, 100_000_000)),
        (1001, (4 * M, 5 * M, M)),  # what a tier does not say is as in the row
    ],
)
def test_a_tier_is_for_all_tokens_of_the_call(size: int, prices: tuple[int, int, int]) -> None:
    found = tier_of(TIERED, size)
    assert (found.input, found.output, found.cached) == prices
    cost = cost_of({"input_tokens": size, "output_tokens": 1}, (TIERED,), NOW)
    assert cost.input == size * prices[0] // 1_000_000
    assert cost.output == prices[1] // 1_000_000


CHANGES = (PriceRow(1 * M, 1 * M), PriceRow(2 * M, 2 * M, since=int(at("2026-12-01T00:00"))))


@pytest.mark.parametrize(
    ("when", "price"),
    [("2026-11-30T23:59:59", 1), ("2026-12-01T00:00:00", 2), ("2030-01-01T00:00:00", 2)],
)
def test_a_price_changes_at_midnight(when: str, price: int) -> None:
    assert cost_of({"input_tokens": 1}, CHANGES, at(when)).total == price * 1000


def test_a_price_that_ran_out_is_unknown() -> None:
    row = PriceRow(1, 1, since=int(at("2026-11-01T00:00")), until=int(at("2026-12-01T00:00")))
    assert row_at((row,), at("2026-10-31T23:59")) is None
    assert row_at((row,), at("2026-11-01T00:00")) is row
    assert row_at((row,), at("2026-12-01T00:00")) is None
    assert worst_cost(1, 1, (row,), at("2026-12-01T00:00")) is None


PEAK = PriceRow(2 * M, 2 * M, hours=(Hours(60, 240, (1, 2, 3, 4, 5)), Hours(1380, 30, (5,))))
DAILY = (PriceRow(1 * M, 1 * M), PEAK)


@pytest.mark.parametrize(
    ("when", "price"),
    [
        ("2026-11-23T00:59:59", 1),  # a Monday
        ("2026-11-23T01:00", 2),
        ("2026-11-23T03:59:59", 2),
        ("2026-11-23T04:00", 1),
        ("2026-11-22T02:00", 1),  # a Sunday
        ("2026-11-27T23:00", 2),  # a Friday
        ("2026-11-28T00:29", 2),  # still the window that began on Friday
        ("2026-11-28T00:30", 1),
        ("2026-11-28T23:30", 1),
    ],
)
def test_hours_of_the_day(when: str, price: int) -> None:
    assert cost_of({"input_tokens": 1}, DAILY, at(when)).total == price * 1000


@pytest.mark.parametrize("prices", [(ROW,), (TIERED,), CHANGES, DAILY])
@pytest.mark.parametrize("size", [1, 100, 101, 1001])
def test_worst_cost_is_never_below_a_cost(prices: tuple[PriceRow, ...], size: int) -> None:
    for start in (NOW, at("2026-11-30T23:30"), at("2026-11-23T00:10"), at("2026-11-23T03:30")):
        worst = worst_cost(size, 10, prices, start)
        assert worst is not None
        for later in range(0, 3600, 300):
            for cached in (0, size):
                usage: Usage = {"input_tokens": size, "cached_tokens": cached, "output_tokens": 10}
                assert cost_of(usage, prices, start + later).total <= worst


def test_worst_cost() -> None:
    assert worst_cost(1000, 10, (ROW,), NOW) == 1000 * 2500 + 10 * 10_000 + 7
    assert worst_cost(1, 1, (), NOW) is None
    assert worst_cost(1, 1, (PriceRow(input=1),), NOW) is None
    assert worst_cost(1, 0, CHANGES, at("2026-11-30T22:00")) == 1000
    assert worst_cost(1, 0, CHANGES, at("2026-11-30T23:30")) == 2000  # it may end after midnight
    assert worst_cost(1, 0, DAILY, at("2026-11-23T12:00")) == 1000
    assert worst_cost(1, 0, DAILY, at("2026-11-26T23:50")) == 1000
    assert worst_cost(1, 0, DAILY, at("2026-11-27T22:10")) == 2000


TIMED = (PriceRow(0, 0, second=100_000),)


def test_time_is_billed_by_the_call() -> None:
    assert is_timed(TIMED)
    assert not is_timed((ROW,))
    assert cost_of({"input_tokens": 9}, TIMED, NOW, 1_500).total == 150_000
    assert cost_of({"input_tokens": 9}, TIMED, NOW, 0.2).time == 100  # a begun millisecond counts
    assert cost_of({"cached_tokens": 1, "input_tokens": 9}, TIMED, NOW, 1_000).total == 100_000
    assert cost_of({"cost": 0.5}, TIMED, NOW, 1_000).total == 500_000_000  # the vendor's own figure wins
    assert worst_cost(9, 9, TIMED, NOW, 60_000) == 6_000_000
    assert worst_cost(9, 9, TIMED, NOW, None) is None  # nobody limits it
    assert regional(TIMED, 1.1)[0].second == 110_000


def test_search_units() -> None:
    row = (PriceRow(0, 0, request=2_000_000),)
    assert cost_of({"search_units": 3}, row, NOW).total == worst_cost(0, 0, row, NOW, 0, 3) == 6_000_000


def test_worst_ever_knows_rows_of_any_time() -> None:
    assert worst_cost(1, 0, CHANGES, NOW) == 1000
    assert worst_ever(1, 0, CHANGES) == 2000
    assert worst_ever(1, 0, DAILY) == 2000
    assert worst_ever(1, 0, ()) is None


_price = st.integers(0, 10**11)
_maybe = st.none() | _price
_tiers = st.lists(st.builds(PriceTier, st.integers(1, 5_000), *[_maybe] * 8), max_size=2)
_row = st.builds(
    PriceRow, _price, _price, _maybe, _maybe, st.integers(0, 10**8), *[_maybe] * 4,
    tiers=_tiers.map(lambda tiers: tuple(sorted(tiers, key=lambda tier: tier.above))),
    second=st.integers(0, 10**6),
)  # fmt: skip
_count = st.integers(0, 6_000)


@given(
    st.lists(_row, min_size=1, max_size=2),
    st.dictionaries(
        st.sampled_from(
            (
                "cached_tokens", "cache_write_tokens", "cache_write_1h_tokens", "reasoning_tokens",
                "audio_input_tokens", "audio_output_tokens",
            )
        ),
        _count,
    ),
    _count, _count, _count, _count, st.integers(0, 700_000), st.integers(1, 9),
)  # fmt: skip
def test_the_reserve_is_never_below_the_cost(
    rows: list[PriceRow],
    parts: dict[str, int],
    read: int,
    more: int,
    made: int,
    limit: int,
    ms: int,
    units: int,
) -> None:
    """Whatever a vendor reports within what was asked: fewer tokens, of any kind, in less time."""
    usage = {**parts, "input_tokens": read, "output_tokens": made, "search_units": units}
    worst = worst_cost(read + more, made + limit, rows, NOW, ms, units)
    assert worst is not None
    assert cost_of(usage, rows, NOW, ms).total <= worst  # type: ignore[arg-type] - made up of any keys
    assert worst <= (worst_ever(read + more, made + limit, rows, ms, units) or 0)


def test_a_region_multiplies() -> None:
    assert regional((ROW,), 1.1)[0].input == 2_200_000_000
    assert regional((ROW,), 1.0) == (ROW,)
    assert regional((PriceRow(input=1, output=None),), 1.1) == (PriceRow(input=2, output=None),)
    raised = regional((TIERED, PEAK), 1.1)
    assert raised[0].tiers[1] == PriceTier(1000, 4_400_000_000, cached=1_100_000_000)
    assert raised[1].hours == PEAK.hours


def test_prices_go_through_the_plan() -> None:
    facts = Facts(prices=(TIERED, *CHANGES, *DAILY))
    assert codec.decode(Facts, codec.encode(facts)) == facts
