"""What to write instead of a value that does not read as its unit: `write 30s` for `30`.

Guesses only: what is proposed is tried with the unit's own reader first, and nothing is proposed where the
meaning is open.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from engine import units

#: A number written somehow, and the rest.
_LOOSE: Final = re.compile(r"\s*([0-9]+(?:[,_'][0-9]{3})*(?:\.[0-9]+)?)\s*([^0-9\s].*?)?\s*")
_EXPONENT: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?[eE]\+?[0-9]{1,2})\s*(\D.*)?")

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
_COUNT_WORDS: Final = {"K": "k", "thousand": "k", "m": "M", "mio": "M", "million": "M"}
_RATE_WORDS: Final = {
    "sec": "s", "second": "s", "m": "min", "minute": "min", "hr": "h", "hour": "h", "d": "day",
}  # fmt: skip
_TOKENS: Final = {"": 1, "1": 1, "k": 1000, "1k": 1000, "1000": 1000, "m": 10**6, "1m": 10**6}


def hint(unit: str, value: object) -> str | None:
    """Advice for the reader named `unit` in `engine.units` that refused `value`; None if nothing fits."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        number = _digits(value)
        return None if number is None else _FOR_NUMBER[unit](number)
    return _FOR_TEXT[unit](value) if isinstance(value, str) else None


def _digits(value: float) -> str | None:
    """A number as digits, without an exponent; None if negative, not finite or absurd."""
    if not 0 <= value < 1e15:
        return None
    return str(value) if isinstance(value, int) else f"{value:.9f}".rstrip("0").rstrip(".")


def _loose(text: str) -> tuple[str, str] | None:
    """A number and the letters behind it, however spaced and grouped: `30 S` -> ("30", "S")."""
    exponent = _EXPONENT.fullmatch(text)
    if exponent:
        number = _digits(float(exponent[1]))
        return (number, exponent[2] or "") if number else None
    match = _LOOSE.fullmatch(text)
    return (re.sub("[,_']", "", match[1]), match[2] or "") if match else None


def _reads(read: Callable[[object], object], text: str) -> bool:
    try:
        read(text)
    except units.UnitError:
        return False
    return True


def _write(read: Callable[[object], object], text: str) -> str | None:
    return f"write {text}" if _reads(read, text) else None


def _duration(text: str) -> str | None:
    parts = re.findall(r"([0-9]+)(ms|s|m|h|d)", text)
    if len(parts) > 1 and "".join(map("".join, parts)) == text:
        total = sum(int(number) * units.DURATIONS[unit] for number, unit in parts)
        return f"write it in one unit: {units.show_duration(total)}"
    if re.fullmatch(r"-\s*[0-9].*", text):
        return "a duration is never below zero"
    weeks = re.fullmatch(r"([0-9]{1,4})\s*w(?:eeks?)?", text)
    if weeks:
        return f"write {int(weeks[1]) * 7}d"
    read = _loose(text)
    if not read:
        return None
    unit = read[1].lower()
    return _write(units.duration, read[0] + _DURATION_WORDS.get(unit, unit))


def _size(text: str) -> str | None:
    read = _loose(text)
    return _write(units.size, read[0] + _SIZE_WORDS.get(read[1].lower(), read[1])) if read else None


def _count(text: str) -> str | None:
    read = _loose(text)
    return _write(units.count, read[0] + _COUNT_WORDS.get(read[1], read[1])) if read else None


def _money(text: str) -> str | None:
    if re.search("[€£¥]|EUR|GBP|CHF", text):
        return "amounts are in US dollars: convert it and write it like $5"
    bare = re.sub(r"USD|US\$|dollars?|\$", "", text, flags=re.IGNORECASE).strip()
    read = _loose(f"0{bare}" if bare.startswith(".") else bare)
    factor = {"": 1, "k": 10**3, "m": 10**6}.get(read[1].lower()) if read else None
    if read is None or factor is None or not _reads(units.money, f"${read[0]}"):
        return None
    return f"write {units.show_money(units.money(f'${read[0]}') * factor)}"


def _price(text: str) -> str | None:
    amount, slash, per = text.partition("/")
    amount = amount if amount.startswith("$") else f"${amount}"
    if not _reads(units.money, amount):
        return None
    if not slash:
        return f"write {amount}/M"
    word = re.sub(r"(tokens?|tok)$", "", per.replace(" ", "").lower())
    tokens = _TOKENS.get(word)
    return f"write {units.show_price(units.money(amount) * 10**6 // tokens)}" if tokens else None


