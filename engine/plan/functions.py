"""What generated code may call: the filters and functions of the language, by name.

Every function is pure and total: absent is None, and what a function cannot use gives None, never an
exception, because its input comes off a wire. Patterns are RE2, which is no standard library: whoever runs
plans registers an engine once (`register_regex`; `engine.wire.regex` does it on import), so that this package
stays importable alone.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math
import sys
from array import array
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from engine.plan import json_schema, list_functions
from engine.plan.durations import seconds


class Regex(Protocol):
    """A compiled pattern."""

    def search(self, text: str, /) -> Any: ...

    def sub(self, repl: str, text: str, /) -> str: ...


_regex: Callable[[str], Regex] | None = None


def register_regex(compile_pattern: Callable[[str], Regex]) -> None:
    """Say what compiles patterns. It must run in linear time: patterns meet text that users send."""
    global _regex
    _regex = compile_pattern


def regex(pattern: str) -> Regex:
    """`pattern` compiled by the registered engine."""
    if _regex is None:
        raise RuntimeError("no RE2 engine is registered: import engine.wire.regex before binding a plan")
    return _regex(pattern)


def lower(value: Any) -> str | None:
    return value.lower() if isinstance(value, str) else None


def upper(value: Any) -> str | None:
    return value.upper() if isinstance(value, str) else None


def trim(value: Any) -> str | None:
    return value.strip() if isinstance(value, str) else None


def length(value: Any) -> int:
    """Characters, elements or keys; 0 of what has none."""
    return len(value) if isinstance(value, str | list | dict) else 0


def starts_with(value: Any, prefix: Any) -> bool:
    return isinstance(value, str) and isinstance(prefix, str) and value.startswith(prefix)


def ends_with(value: Any, suffix: Any) -> bool:
    return isinstance(value, str) and isinstance(suffix, str) and value.endswith(suffix)


def matches(value: Any, pattern: Regex) -> bool:
    """Whether the pattern is found anywhere in the text."""
    return isinstance(value, str) and _well_formed(value) and pattern.search(value) is not None


def replace(value: Any, pattern: Regex, by: str) -> str | None:
    """Every match replaced; `\\1` in `by` is a group."""
    return pattern.sub(by, value) if isinstance(value, str) and _well_formed(value) else None


def find_text(value: Any, pattern: Regex) -> str | None:
    """The first match: its first group, or all of it where the pattern has none."""
    if not isinstance(value, str) or not _well_formed(value):
        return None
    found = pattern.search(value)
    if found is None:
        return None
    whole: str | None = found.group(1 if found.groups() else 0)
    return whole


def _well_formed(text: str) -> bool:
    """False for half a surrogate pair, which JSON can hold and UTF-8, and so RE2, cannot."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def char_offset(value: Any, offset: Any) -> int | None:
    """How many whole characters lie before this byte of the text's UTF-8."""
    if not isinstance(value, str) or offset.__class__ is not int or offset < 0:
        return None
    if value.isascii():
        return min(offset, len(value))
    return len(value.encode("utf-8", "replace")[:offset].decode("utf-8", "ignore"))


def byte_offset(value: Any, offset: Any) -> int | None:
    """How many bytes of the text's UTF-8 lie before this character."""
    if not isinstance(value, str) or offset.__class__ is not int or offset < 0:
        return None
    return min(offset, len(value)) if value.isascii() else len(value[:offset].encode("utf-8", "replace"))


