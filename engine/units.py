"""Units as people write them: parsed once at the edge, printed back as the shortest exact form.

Every parser takes what YAML gave (a string, or a number where someone forgot the unit) and returns a
plain int or float: milliseconds, bytes, nano-dollars. Amounts are kept as integers so that a sum of a
million small costs is exact. `show_*` is the inverse: `duration(show_duration(ms)) == ms`. What cannot
be read raises `UnitError`, whose `message` says what was read and what is accepted, and whose `help`
says what to write instead where that can be guessed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

NANOS_PER_DOLLAR: Final = 10**9

DURATIONS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_SIZES: Final = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_COUNTS: Final = {"": 1, "k": 1_000, "M": 1_000_000}
_RATES: Final = {"s": 1_000, "min": 60_000, "h": 3_600_000, "day": 86_400_000}
CALENDAR: Final[tuple[Literal["day", "week", "month", "quarter"], ...]] = ("day", "week", "month", "quarter")

#: Longest text looked at, and most digits before and after the point: far beyond any real value.
_MAX_TEXT: Final = 40
_NUMBER: Final = r"([0-9]{1,15})(?:\.([0-9]{1,9}))?"

_DURATION: Final = re.compile(rf"{_NUMBER}(ms|s|m|h|d)")
_SIZE: Final = re.compile(rf"{_NUMBER}(B|KiB|MiB|GiB|TiB)")
_COUNT: Final = re.compile(rf"{_NUMBER}([kM]?)")
_MONEY: Final = re.compile(rf"\${_NUMBER}")
_PERCENT: Final = re.compile(rf"{_NUMBER}%")
_TIME: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
#: What each reader accepts: the noun, and how it is written.
_ACCEPTED: Final = {
    "duration": ("a duration", "a number with ms, s, m, h or d, like 30s or 1.5s"),
    "size": ("a size", "a number with B, KiB, MiB, GiB or TiB, like 20MiB"),
    "count": ("a count", "a whole number, with k for thousands or M for millions, like 300 or 30k"),
    "money": ("an amount of money", "US dollars with the sign first, like $0.05 or $5000"),
    "price": ("a price", "dollars per million tokens, like $2/M or $0.15/M"),
    "ratio": ("a share", "a percentage, like 80% or 0.5%"),
    "multiplier": ("a surcharge or discount", "a percentage with its sign, like +10% or -5%"),
    "rate": ("a rate", "a count per s, min, h or day, like 100/min or 200k/min"),
    "sample": ("a sample", "a count in a time, like `20 in 30s`"),
    "window": ("a window", "day, week, month, quarter, `every 6h`, or a rolling time, like `rolling 24h`"),
    "quota": ("what a budget holds", "US dollars or tokens, like $500 or `2M tokens`"),
    "time_of_day": ("a time of day", "hours and minutes of a 24-hour clock, like 07:00 or 18:30"),
}


class UnitError(ValueError):
    """A value that does not read as the unit asked for.

    `message` says what was read and what is accepted; `help` what to write instead, where it can be guessed.
    """

    def __init__(
        self, message: str, advice: str | None = None, *, refused: tuple[str, object] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self._advice = advice
        self._refused = refused

    @property
    def help(self) -> str | None:
        """Worked out when asked for: guessing tries the readers, which raise this error themselves."""
        if self._refused is None:
            return self._advice
        from engine.unit_hints import hint  # it imports this module

        return hint(*self._refused)

    def __str__(self) -> str:
        return f"{self.message}; {self.help}" if self.help else self.message


class Window(NamedTuple):
    """A stretch of time that a budget counts over: one of these; the others are None.

    every_ms: of that length, one after the other. rolling_ms: the last so many.
    """

    calendar: Literal["day", "week", "month", "quarter"] | None = None
    rolling_ms: int | None = None
    every_ms: int | None = None


class Quota(NamedTuple):
    """How much a budget holds: nano-dollars of `cost`, or `tokens`."""

    measure: Literal["cost", "tokens"]
    amount: int


# --- reading ------------------------------------------------------------------------------------------


def duration(value: object) -> int:
    """`30s 1.5s 200ms 5m 1h 7d` as milliseconds."""
    text = _text(value, "duration")
    match = _DURATION.fullmatch(text)
    if not match:
        raise _refused(value, "duration")
    ms = _scaled(match[1], match[2], DURATIONS[match[3]])
    if ms is None:
        raise UnitError(f"`{text}` is finer than a millisecond", "write whole milliseconds, like 5ms")
    return ms


def size(value: object) -> int:
    """`512B 20MiB 1.5GiB` as bytes."""
    text = _text(value, "size")
    match = _SIZE.fullmatch(text)
    if not match:
        raise _refused(value, "size")
    octets = _scaled(match[1], match[2], _SIZES[match[3]])
    if octets is None:
        raise UnitError(f"`{text}` is not a whole number of bytes", "use a smaller unit, like KiB or B")
    return octets


def count(value: object) -> int:
    """`30k 1.5M 300` or an integer as a whole number; k is 1000, M a million."""
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 0:
            raise UnitError(f"`{value}` is below zero; a count is {_ACCEPTED['count'][1]}")
        return value
    text = _text(value, "count")
    match = _COUNT.fullmatch(text)
    if not match:
        raise _refused(value, "count")
    number = _scaled(match[1], match[2], _COUNTS[match[3]])
    if number is None:
        raise UnitError(f"`{text}` is not a whole number; a count is {_ACCEPTED['count'][1]}")
    return number


def money(value: object) -> int:
    """`$0.05 $5000` as nano-dollars (a dollar is 10**9)."""
    text = _text(value, "money")
    match = _MONEY.fullmatch(text)
    if not match:
        raise _refused(value, "money")
    nanos = _scaled(match[1], match[2], NANOS_PER_DOLLAR)
    assert nanos is not None  # nine decimals are nano-dollars
    return nanos


def price(value: object) -> int:
    """`$2/M` (dollars per million tokens) as nano-dollars per million tokens."""
    text = _text(value, "price")
    amount, _, per = text.partition("/")
    if per != "M" or not _MONEY.fullmatch(amount):
        raise _refused(value, "price")
    return money(amount)


def ratio(value: object) -> float:
    """`80%` as 0.8."""
    text = _text(value, "ratio")
    match = _PERCENT.fullmatch(text)
    if not match:
        raise _refused(value, "ratio")
    return _percent(match[1], match[2])


def multiplier(value: object) -> float:
    """`+10%` or `-5%` on a price as the factor 1.1 or 0.95."""
    text = _text(value, "multiplier")
    match = _PERCENT.fullmatch(text[1:])
    if text[:1] not in ("+", "-") or not match:
        raise _refused(value, "multiplier")
    whole, part = match[1], match[2] or ""
    hundred = 10 ** (2 + len(part))
    share = int(whole + part)
    if text[0] == "-" and share > hundred:
        raise UnitError(f"`{text}` takes off more than the whole price", "write at most -100%")
    factor: float = (hundred + share if text[0] == "+" else hundred - share) / hundred
    return factor


def rate(value: object) -> tuple[int, int]:
    """`100/min 200k/min 5/s` as (how many, window in ms)."""
    text = _text(value, "rate")
    amount, _, per = text.partition("/")
    if per not in _RATES or not _COUNT.fullmatch(amount):
        raise _refused(value, "rate")
    return count(amount), _RATES[per]


def sample(value: object) -> tuple[int, int]:
    """`20 in 30s` (at least that many calls in that time) as (how many, window in ms)."""
    text = _text(value, "sample")
    amount, middle, length = text.partition(" in ")
    if not middle:
        raise _refused(value, "sample")
    return count(amount), duration(length)


def window(value: object) -> Window:
    """`day week month quarter` (calendar, workspace time zone), `every 6h` or `rolling 24h`."""
    text = _text(value, "window")
    for unit in CALENDAR:
        if text == unit:
            return Window(unit)
    first, _, length = text.partition(" ")
    if first not in ("rolling", "every") or not _DURATION.fullmatch(length):
        raise _refused(value, "window")
    ms = duration(length)
    if ms == 0:
        raise UnitError(f"`{text}` is an empty window", f"write a time above zero, like `{first} 24h`")
    return Window(rolling_ms=ms) if first == "rolling" else Window(every_ms=ms)


def quota(value: object) -> Quota:
    """`$500` or `2M tokens`."""
    text = _text(value, "quota")
    amount, _, unit = text.partition(" ")
    if unit == "tokens" and _COUNT.fullmatch(amount):
        return Quota("tokens", count(amount))
    if not _MONEY.fullmatch(text):
        raise _refused(value, "quota")
    return Quota("cost", money(text))


def time_of_day(value: object) -> int:
    """`07:00` (24 hours, two digits each) as minutes since midnight."""
    text = _text(value, "time_of_day")
    match = _TIME.fullmatch(text)
    if not match:
        raise _refused(value, "time_of_day")
    return int(match[1]) * 60 + int(match[2])


# --- printing -----------------------------------------------------------------------------------------


def show_duration(ms: int) -> str:
    """The shortest exact form: 1500 -> `1.5s`, 200 -> `200ms`, 86400000 -> `1d`."""
    return _shortest(ms, DURATIONS) if ms else "0s"


def show_size(octets: int) -> str:
    """20971520 -> `20MiB`."""
    return _shortest(octets, _SIZES)


def show_count(number: int) -> str:
    """30000 -> `30k`, 1500 -> `1500`."""
    return _shortest(number, _COUNTS)


def show_money(nanos: int) -> str:
    """50000000 -> `$0.05`."""
    return "$" + _decimal(nanos, 9)


def show_price(nanos: int) -> str:
    """2 * 10**9 -> `$2/M`."""
    return f"{show_money(nanos)}/M"


def show_ratio(share: float) -> str:
    """0.8 -> `80%`; reads back as the same float for every share that `ratio` returned."""
    for places in range(10):
        text = f"{share * 100:.{places}f}"
        whole, _, part = text.partition(".")
        if _percent(whole, part) == share:
            return f"{text}%"
    return f"{share * 100:.9f}".rstrip("0").rstrip(".") + "%"


def show_multiplier(factor: float) -> str:
    """1.1 -> `+10%`, 0.95 -> `-5%`."""
    for places in range(10):
        text = f"{(factor - 1) * 100:+.{places}f}%"
        if multiplier(text) == factor:
            return text
    return f"{(factor - 1) * 100:+.9f}".rstrip("0").rstrip(".") + "%"


def show_rate(number: int, window_ms: int) -> str:
    """(100, 60000) -> `100/min`. `window_ms` must be one of a second, minute, hour, day."""
    for name, ms in _RATES.items():
        if ms == window_ms:
            return f"{show_count(number)}/{name}"
    raise ValueError(f"no rate counts over {window_ms} ms")


def show_sample(number: int, window_ms: int) -> str:
    """(20, 30000) -> `20 in 30s`."""
    return f"{show_count(number)} in {show_duration(window_ms)}"


def show_window(value: Window) -> str:
    """`month`, `every 6h`, or `rolling 1d`."""
    if value.calendar is not None:
        return value.calendar
    if value.every_ms is not None:
        return f"every {show_duration(value.every_ms)}"
    assert value.rolling_ms is not None  # a window is one of them
    return f"rolling {show_duration(value.rolling_ms)}"


def show_quota(value: Quota) -> str:
    """`$500` or `2M tokens`."""
    return show_money(value.amount) if value.measure == "cost" else f"{show_count(value.amount)} tokens"


def shown_amount(measure: str, amount: int) -> str:
    """What budgets count, for people: money to the hundredth of a cent where it is not less, or tokens."""
    if measure != "cost":
        return f"{show_count(amount)} tokens"
    step = NANOS_PER_DOLLAR // 10_000
    return show_money(amount if amount < step else amount // step * step)


def show_time_of_day(minutes: int) -> str:
    """420 -> `07:00`."""
    return f"{minutes // 60:02}:{minutes % 60:02}"


# --- exact arithmetic on decimal digits ---------------------------------------------------------------


def _scaled(whole: str, part: str | None, unit: int) -> int | None:
    """`whole.part` times `unit`; None when that is not a whole number."""
    digits = part or ""
    product, rest = divmod(int(whole + digits) * unit, 10 ** len(digits))
    return None if rest else product


def _percent(whole: str, part: str | None) -> float:
    digits = part or ""
    share: float = int(whole + digits) / 10 ** (2 + len(digits))
    return share


def _decimal(number: int, places: int) -> str:
    """`number` / 10**places without trailing zeros."""
    whole, part = divmod(number, 10**places)
    digits = f"{part:0{places}}".rstrip("0")
    return f"{whole}.{digits}" if digits else str(whole)


def _shortest(number: int, units: Mapping[str, int]) -> str:
    """The shortest exact text; whole numbers win a tie, and no value is below 1 of its unit."""
    best = (len(str(number)) + len(next(iter(units))), False, f"{number}{next(iter(units))}")
    for name, unit in units.items():
        if number < unit:
            break
        thousandths, rest = divmod(number * 1000, unit)
        if not rest:
            digits = _decimal(thousandths, 3)
            best = min(best, (len(digits) + len(name), "." in digits, digits + name))
    return best[2]


# --- refusing -----------------------------------------------------------------------------------------


def _text(value: object, unit: str) -> str:
    """The text to parse; a bare number (and any other type) is refused."""
    if isinstance(value, str) and len(value) <= _MAX_TEXT:
        return value
    raise _refused(value, unit)


def _refused(value: object, unit: str) -> UnitError:
    what, accepted = _ACCEPTED[unit]
    if isinstance(value, list | tuple | dict):
        kind = "a map" if isinstance(value, dict) else "a list"
        return UnitError(f"{kind} stands where {what} is expected: {accepted}")
    if isinstance(value, str) and len(value) > _MAX_TEXT:
        return UnitError(f"`{_line(value[: _MAX_TEXT - 3])}...` is too long for {what}: {accepted}")
    words = {None: "null", True: "true", False: "false"}
    shown = words[value] if value is None or isinstance(value, bool) else _line(str(value))
    return UnitError(f"`{shown}` is not {what}: {accepted}", refused=(unit, value))


def _line(text: str) -> str:
    """A text on one line, as messages hold it."""
    return " ".join(text.split()) if text.split() else repr(text)[1:-1]
