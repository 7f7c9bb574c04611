"""Units as people write them: parsed once at the edge, printed back as the shortest exact form.

Every parser takes what YAML gave (a string, or a number where someone forgot the unit) and returns a
plain int or float: milliseconds, bytes, nano-dollars. Amounts are kept as integers so that a sum of a
million small costs is exact. `show_*` is the inverse: `duration(show_duration(ms)) == ms`. What cannot
be read raises `UnitError`, whose `message` says what was read and what is accepted, and whose `help`
says what to write instead where that can be guessed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, Literal, NamedTuple

NANOS_PER_DOLLAR: Final = 10**9

_DURATIONS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_SIZES: Final = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_COUNTS: Final = {"": 1, "k": 1_000, "M": 1_000_000}
_RATES: Final = {"s": 1_000, "min": 60_000, "h": 3_600_000, "day": 86_400_000}
_CALENDAR: Final[tuple[Literal["day", "week", "month", "quarter"], ...]] = ("day", "week", "month", "quarter")

#: Longest text looked at, and most digits before and after the point: far beyond any real value.
_MAX_TEXT: Final = 40
_NUMBER: Final = r"([0-9]{1,15})(?:\.([0-9]{1,9}))?"

_DURATION: Final = re.compile(rf"{_NUMBER}(ms|s|m|h|d)")
_SIZE: Final = re.compile(rf"{_NUMBER}(B|KiB|MiB|GiB|TiB)")
_COUNT: Final = re.compile(rf"{_NUMBER}([kM]?)")
_MONEY: Final = re.compile(rf"\${_NUMBER}")
_PERCENT: Final = re.compile(rf"{_NUMBER}%")
_TIME: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
#: A number written somehow, and the rest: what the guesses start from.
_LOOSE: Final = re.compile(r"\s*([0-9]+(?:[,_'][0-9]{3})*(?:\.[0-9]+)?)\s*([^0-9\s].*?)?\s*")


class UnitError(ValueError):
    """A value that does not read as the unit asked for; `help` is what to write, where it can be guessed."""

    def __init__(self, message: str, advice: str | None = None) -> None:
        super().__init__(f"{message}; {advice}" if advice else message)
        self.message = message
        self.help = advice


class Window(NamedTuple):
    """A stretch of time that a budget counts over: a calendar unit, or a rolling length in ms."""

    calendar: Literal["day", "week", "month", "quarter"] | None
    rolling_ms: int | None


# --- reading ------------------------------------------------------------------------------------------


def duration(value: object) -> int:
    """`30s 1.5s 200ms 5m 1h 7d` as milliseconds."""
    what, accepted = "a duration", "a number with ms, s, m, h or d, like 30s or 1.5s"
    text = _text(value, what, accepted, lambda n: f"write {n}s")
    match = _DURATION.fullmatch(text)
    if not match:
        raise _error(text, what, accepted, _guess_duration(text))
    ms = _scaled(match[1], match[2], _DURATIONS[match[3]])
    if ms is None:
        raise UnitError(f"`{text}` is finer than a millisecond", "write whole milliseconds, like 5ms")
    return ms


def size(value: object) -> int:
    """`512B 20MiB 1.5GiB` as bytes."""
    what, accepted = "a size", "a number with B, KiB, MiB, GiB or TiB, like 20MiB"
    text = _text(value, what, accepted, lambda n: f"write {n}B for bytes")
    match = _SIZE.fullmatch(text)
    if not match:
        raise _error(text, what, accepted, _guess_size(text))
    octets = _scaled(match[1], match[2], _SIZES[match[3]])
    if octets is None:
        raise UnitError(f"`{text}` is not a whole number of bytes", "use a smaller unit, like KiB or B")
    return octets


def count(value: object) -> int:
    """`30k 1.5M 300` or an integer as a whole number; k is 1000, M a million."""
    what, accepted = "a count", "a whole number, with k for thousands or M for millions, like 300 or 30k"
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 0:
            raise UnitError(f"`{value}` is below zero; a count is {accepted}")
        return value
    if isinstance(value, float) and value.is_integer() and 0 <= value < 1e15:
        raise _error(value, what, accepted, f"write {show_count(int(value))}")
    text = _text(value, what, accepted, lambda n: "write a whole number")
    match = _COUNT.fullmatch(text)
    if not match:
        raise _error(text, what, accepted, _guess_count(text))
    number = _scaled(match[1], match[2], _COUNTS[match[3]])
    if number is None:
        raise UnitError(f"`{text}` is not a whole number; a count is {accepted}")
    return number


def money(value: object) -> int:
    """`$0.05 $5000` as nano-dollars (a dollar is 10**9)."""
    what, accepted = "an amount of money", "US dollars with the sign first, like $0.05 or $5000"
    text = _text(value, what, accepted, lambda n: f"write ${n}")
    match = _MONEY.fullmatch(text)
    if not match:
        raise _error(text, what, accepted, _guess_money(text))
    nanos = _scaled(match[1], match[2], NANOS_PER_DOLLAR)
    assert nanos is not None  # nine decimals are nano-dollars
    return nanos


def price(value: object) -> int:
    """`$2/M` (dollars per million tokens) as nano-dollars per million tokens."""
    what, accepted = "a price", "dollars per million tokens, like $2/M or $0.15/M"
    text = _text(value, what, accepted, lambda n: f"write ${n}/M")
    amount, slash, per = text.partition("/")
    if per != "M" or not _MONEY.fullmatch(amount):
        raise _error(text, what, accepted, _guess_price(amount, slash, per))
    return money(amount)


def ratio(value: object) -> float:
    """`80%` as 0.8."""
    what, accepted = "a share", "a percentage, like 80% or 0.5%"
    text = _text(value, what, accepted, _percent_of)
    match = _PERCENT.fullmatch(text)
    if not match:
        raise _error(text, what, accepted, _guess_ratio(text))
    return _percent(match[1], match[2])


def multiplier(value: object) -> float:
    """`+10%` or `-5%` on a price as the factor 1.1 or 0.95."""
    what, accepted = "a surcharge or discount", "a percentage with its sign, like +10% or -5%"
    text = _text(value, what, accepted, lambda n: f"write +{n}%")
    match = _PERCENT.fullmatch(text[1:])
    if text[:1] not in ("+", "-") or not match:
        guess = f"write +{text}" if _PERCENT.fullmatch(text) else None
        raise _error(text, what, accepted, guess)
    whole, part = match[1], match[2] or ""
    hundred = 10 ** (2 + len(part))
    share = int(whole + part)
    if text[0] == "-" and share > hundred:
        raise UnitError(f"`{text}` takes off more than the whole price", "write at most -100%")
    factor: float = (hundred + share if text[0] == "+" else hundred - share) / hundred
    return factor


def rate(value: object) -> tuple[int, int]:
    """`100/min 200k/min 5/s` as (how many, window in ms)."""
    what, accepted = "a rate", "a count per s, min, h or day, like 100/min or 200k/min"
    text = _text(value, what, accepted, lambda n: f"write {n}/min")
    amount, slash, per = text.partition("/")
    if per not in _RATES or not _COUNT.fullmatch(amount):
        raise _error(text, what, accepted, _guess_rate(amount, slash, per))
    return count(amount), _RATES[per]


def sample(value: object) -> tuple[int, int]:
    """`20 in 30s` (at least that many calls in that time) as (how many, window in ms)."""
    what, accepted = "a sample", "a count in a time, like `20 in 30s`"
    text = _text(value, what, accepted, lambda n: f"write `{n} in 30s`")
    amount, middle, length = text.partition(" in ")
    if not middle:
        raise _error(text, what, accepted, None)
    return count(amount), duration(length)


def window(value: object) -> Window:
    """`day week month quarter` (calendar, workspace time zone) or `rolling 24h`."""
    what, accepted = "a window", "day, week, month, quarter, or a rolling time, like `rolling 24h`"
    text = _text(value, what, accepted, lambda n: f"write `rolling {n}h`")
    for unit in _CALENDAR:
        if text == unit:
            return Window(unit, None)
    first, _, length = text.partition(" ")
    if first != "rolling" or not length:
        raise _error(text, what, accepted, _guess_window(text))
    ms = duration(length)
    if ms == 0:
        raise UnitError(f"`{text}` is an empty window", "write a time above zero, like `rolling 24h`")
    return Window(None, ms)


def time_of_day(value: object) -> int:
    """`07:00` (24 hours, two digits each) as minutes since midnight."""
    what, accepted = "a time of day", "hours and minutes of a 24-hour clock, like 07:00 or 18:30"
    text = _text(value, what, accepted, lambda n: f"write {n:0>2}:00" if len(n) < 3 else None)
    match = _TIME.fullmatch(text)
    if not match:
        raise _error(text, what, accepted, _guess_time(text))
    return int(match[1]) * 60 + int(match[2])


# --- printing -----------------------------------------------------------------------------------------


def show_duration(ms: int) -> str:
    """The shortest exact form: 1500 -> `1.5s`, 200 -> `200ms`, 86400000 -> `1d`."""
    return _shortest(ms, _DURATIONS) if ms else "0s"


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
    """`month`, or `rolling 1d`."""
    if value.calendar is not None:
        return value.calendar
    assert value.rolling_ms is not None  # a window is one or the other
    return f"rolling {show_duration(value.rolling_ms)}"


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


# --- what to say when it does not read ----------------------------------------------------------------


def _text(value: object, what: str, accepted: str, guess: Callable[[str], str | None]) -> str:
    """The text to parse; a bare number (and any other type) is told what to write."""
    if isinstance(value, str):
        if len(value) > _MAX_TEXT:
            raise UnitError(f"`{value[: _MAX_TEXT - 3]}...` is too long for {what}: {accepted}")
        return value
    if value is None or isinstance(value, bool):
        shown = {None: "null", True: "true", False: "false"}[value]
        raise _error(shown, what, accepted, None)
    if isinstance(value, int | float):
        number = _plain(value)
        raise _error(number or value, what, accepted, guess(number) if number else None)
    kind = "a list" if isinstance(value, list | tuple) else "a map"
    raise UnitError(f"{kind} stands where {what} is expected: {accepted}")


def _error(read: object, what: str, accepted: str, advice: str | None) -> UnitError:
    return UnitError(f"`{read}` is not {what}: {accepted}", advice)


def _plain(value: float) -> str | None:
    """A number as digits, without an exponent; None if negative, infinite or absurd."""
    if isinstance(value, int):
        return str(value) if 0 <= value < 10**15 else None
    if not 0 <= value < 1e15:
        return None
    return f"{value:.9f}".rstrip("0").rstrip(".")


def _loose(text: str) -> tuple[str, str] | None:
    """A number and the letters behind it, however spaced and grouped: `30 S` -> ("30", "S")."""
    match = _LOOSE.fullmatch(text)
    if match:
        return re.sub("[,_']", "", match[1]), match[2] or ""
    exponent = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?[eE]\+?[0-9]{1,2})\s*(\D.*)?", text)
    if exponent:
        number = _plain(float(exponent[1]))
        return (number, exponent[2] or "") if number else None
    return None


def _close(read: Callable[[object], object], number: str, unit: str) -> str | None:
    """`write 30s`, if that is something the parser reads."""
    try:
        read(number + unit)
    except UnitError:
        return None
    return f"write {number}{unit}"


_DURATION_WORDS: Final = {
    "": "s", "sec": "s", "secs": "s", "second": "s", "seconds": "s",
    "min": "m", "mins": "m", "minute": "m", "minutes": "m",
    "hr": "h", "hrs": "h", "hour": "h", "hours": "h", "day": "d", "days": "d",
    "msec": "ms", "millis": "ms", "millisecond": "ms", "milliseconds": "ms",
}  # fmt: skip
_SIZE_WORDS: Final = {
    "": "B", "byte": "B", "bytes": "B", "b": "B", "k": "KiB", "kb": "KiB", "kib": "KiB",
    "m": "MiB", "mb": "MiB", "mib": "MiB", "g": "GiB", "gb": "GiB", "gib": "GiB",
    "t": "TiB", "tb": "TiB", "tib": "TiB",
}  # fmt: skip
_RATE_WORDS: Final = {
    "sec": "s", "second": "s", "m": "min", "minute": "min", "hr": "h", "hour": "h", "d": "day",
}  # fmt: skip


def _guess_duration(text: str) -> str | None:
    compound = re.fullmatch(r"((?:[0-9]+(?:ms|s|m|h|d)){2,})", text)
    if compound:
        total = sum(duration(part) for part in re.findall(r"[0-9]+(?:ms|s|m|h|d)", text))
        return f"write it in one unit: {show_duration(total)}"
    if re.fullmatch(r"-\s*[0-9].*", text):
        return "a duration is never below zero"
    if re.fullmatch(r"[0-9]+w(eeks?)?", text):
        return f"write {int(text.partition('w')[0]) * 7}d"
    read = _loose(text)
    if not read:
        return None
    unit = read[1].lower()
    return _close(duration, read[0], _DURATION_WORDS.get(unit, unit))


def _guess_size(text: str) -> str | None:
    read = _loose(text)
    if not read:
        return None
    return _close(size, read[0], _SIZE_WORDS.get(read[1].lower(), read[1]))


def _guess_count(text: str) -> str | None:
    read = _loose(text)
    if not read:
        return None
    unit = {"K": "k", "thousand": "k", "m": "M", "mio": "M", "million": "M"}.get(read[1], read[1])
    return _close(count, read[0], unit)


def _guess_money(text: str) -> str | None:
    if re.search("[€£¥]|EUR|GBP|CHF", text):
        return "amounts are in US dollars: convert it and write it like $5"
    bare = re.sub(r"USD|US\$|dollars?|\$", "", text, flags=re.IGNORECASE).strip()
    if re.fullmatch(r"\.[0-9]+", bare):
        bare = f"0{bare}"
    read = _loose(bare)
    if not read:
        return None
    factor = {"": 1, "k": 10**3, "m": 10**6, "c": None, "ct": None}.get(read[1].lower())
    if factor is None or not _MONEY.fullmatch(f"${read[0]}"):
        return None
    return f"write {show_money(money(f'${read[0]}') * factor)}"


def _guess_price(amount: str, slash: str, per: str) -> str | None:
    amount = amount if amount.startswith("$") else f"${amount}"
    if not _MONEY.fullmatch(amount):
        return None
    if not slash:
        return f"write {amount}/M"
    unit = per.replace(" ", "").lower()
    unit = unit.removesuffix("tokens").removesuffix("token").removesuffix("tok")
    tokens = {"": 1, "1": 1, "k": 1000, "1k": 1000, "1000": 1000, "m": 10**6, "1m": 10**6}.get(unit)
    return f"write {show_price(money(amount) * 10**6 // tokens)}" if tokens else None


def _percent_of(number: str) -> str | None:
    """0.8 where a share is expected: 80%. 80: 80%."""
    whole, _, part = number.partition(".")
    if whole == "0" and part:
        return f"write {show_ratio(float(number))}"
    return f"write {number}%"


def _guess_ratio(text: str) -> str | None:
    if text[:1] in ("+", "-") and _PERCENT.fullmatch(text[1:]):
        return f"write {text[1:]}" if text[0] == "+" else "a share is never below zero"
    read = _loose(text.replace("percent", "%"))
    if not read or read[1] not in ("", "%"):
        return None
    return _percent_of(read[0]) if not read[1] else _close(ratio, read[0], "%")


def _guess_rate(amount: str, slash: str, per: str) -> str | None:
    if not slash:
        match = re.fullmatch(r"\s*(\S+)\s+(?:per|an?|every)\s+(\w+)\s*", amount)
        if not match:
            return _close(rate, amount.strip(), "/min")
        amount, per = match[1], match[2]
    per = per.strip().lower()
    read = _loose(amount)
    number = "".join(read) if read else amount.strip()
    return _close(rate, number, "/" + _RATE_WORDS.get(per, per))


def _guess_window(text: str) -> str | None:
    word = text.strip().lower()
    known = {"daily": "day", "weekly": "week", "monthly": "month", "quarterly": "quarter"}
    unit = known.get(word, word.removesuffix("s"))
    if unit in _CALENDAR:
        return f"write {unit}"
    if _DURATION.fullmatch(word):
        return f"write `rolling {word}`"
    return "write `rolling 365d`" if word in ("year", "yearly", "annual") else None


def _guess_time(text: str) -> str | None:
    if text == "24:00":
        return "write 00:00"
    match = re.fullmatch(
        r"\s*([0-9]{1,2})(?:[:.h]([0-9]{2}))?(?::[0-9]{2})?\s*([ap]\.?m\.?)?\s*", text.lower()
    )
    if not match:
        return None
    hour, minute = int(match[1]), int(match[2] or 0)
    if match[3]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if match[3].startswith("p") else 0)
    return f"write {hour:02}:{minute:02}" if hour < 24 and minute < 60 else None