def fromjson(value: Any) -> Any:
    """The value of a JSON text; absent for what is none, or nests deeper than Python can follow."""
    if not isinstance(value, str):
        return None
    try:
        return json.loads(value, parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        return None


def tojson(value: Any) -> str | None:
    """The value as compact JSON text."""
    if value is None:
        return None
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return None


def default(value: Any, other: Any) -> Any:
    return other if value is None else value


def coalesce(*values: Any) -> Any:
    """The first value that is there; `""` and `0` count as there."""
    for value in values:
        if value is not None:
            return value
    return None


def split(value: Any, separator: Any) -> list[str] | None:
    if not isinstance(value, str) or not isinstance(separator, str) or not separator:
        return None
    return value.split(separator)


def data_url(value: Any) -> dict[str, str] | None:
    """`data:image/png;base64,AAAA` as `{media_type, data}`; absent for any other URL."""
    if not isinstance(value, str) or not value.startswith("data:"):
        return None
    head, comma, data = value[5:].partition(",")
    if not comma or not head.endswith(";base64"):
        return None
    media_type = head[:-7].partition(";")[0]
    return {"media_type": media_type or "text/plain", "data": data}


def b64encode(value: Any) -> str | None:
    return base64.b64encode(value.encode("utf-8", "replace")).decode() if isinstance(value, str) else None


def b64decode(value: Any) -> str | None:
    """The text in base64, of either alphabet; absent where it is no base64, or no text."""
    if not isinstance(value, str):
        return None
    try:
        return base64.b64decode(value.replace("-", "+").replace("_", "/"), validate=True).decode()
    except (binascii.Error, ValueError):
        return None


#: Word for a type of numbers -> its code in `array`.
_NUMBERS: Final[dict[str, str]] = {"float32": "f", "int8": "b", "uint8": "B", "binary": "b", "ubinary": "B"}


def pack(value: Any, kind: Any = "float32") -> str | None:
    """A list of numbers as base64 of their bytes, little-endian: how embeddings travel in short."""
    code = _NUMBERS.get(kind) if isinstance(kind, str) else None
    if code is None or not isinstance(value, list):
        return None
    try:
        numbers = array(code, value if code == "f" else map(int, value))
    except (TypeError, ValueError, OverflowError):
        return None
    if sys.byteorder == "big":
        numbers.byteswap()
    return base64.b64encode(numbers.tobytes()).decode()


def unpack(value: Any, kind: Any = "float32") -> list[Any] | None:
    """The numbers that `pack` put into base64."""
    code = _NUMBERS.get(kind) if isinstance(kind, str) else None
    if code is None or not isinstance(value, str):
        return None
    numbers = array(code)
    try:
        numbers.frombytes(base64.b64decode(value, validate=True))
    except (binascii.Error, ValueError):
        return None
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tolist()


#: Formats whose word is not the second half of their media type.
_FORMATS: Final = {
    "image/svg+xml": "svg", "audio/mpeg": "mp3", "audio/x-wav": "wav", "audio/wave": "wav",
    "audio/mp4": "m4a",
    "text/plain": "txt", "text/markdown": "md", "text/html": "html", "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/vnd.ms-excel": "xls",
}  # fmt: skip
_MEDIA_TYPES: Final = {
    **{word: kind for kind, word in reversed(_FORMATS.items())},
    "jpg": "image/jpeg", "jpeg": "image/jpeg", "png": "image/png", "gif": "image/gif", "webp": "image/webp",
    "wav": "audio/wav", "mp3": "audio/mpeg", "flac": "audio/flac", "ogg": "audio/ogg", "opus": "audio/opus",
    "pcm16": "audio/pcm", "pdf": "application/pdf", "csv": "text/csv", "json": "application/json",
}  # fmt: skip


def to_format(value: Any) -> str | None:
    """`image/png` as `png`, `audio/mpeg` as `mp3`."""
    if not isinstance(value, str) or "/" not in value:
        return None
    kind = value.partition(";")[0].strip().lower()
    return _FORMATS.get(kind) or kind.partition("/")[2] or None


def to_media_type(value: Any, family: Any = None) -> str | None:
    """`png` as `image/png`; a word not known is put behind `family`, where one is given."""
    if not isinstance(value, str) or not value:
        return None
    known = _MEDIA_TYPES.get(value.lower())
    return known or (f"{family}/{value.lower()}" if isinstance(family, str) else None)


def number(value: Any) -> bool:
    return value.__class__ is int or (value.__class__ is float and math.isfinite(value))


def clamp(value: Any, low: Any, high: Any) -> Any:
    if not (number(value) and number(low) and number(high)):
        return None
    return low if value < low else min(value, high)


def round_(value: Any, digits: Any = 0) -> Any:
    if not number(value) or digits.__class__ is not int or not -15 <= digits <= 15:
        return None
    return round(value, digits) if digits else round(value)


def int_(value: Any) -> int | None:
    """A number without its fraction, or the whole number that a text holds."""
    if number(value):
        return int(value)
    if isinstance(value, str) and len(value) <= 20:
        try:
            return int(value)
        except ValueError:
            return None
    return None


def float_(value: Any) -> float | None:
    if number(value):
        return float(value) if abs(value) < 1e308 else None
    if isinstance(value, str) and len(value) <= 40:
        try:
            found = float(value)
        except ValueError:
            return None
        return found if math.isfinite(found) else None
    return None


def string(value: Any) -> str | None:
    """A text as it is, anything else as JSON: `true`, `1.5`, `{"a":1}`."""
    return value if isinstance(value, str) else tojson(value)


def least(*values: Any) -> Any:
    known = [value for value in values if number(value)]
    return min(known) if known else None


def greatest(*values: Any) -> Any:
    known = [value for value in values if number(value)]
    return max(known) if known else None


def rfc3339(value: Any) -> str | None:
    """Unix seconds as `2026-11-23T09:00:00Z`."""
    if value.__class__ is not int or not 0 <= value < 253_402_300_800:
        return None
    return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def unix_time(value: Any) -> int | None:
    """`2026-11-23T09:00:00.123456789+01:00` as Unix seconds; without a zone it is UTC."""
    if not isinstance(value, str) or len(value) > 40:
        return None
    whole, dot, rest = value.partition(".")
    zone = rest.lstrip("0123456789") if dot else ""
    try:
        found = datetime.fromisoformat(whole + zone)
    except ValueError:
        return None
    seconds = found.replace(tzinfo=found.tzinfo or UTC).timestamp()
    return int(seconds) if seconds >= 0 else None


def stable_id(prefix: Any, *parts: Any) -> str:
    """An identifier that depends on nothing but what it is made of: `prefix` and 24 letters and digits."""
    text = json.dumps([string(part) for part in parts], ensure_ascii=True)
    word = base64.b32encode(hashlib.sha256(text.encode()).digest()).decode().lower()[:24]
    return f"{prefix if isinstance(prefix, str) else ''}{word}"


def fits(value: Any, signs: Any, limit: Any) -> bool:
    """Whether a text can be an identifier: at most `limit` letters and digits of ASCII, and these signs."""
    if not isinstance(value, str) or not isinstance(signs, str) or not number(limit):
        return False
    if not 0 < len(value) <= limit or not value.isascii():
        return False
    if value.isalnum():
        return True
    for sign in signs:
        value = value.replace(sign, "")
    return not value or value.isalnum()


#: Between an opaque text and the dialect that made it, where a client's format has one field for both.
_SEAL: Final = "x-engine."


def sealed(value: Any, origin: Any, dialect: Any) -> str | None:
    """An opaque text of `origin` as a client of `dialect` may keep it: as it is where they are the same or
    nobody knows whose it is, else with the name of its maker in front, so that `opened` finds it again.
    """
    if not isinstance(value, str):
        return None
    if not isinstance(origin, str) or origin == dialect:
        return value
    return f"{_SEAL}{origin}.{value}"


def opened(value: Any, dialect: Any) -> dict[str, str] | None:
    """What `sealed` made: `{value, origin}`. A text without a name in front was made by `dialect` itself."""
    if not isinstance(value, str):
        return None
    if value.startswith(_SEAL):
        origin, dot, rest = value[len(_SEAL) :].partition(".")
        if dot and origin:
            return {"value": rest, "origin": origin}
    return {"value": value, "origin": dialect} if isinstance(dialect, str) else {"value": value}


#: Name in the IR -> code. The compiler's signatures are in `compiler/expr/calls.py`; a test holds the two
#: together.
TABLE: Final[dict[str, Callable[..., Any]]] = {
    "lower": lower, "upper": upper, "trim": trim, "length": length, "starts_with": starts_with,
    "ends_with": ends_with, "matches": matches, "replace": replace, "find_text": find_text,
    "fromjson": fromjson,
    "tojson": tojson, "default": default, "coalesce": coalesce, "split": split, "data_url": data_url,
    "b64encode": b64encode, "b64decode": b64decode, "pack": pack, "unpack": unpack,
    "to_format": to_format, "to_media_type": to_media_type,
    "clamp": clamp, "round": round_, "int": int_, "float": float_, "string": string, "min": least,
    "max": greatest,
    "char_offset": char_offset, "byte_offset": byte_offset, "sealed": sealed,
    "opened": opened, "fits": fits,
    "rfc3339": rfc3339, "unix_time": unix_time,
    "stable_id": stable_id, "duration": seconds, "drop_keys": json_schema.drop_keys,
    "inline_refs": json_schema.inline_refs, **list_functions.TABLE,
}  # fmt: skip