def _share_of(number: str) -> str | None:
    """Of a number where a share is expected: 0.8 and 80 both mean 80%."""
    if number.startswith("0."):
        return f"write {units.show_ratio(float(number))}"
    return _write(units.ratio, f"{number}%")


def _ratio(text: str) -> str | None:
    if text[:1] in ("+", "-") and _reads(units.ratio, text[1:]):
        return f"write {text[1:]}" if text[0] == "+" else "a share is never below zero"
    read = _loose(text.replace("percent", "%"))
    if not read or read[1] not in ("", "%"):
        return None
    return _write(units.ratio, f"{read[0]}%") if read[1] else _share_of(read[0])


def _multiplier(text: str) -> str | None:
    return f"write +{text}" if _reads(units.ratio, text) else None


def _rate(text: str) -> str | None:
    amount, slash, per = text.partition("/")
    if not slash:
        match = re.fullmatch(r"\s*(\S+)\s+(?:per|an?|every)\s+(\w+)\s*", amount)
        amount, per = (match[1], match[2]) if match else (amount, "min")
    read = _loose(amount)
    if not read:
        return None
    per = per.strip().lower()
    number = read[0] + _COUNT_WORDS.get(read[1], read[1])
    return _write(units.rate, f"{number}/{_RATE_WORDS.get(per, per)}")


def _window(text: str) -> str | None:
    word = text.strip().lower()
    named = {"daily": "day", "weekly": "week", "monthly": "month", "quarterly": "quarter"}
    unit = named.get(word, word.removesuffix("s"))
    if unit in units.CALENDAR:
        return f"write {unit}"
    if word in ("year", "yearly", "annual"):
        return "write `rolling 365d`"
    kind = "every" if word.startswith("every") else "rolling"
    length = word.removeprefix(kind).strip()
    if length.isascii() and length.isdigit():
        length += "h"
    return f"write `{kind} {length}`" if _reads(units.window, f"{kind} {length}") else None


def _quota(text: str) -> str | None:
    amount, _, unit = text.strip().partition(" ")
    if unit.lower() in ("token", "tokens", "tok") and _reads(units.count, amount):
        return f"write `{amount} tokens`"
    if _reads(units.money, f"${text}"):
        return f"write ${text}"
    return _money(text)


def _sample(text: str) -> str | None:
    amount, _, length = text.partition(" in ")
    if not _reads(units.count, amount):
        return None
    if not length:
        return f"write `{amount} in 30s`"
    seconds = f"{length}s" if length.isascii() and length.isdigit() else length
    return f"write `{amount} in {seconds}`" if _reads(units.duration, seconds) else None


def _time_of_day(text: str) -> str | None:
    if text == "24:00":
        return "write 00:00"
    clock = r"\s*([0-9]{1,2})(?:[:.h]([0-9]{2}))?(?::[0-9]{2})?\s*([ap]\.?m\.?)?\s*"
    match = re.fullmatch(clock, text.lower())
    if not match:
        return None
    hour, minute = int(match[1]), int(match[2] or 0)
    if match[3]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if match[3].startswith("p") else 0)
    return f"write {hour:02}:{minute:02}" if hour < 24 and minute < 60 else None


_FOR_TEXT: Final[dict[str, Callable[[str], str | None]]] = {
    "duration": _duration,
    "size": _size,
    "count": _count,
    "money": _money,
    "price": _price,
    "ratio": _ratio,
    "multiplier": _multiplier,
    "rate": _rate,
    "sample": _sample,
    "window": _window,
    "quota": _quota,
    "time_of_day": _time_of_day,
}

#: The same for a bare number, as digits.
_FOR_NUMBER: Final[dict[str, Callable[[str], str | None]]] = {
    "duration": lambda n: _write(units.duration, f"{n}s"),
    "size": lambda n: f"write {n}B for bytes" if _reads(units.size, f"{n}B") else None,
    "count": lambda n: f"write {units.show_count(int(n))}" if n.isdigit() else "write a whole number",
    "money": lambda n: _write(units.money, f"${n}"),
    "price": lambda n: f"write ${n}/M" if _reads(units.money, f"${n}") else None,
    "ratio": _share_of,
    "multiplier": lambda n: f"write +{n}%" if _reads(units.ratio, f"{n}%") else None,
    "rate": lambda n: _write(units.rate, f"{n}/min"),
    "sample": lambda n: f"write `{n} in 30s`" if _reads(units.count, n) else None,
    "window": lambda n: f"write `rolling {n}h`" if _reads(units.window, f"rolling {n}h") else None,
    "quota": lambda n: _write(units.quota, f"${n}"),
    "time_of_day": lambda n: f"write {n:0>2}:00" if n.isdigit() and int(n) < 24 else None,
}
