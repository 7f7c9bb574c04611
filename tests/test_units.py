"""Units: what is read, what is refused and with which advice, and that printing is the inverse of reading."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from engine import units
from engine.units import Quota, UnitError, Window

S, M, H, D = 1_000, 60_000, 3_600_000, 86_400_000
DOLLAR = 10**9

READ: list[tuple[Callable[[object], Any], object, object]] = [
    (units.duration, "30s", 30 * S),
    (units.duration, "1.5s", 1500),
    (units.duration, "5m", 5 * M),
    (units.duration, "200ms", 200),
    (units.duration, "1h", H),
    (units.duration, "7d", 7 * D),
    (units.duration, "0.5h", 30 * M),
    (units.duration, "0s", 0),
    (units.duration, "0.001s", 1),
    (units.size, "20MiB", 20 * 2**20),
    (units.size, "512B", 512),
    (units.size, "1.5KiB", 1536),
    (units.size, "2GiB", 2**31),
    (units.size, "1TiB", 2**40),
    (units.count, "30k", 30_000),
    (units.count, 30_000, 30_000),
    (units.count, "1.5M", 1_500_000),
    (units.count, "12", 12),
    (units.count, 0, 0),
    (units.money, "$0.05", 50_000_000),
    (units.money, "$5000", 5000 * DOLLAR),
    (units.money, "$0", 0),
    (units.money, "$0.000000001", 1),
    (units.price, "$2/M", 2 * DOLLAR),
    (units.price, "$0.15/M", 150_000_000),
    (units.ratio, "80%", 0.8),
    (units.ratio, "100%", 1.0),
    (units.ratio, "0.1%", 0.001),
    (units.ratio, "0%", 0.0),
    (units.multiplier, "+10%", 1.1),
    (units.multiplier, "-5%", 0.95),
    (units.multiplier, "-100%", 0.0),
    (units.rate, "100/min", (100, M)),
    (units.rate, "200k/min", (200_000, M)),
    (units.rate, "5/s", (5, S)),
    (units.rate, "1M/day", (10**6, D)),
    (units.rate, "2/h", (2, H)),
    (units.sample, "20 in 30s", (20, 30 * S)),
    (units.window, "month", Window("month", None)),
    (units.window, "quarter", Window("quarter", None)),
    (units.window, "rolling 24h", Window(None, 24 * H)),
    (units.window, "every 6h", Window(every_ms=6 * H)),
    (units.quota, "$500", Quota("cost", 500 * 10**9)),
    (units.quota, "2M tokens", Quota("tokens", 2_000_000)),
    (units.quota, "300 tokens", Quota("tokens", 300)),
    (units.time_of_day, "07:00", 420),
    (units.time_of_day, "00:00", 0),
    (units.time_of_day, "23:59", 1439),
]

#: Parser, what was written, the advice given (None: nothing can be guessed).
REFUSED: list[tuple[Callable[[object], Any], object, str | None]] = [
    (units.duration, 30, "write 30s"),
    (units.duration, "30", "write 30s"),
    (units.duration, "30 s", "write 30s"),
    (units.duration, 1.5, "write 1.5s"),
    (units.duration, 1000.0, "write 1000s"),
    (units.duration, "30S", "write 30s"),
    (units.duration, "30 seconds", "write 30s"),
    (units.duration, "5min", "write 5m"),
    (units.duration, "1e3", "write 1000s"),
    (units.duration, "1,500ms", "write 1500ms"),
    (units.duration, "1h30m", "write it in one unit: 90m"),
    (units.duration, "2w", "write 14d"),
    (units.duration, "-5s", "a duration is never below zero"),
    (units.duration, -5, None),
    (units.duration, "0.5ms", "write whole milliseconds, like 5ms"),
    (units.duration, "soon", None),
    (units.duration, "", None),
    (units.duration, None, None),
    (units.duration, True, None),
    (units.duration, [30], None),
    (units.duration, "$5", None),
    (units.duration, "9" * 50, None),
    (units.duration, "30s\n", "write 30s"),
    (units.duration, "٣s", None),
    (units.duration, float("inf"), None),
    (units.duration, float("nan"), None),
    (units.size, 1048576, "write 1048576B for bytes"),
    (units.size, "20MB", "write 20MiB"),
    (units.size, "20M", "write 20MiB"),
    (units.size, "20 mib", "write 20MiB"),
    (units.size, "1.0001B", "use a smaller unit, like KiB or B"),
    (units.count, "30K", "write 30k"),
    (units.count, "30,000", "write 30000"),
    (units.count, "1_000", "write 1000"),
    (units.count, 1e3, "write 1k"),
    (units.count, "1e3", "write 1000"),
    (units.count, "30 k", "write 30k"),
    (units.count, -1, None),
    (units.count, True, None),
    (units.count, 1.5, "write a whole number"),
    (units.count, "1.5", None),
    (units.count, "2 million", "write 2M"),
    (units.money, 5000, "write $5000"),
    (units.money, "5000", "write $5000"),
    (units.money, "$5,000", "write $5000"),
    (units.money, "$5,000.50", "write $5000.5"),
    (units.money, "5 USD", "write $5"),
    (units.money, "5$", "write $5"),
    (units.money, "$5k", "write $5000"),
    (units.money, "$.05", "write $0.05"),
    (units.money, 0.05, "write $0.05"),
    (units.money, "€5", "amounts are in US dollars: convert it and write it like $5"),
    (units.money, "-$5", None),
    (units.money, "$1e3", "write $1000"),
    (units.money, "free", None),
    (units.money, "$5/M", None),
    (units.price, "$2", "write $2/M"),
    (units.price, "2/M", "write $2/M"),
    (units.price, "$0.002/1k", "write $2/M"),
    (units.price, "$2/1M tokens", "write $2/M"),
    (units.price, 2, "write $2/M"),
    (units.price, "cheap", None),
    (units.ratio, 0.8, "write 80%"),
    (units.ratio, 80, "write 80%"),
    (units.ratio, "0.8", "write 80%"),
    (units.ratio, "80", "write 80%"),
    (units.ratio, "80 %", "write 80%"),
    (units.ratio, "80 percent", "write 80%"),
    (units.ratio, "+10%", "write 10%"),
    (units.ratio, "-10%", "a share is never below zero"),
    (units.multiplier, "10%", "write +10%"),
    (units.multiplier, 10, "write +10%"),
    (units.multiplier, "-101%", "write at most -100%"),
    (units.multiplier, "more", None),
    (units.rate, 100, "write 100/min"),
    (units.rate, "100", "write 100/min"),
    (units.rate, "100/m", "write 100/min"),
    (units.rate, "100 / minute", "write 100/min"),
    (units.rate, "100 per minute", "write 100/min"),
    (units.rate, "200K/min", "write 200k/min"),
    (units.rate, "1,000/h", "write 1000/h"),
    (units.rate, "5/week", None),
    (units.sample, "20", "write `20 in 30s`"),
    (units.sample, 20, "write `20 in 30s`"),
    (units.sample, "20 in 30", "write 30s"),
    (units.window, "24h", "write `rolling 24h`"),
    (units.window, "monthly", "write month"),
    (units.window, "Months", "write month"),
    (units.window, "rolling", None),
    (units.window, "every", None),
    (units.window, "every 6", "write `every 6h`"),
    (units.window, "every 0h", "write a time above zero, like `every 24h`"),
    (units.quota, "500", "write $500"),
    (units.quota, 500, "write $500"),
    (units.quota, "2M token", "write `2M tokens`"),
    (units.quota, "5 euros", None),
    (units.window, "rolling 24", "write `rolling 24h`"),
    (units.window, "rolling 0s", "write a time above zero, like `rolling 24h`"),
    (units.window, 0, None),
    (units.window, "0", None),
    (units.window, 24, "write `rolling 24h`"),
    (units.window, "year", "write `rolling 365d`"),
    (units.time_of_day, "7:00", "write 07:00"),
    (units.time_of_day, "7am", "write 07:00"),
    (units.time_of_day, "7 p.m.", "write 19:00"),
    (units.time_of_day, "24:00", "write 00:00"),
    (units.time_of_day, 7, "write 07:00"),
    (units.time_of_day, "12:30:00", "write 12:30"),
    (units.time_of_day, "25:00", None),
    (units.time_of_day, "noon", None),
]


@pytest.mark.parametrize(("read", "text", "value"), READ)
def test_read(read: Callable[[object], Any], text: object, value: object) -> None:
    got = read(text)
    assert got == value
    assert type(got) is type(value)


@pytest.mark.parametrize(("read", "text", "advice"), REFUSED)
def test_refused(read: Callable[[object], Any], text: object, advice: str | None) -> None:
    with pytest.raises(UnitError) as caught:
        read(text)
    error = caught.value
    assert error.help == advice
    assert error.message
    assert str(error).startswith(error.message)
    if isinstance(text, str) and len(text) < 40:
        assert text.partition(" in ")[2] in error.message or text in error.message, "it says what was read"


@pytest.mark.parametrize(
    ("read", "advice"),
    [(read, advice) for read, _, advice in REFUSED if advice and advice.startswith("write ")],
)
def test_what_is_advised_is_read(read: Callable[[object], Any], advice: str) -> None:
    words = advice.removeprefix("write ").removesuffix(" for bytes").strip("`")
    if words[0].isdigit() or words[0] in "$+":
        (units.duration if read is units.sample and " in " not in words else read)(words)


SHOWN: list[tuple[str, str]] = [
    (units.show_duration(1500), "1.5s"),
    (units.show_duration(200), "200ms"),
    (units.show_duration(90 * S), "90s"),
    (units.show_duration(D), "1d"),
    (units.show_duration(0), "0s"),
    (units.show_duration(5 * M), "5m"),
    (units.show_duration(1001), "1001ms"),
    (units.show_size(20 * 2**20), "20MiB"),
    (units.show_size(0), "0B"),
    (units.show_size(1536), "1536B"),
    (units.show_count(30_000), "30k"),
    (units.show_count(1500), "1500"),
    (units.show_count(1_500_000), "1.5M"),
    (units.show_count(999), "999"),
    (units.show_count(0), "0"),
    (units.show_money(50_000_000), "$0.05"),
    (units.show_money(5000 * DOLLAR), "$5000"),
    (units.show_money(1), "$0.000000001"),
    (units.show_price(2 * DOLLAR), "$2/M"),
    (units.show_ratio(0.8), "80%"),
    (units.show_ratio(0.001), "0.1%"),
    (units.show_ratio(0.07), "7%"),
    (units.show_multiplier(1.1), "+10%"),
    (units.show_multiplier(0.95), "-5%"),
    (units.show_rate(200_000, M), "200k/min"),
    (units.show_sample(20, 30 * S), "20 in 30s"),
    (units.show_window(Window("month", None)), "month"),
    (units.show_window(Window(None, D)), "rolling 1d"),
    (units.show_window(Window(every_ms=6 * H)), "every 6h"),
    (units.show_quota(Quota("cost", 10**9)), "$1"),
    (units.show_quota(Quota("tokens", 2 * 10**6)), "2M tokens"),
    (units.show_time_of_day(420), "07:00"),
]


@pytest.mark.parametrize(("shown", "text"), SHOWN)
def test_shown(shown: str, text: str) -> None:
    assert shown == text


def test_a_rate_over_another_window_has_no_text() -> None:
    with pytest.raises(ValueError, match="7 ms"):
        units.show_rate(1, 7)


# --- round trips --------------------------------------------------------------------------------------

amounts = st.integers(0, 10**14)


@given(amounts)
def test_round_trip_of_integers(n: int) -> None:
    assert units.duration(units.show_duration(n)) == n
    assert units.size(units.show_size(n)) == n
    assert units.count(units.show_count(n)) == n
    assert units.money(units.show_money(n)) == n
    assert units.price(units.show_price(n)) == n


@given(st.integers(0, 10**6), st.integers(0, 6))
def test_round_trip_of_shares(digits: int, places: int) -> None:
    share = units.ratio(f"{digits / 10**places:.{places}f}%")
    assert units.ratio(units.show_ratio(share)) == share
    factor = units.multiplier(f"+{digits / 10**places:.{places}f}%")
    assert units.multiplier(units.show_multiplier(factor)) == factor


@given(st.integers(0, 10**12), st.sampled_from([S, M, H, D]), st.integers(1, 10**10))
def test_round_trip_of_pairs(n: int, per: int, ms: int) -> None:
    assert units.rate(units.show_rate(n, per)) == (n, per)
    assert units.sample(units.show_sample(n, ms)) == (n, ms)
    assert units.window(units.show_window(Window(None, ms))) == Window(None, ms)


@given(st.integers(0, 1439))
def test_round_trip_of_times(minutes: int) -> None:
    assert units.time_of_day(units.show_time_of_day(minutes)) == minutes


@given(amounts)
def test_no_shorter_form_is_read_as_the_same(n: int) -> None:
    shown = units.show_count(n)
    assume(len(shown) > 1)
    for unit, size in (("k", 1_000), ("M", 1_000_000)):
        whole, rest = divmod(n, size)
        if whole and not rest:
            assert len(shown) <= len(f"{whole}{unit}")


READERS = sorted({row[0] for row in READ}, key=lambda read: read.__name__)


@given(
    st.text("0123456789.,_ $%/+-eEkMmshdBinGi:rolday€\n", max_size=45)
    | st.floats()
    | st.integers()
    | st.none()
)
def test_nothing_else_than_a_unit_error_is_raised(value: object) -> None:
    said: list[str] = []
    for read in READERS:
        try:
            read(value)
        except UnitError as error:
            said.append(str(error))
    assert all(said)
