"""Amounts with units, as `engine/units.py` reads them: each is a named type whose faults are E103 and E112.

Durations are in ms, sizes in bytes, money in nano-dollars, prices in nano-dollars per million tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final

from pydantic import PlainValidator, WithJsonSchema
from typing_extensions import TypeAliasType

from engine import units
from engine.keys.looks import looks_secret
from engine.spec.fault import fault, shown, wrong_type
from engine.spec.json_form import json_form


def _unit(read: Callable[[object], Any], *, positive: bool = False) -> PlainValidator:
    """A reader of `engine/units.py` whose `UnitError` becomes E103."""

    def parse(value: Any) -> Any:
        if isinstance(value, str) and looks_secret(value):
            raise wrong_type(value, "a value with a unit")
        try:
            found = read(value)
        except units.UnitError as error:
            raise fault("E103", error.message, error.help) from None
        if positive and (found == 0 or (isinstance(found, tuple) and not all(found))):
            raise fault(
                "E112", f"{shown(value)} is zero, which lets nothing happen", "write a value above zero"
            )
        return found

    return PlainValidator(parse)


_D: Final = r"[0-9]+(\.[0-9]+)?"
_DURATION_PATTERN: Final = rf"^{_D}(ms|s|m|h|d)$"

Duration = TypeAliasType(
    "Duration",
    Annotated[
        int,
        _unit(units.duration),
        json_form(_DURATION_PATTERN, "A time with its unit: ms, s, m, h or d.", "30s", "1.5s", "5m"),
    ],
)
PositiveDuration = TypeAliasType(
    "PositiveDuration",
    Annotated[
        int,
        _unit(units.duration, positive=True),
        json_form(
            _DURATION_PATTERN, "A time above zero with its unit: ms, s, m, h or d.", "30s", "1.5s", "5m"
        ),
    ],
)
Size = TypeAliasType(
    "Size",
    Annotated[
        int,
        _unit(units.size, positive=True),
        json_form(rf"^{_D}(B|KiB|MiB|GiB|TiB)$", "A size with its unit: B, KiB, MiB, GiB or TiB.", "20MiB"),
    ],
)
_COUNT_FORMS: Final = [
    {"type": "integer", "minimum": 0},
    {"type": "string", "pattern": rf"^{_D}[kM]?$", "examples": ["30k", "1.5M"]},
]
Count = TypeAliasType(
    "Count",
    Annotated[
        int,
        _unit(units.count),
        WithJsonSchema(
            {"description": "A whole number; k is thousands, M is millions.", "anyOf": _COUNT_FORMS}
        ),
    ],
)
PositiveCount = TypeAliasType(
    "PositiveCount",
    Annotated[
        int,
        _unit(units.count, positive=True),
        WithJsonSchema(
            {
                "description": "A whole number above zero; k is thousands, M is millions.",
                "anyOf": _COUNT_FORMS,
            }
        ),
    ],
)
Money = TypeAliasType(
    "Money",
    Annotated[
        int, _unit(units.money), json_form(rf"^\${_D}$", "US dollars, the sign first.", "$0.05", "$5000")
    ],
)
Price = TypeAliasType(
    "Price",
    Annotated[
        int,
        _unit(units.price),
        json_form(rf"^\${_D}/M$", "US dollars per million tokens.", "$2/M", "$0.15/M"),
    ],
)
Ratio = TypeAliasType(
    "Ratio",
    Annotated[float, _unit(units.ratio), json_form(rf"^{_D}%$", "A share in percent.", "80%", "0.5%")],
)
Multiplier = TypeAliasType(
    "Multiplier",
    Annotated[
        float,
        _unit(units.multiplier),
        json_form(rf"^[+-]{_D}%$", "A surcharge or discount, with its sign.", "+10%"),
    ],
)
Rate = TypeAliasType(
    "Rate",
    Annotated[
        tuple[int, int],
        _unit(units.rate, positive=True),
        json_form(
            rf"^{_D}[kM]?/(s|min|h|day)$", "How many in a time: per s, min, h or day.", "100/min", "200k/min"
        ),
    ],
)
Sample = TypeAliasType(
    "Sample",
    Annotated[
        tuple[int, int],
        _unit(units.sample, positive=True),
        json_form(rf"^{_D}[kM]? in {_D}(ms|s|m|h|d)$", "A number of calls in a time.", "20 in 30s"),
    ],
)
Window = TypeAliasType(
    "Window",
    Annotated[
        units.Window,
        _unit(units.window),
        json_form(
            rf"^(day|week|month|quarter|(every|rolling) {_D}(ms|s|m|h|d))$",
            "A calendar unit in the workspace's time zone, a fixed length, or a rolling time.",
            "month",
            "every 6h",
            "rolling 24h",
        ),
    ],
)
Quota = TypeAliasType(
    "Quota",
    Annotated[
        units.Quota,
        _unit(units.quota),
        json_form(
            rf"^(\${_D}|{_D}[kM]? tokens)$", "US dollars, the sign first, or tokens.", "$500", "2M tokens"
        ),
    ],
)
