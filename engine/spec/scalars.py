"""Leaf values as users write them: each type reads exactly its own form and says so when it cannot.

Units come from `engine/units.py` (durations in ms, sizes in bytes, money in nano-dollars). Names, patterns,
expressions, addresses and secrets are here. A named alias (`TypeAliasType`) becomes one definition in the
JSON Schemas and one row in the reference.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeVar

from pydantic import BeforeValidator, GetJsonSchemaHandler, PlainValidator, WithJsonSchema
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema
from typing_extensions import TypeAliasType

from engine import units
from engine.plan.types import Secret
from engine.spec.fault import fault, looks_secret, shown, wrong_type

T = TypeVar("T")
K = TypeVar("K")

Read = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Refers:
    """Marks a name as a reference into these sections: resolving and "did you mean" follow it."""

    sections: tuple[str, ...]


def _schema(
    pattern: str | None = None, description: str = "", *examples: Any, type: Any = "string", **more: Any
) -> WithJsonSchema:
    schema: dict[str, Any] = {"type": type, "description": description, **more}
    if pattern is not None:
        schema["pattern"] = pattern
    if examples:
        schema["examples"] = list(examples)
    return WithJsonSchema(schema)


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


def _plain(read: Read) -> PlainValidator:
    return PlainValidator(read)


# --- units --------------------------------------------------------------------------------------------

_D: Final = r"[0-9]+(\.[0-9]+)?"
_DURATION_PATTERN: Final = rf"^{_D}(ms|s|m|h|d)$"

Duration = TypeAliasType(
    "Duration",
    Annotated[
        int,
        _unit(units.duration),
        _schema(_DURATION_PATTERN, "A time with its unit: ms, s, m, h or d.", "30s", "1.5s", "5m"),
    ],
)
PositiveDuration = TypeAliasType(
    "PositiveDuration",
    Annotated[
        int,
        _unit(units.duration, positive=True),
        _schema(_DURATION_PATTERN, "A time above zero with its unit: ms, s, m, h or d.", "30s", "1.5s", "5m"),
    ],
)
Size = TypeAliasType(
    "Size",
    Annotated[
        int,
        _unit(units.size, positive=True),
        _schema(rf"^{_D}(B|KiB|MiB|GiB|TiB)$", "A size with its unit: B, KiB, MiB, GiB or TiB.", "20MiB"),
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
        int, _unit(units.money), _schema(rf"^\${_D}$", "US dollars, the sign first.", "$0.05", "$5000")
    ],
)
Price = TypeAliasType(
    "Price",
    Annotated[
        int, _unit(units.price), _schema(rf"^\${_D}/M$", "US dollars per million tokens.", "$2/M", "$0.15/M")
    ],
)
Ratio = TypeAliasType(
    "Ratio", Annotated[float, _unit(units.ratio), _schema(rf"^{_D}%$", "A share in percent.", "80%", "0.5%")]
)
Multiplier = TypeAliasType(
    "Multiplier",
    Annotated[
        float,
        _unit(units.multiplier),
        _schema(rf"^[+-]{_D}%$", "A surcharge or discount, with its sign.", "+10%"),
    ],
)
Rate = TypeAliasType(
    "Rate",
    Annotated[
        tuple[int, int],
        _unit(units.rate, positive=True),
        _schema(
            rf"^{_D}[kM]?/(s|min|h|day)$", "How many in a time: per s, min, h or day.", "100/min", "200k/min"
        ),
    ],
)
Sample = TypeAliasType(
    "Sample",
    Annotated[
        tuple[int, int],
        _unit(units.sample, positive=True),
        _schema(rf"^{_D}[kM]? in {_D}(ms|s|m|h|d)$", "A number of calls in a time.", "20 in 30s"),
    ],
)
Window = TypeAliasType(
    "Window",
    Annotated[
        units.Window,
        _unit(units.window),
        _schema(
            rf"^(day|week|month|quarter|rolling {_D}(ms|s|m|h|d))$",
            "A calendar unit in the workspace's time zone, or a rolling time.",
            "month",
            "rolling 24h",
        ),
    ],
)


# --- plain values -------------------------------------------------------------------------------------


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    word = value.lower() if isinstance(value, str) else value
    guess = {"yes": "true", "on": "true", "no": "false", "off": "false", 1: "true", 0: "false"}
    wanted = guess.get(word) if isinstance(word, str | int) else None
    raise fault(
        "E102",
        f"{shown(value)} stands where true or false is expected",
        f"write {wanted}" if wanted else None,
    )


Flag = TypeAliasType("Flag", Annotated[bool, _plain(_flag), WithJsonSchema({"type": "boolean"})])


def _text(value: Any) -> str:
    if not isinstance(value, str):
        advice = (
            f"write it in quotes: '{value}'"
            if isinstance(value, int | float) and not isinstance(value, bool)
            else None
        )
        raise fault("E102", f"{shown(value)} stands where a text is expected", advice)
    if not value.strip():
        raise fault("E102", "an empty text stands where a text is expected", "write it, or leave the key out")
    return value


Text = TypeAliasType("Text", Annotated[str, _plain(_text), _schema(None, "A text, not empty.", minLength=1)])


def whole(low: int, high: int | None = None) -> PlainValidator:
    """A whole number from `low` to `high`, both included."""
    bounds = (
        f"a whole number from {low} to {high}" if high is not None else f"a whole number of at least {low}"
    )

    def read(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise wrong_type(value, bounds)
        if value < low or (high is not None and value > high):
            raise fault("E112", f"{shown(value)} is out of range: {bounds} is expected")
        return value

    return PlainValidator(read)


Natural = TypeAliasType(
    "Natural",
    Annotated[
        int,
        whole(0),
        WithJsonSchema({"type": "integer", "minimum": 0, "description": "A whole number, 0 or more."}),
    ],
)
Positive = TypeAliasType(
    "Positive",
    Annotated[
        int,
        whole(1),
        WithJsonSchema({"type": "integer", "minimum": 1, "description": "A whole number, 1 or more."}),
    ],
)
ErrorStatus = TypeAliasType(
    "ErrorStatus",
    Annotated[
        int,
        whole(400, 599),
        WithJsonSchema(
            {"type": "integer", "minimum": 400, "maximum": 599, "description": "An HTTP status of an error."}
        ),
    ],
)


def _number(accepted: str, low: float, high: float | None, *, open_low: bool = False) -> PlainValidator:
    def read(value: Any) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise wrong_type(value, accepted)
        if value < low or (open_low and value == low) or (high is not None and value > high):
            raise fault("E112", f"{shown(value)} is out of range: {accepted} is expected")
        return float(value)

    return PlainValidator(read)


Weight = TypeAliasType(
    "Weight",
    Annotated[
        float,
        _number("a number above zero", 0, None, open_low=True),
        WithJsonSchema(
            {
                "type": "number",
                "exclusiveMinimum": 0,
                "description": "A relative weight, above zero.",
                "examples": [1, 3],
            }
        ),
    ],
)
Fraction = TypeAliasType(
    "Fraction",
    Annotated[
        float,
        _number("a number from 0 to 1", 0, 1),
        WithJsonSchema(
            {
                "type": "number",
                "minimum": 0,
                "maximum": 1,
                "description": "A number from 0 to 1.",
                "examples": [0.7],
            }
        ),
    ],
)


def _list(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(value)
    if isinstance(value, tuple):
        return value
    advice = (
        f"write [{value}]" if isinstance(value, str | int | float) and not isinstance(value, bool) else None
    )
    if isinstance(value, str) and looks_secret(value):
        advice = None
    raise fault("E102", f"{shown(value)} stands where a list is expected", advice)


#: A YAML list, kept as a tuple.
Listed = Annotated[tuple[T, ...], BeforeValidator(_list)]


def _items(value: Any) -> Any:
    found = _list(value)
    if not found:
        raise fault("E114", "the list is empty", "name at least one, or leave the key out")
    return found


class _NotEmpty:
    """Says so in the JSON Schema. (`min_length` would count items after the broken ones are gone.)"""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {**handler(schema), "minItems": 1}


#: A YAML list that is not empty.
Some = Annotated[tuple[T, ...], BeforeValidator(_items), _NotEmpty()]


def _map(value: Any) -> Any:
    if isinstance(value, dict):
        return value
    raise fault("E102", f"{shown(value)} stands where a map (`name: value` lines) is expected")


def _section(value: Any) -> Any:
    return {} if value is None else _map(value)


# --- names and patterns -------------------------------------------------------------------------------

NAME_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"
_NAME: Final = re.compile(NAME_PATTERN[1:-1])
WORD_PATTERN: Final = r"^[a-z][a-z0-9_]*$"
_WORD: Final = re.compile(WORD_PATTERN[1:-1])


def _name(value: Any) -> str:
    if not isinstance(value, str):
        raise wrong_type(value, "a name")
    if not _NAME.fullmatch(value):
        raise fault(
            "E111",
            f"{shown(value)} is not a name",
            "a name is letters, digits, `.`, `_` and `-`, begins with a letter or digit and has at most 63 "
            "characters",
        )
    return value


Name = TypeAliasType(
    "Name",
    Annotated[
        str,
        _plain(_name),
        _schema(NAME_PATTERN, "A name: letters, digits, `.`, `_`, `-`; at most 63.", "support-month"),
    ],
)

#: A map; a section is one from names, and may be empty (all its lines commented out).
Mapped = Annotated[dict[K, T], BeforeValidator(_map)]
Section = Annotated[dict[Name, T], BeforeValidator(_section)]

#: References, by what they may name.
Target = Annotated[Name, Refers(("nodes", "deployments"))]
BudgetName = Annotated[Name, Refers(("budgets",))]
LimitName = Annotated[Name, Refers(("limits",))]
GuardName = Annotated[Name, Refers(("guards",))]
AlertName = Annotated[Name, Refers(("alerts",))]
CredentialName = Annotated[Name, Refers(("credentials",))]
DeploymentName = Annotated[Name, Refers(("deployments",))]


def _word(value: Any) -> str:
    if not isinstance(value, str):
        raise wrong_type(value, "a name for expressions", "team")
    if not _WORD.fullmatch(value):
        low = re.sub(r"[^a-z0-9_]+", "_", value.lower()).strip("_")
        advice = (
            "it is used in expressions: small letters, digits and `_`, a letter first (`-` is minus there)"
        )
        if _WORD.fullmatch(low):
            advice += f"; write {low}"
        raise fault(
            "E111", f"{shown(value)} is not a name for expressions", None if looks_secret(value) else advice
        )
    return value


Word = TypeAliasType(
    "Word",
    Annotated[
        str,
        _plain(_word),
        _schema(WORD_PATTERN, "A name used in expressions: small letters, digits, `_`.", "team"),
    ],
)


def _zone(value: Any) -> str:
    if not isinstance(value, str) or not _WORD.fullmatch(value):
        low = value.lower().replace("-", "_") if isinstance(value, str) else ""
        raise wrong_type(
            value,
            "a residency (us, eu, uk, ch, global, on_prem, on_host, ...)",
            low if _WORD.fullmatch(low) and not looks_secret(value) else None,
        )
    return value


def _allowed_zone(value: Any) -> str:
    zone = _zone(value)
    if zone == "unknown":
        raise fault(
            "E104",
            "`unknown` is in no allow-list: it says that nobody knows",
            "name the places that are allowed",
        )
    return zone


_ZONES: Final = ("us", "eu", "uk", "ch", "global", "on_prem", "on_host", "unknown")
Zone = TypeAliasType(
    "Zone", Annotated[str, _plain(_zone), _schema(WORD_PATTERN, "Where data may be processed.", *_ZONES)]
)
AllowedZone = TypeAliasType(
    "AllowedZone",
    Annotated[
        str, _plain(_allowed_zone), _schema(WORD_PATTERN, "Where data may be processed.", *_ZONES[:-1])
    ],
)


def _model_pattern(value: Any) -> str:
    text = _text(value)
    if "*" in text[:-1]:
        raise fault(
            "E111",
            f"{shown(value)} has a `*` that is not at its end",
            "a `*` stands only at the end: `gpt-4o*` is all names that begin so, `*` is every name",
        )
    if text != text.strip() or any(ch.isspace() for ch in text):
        raise fault("E111", f"{shown(value)} holds a blank, and names of models have none")
    return text


ModelPattern = TypeAliasType(
    "ModelPattern",
    Annotated[
        str,
        _plain(_model_pattern),
        _schema(
            r"^[^*\s]*\*?$",
            "A model's name, or its beginning and `*`.",
            "assistant",
            "gpt-4o-mini*",
            minLength=1,
        ),
    ],
)


# --- expressions --------------------------------------------------------------------------------------


#: A text that is one template and nothing else.
_ONE_TEMPLATE: Final = re.compile(r"\s*\$?\{\{-?\s*([^{}]+?)\s*-?\}\}\s*")


def _expression(value: Any) -> str:
    if isinstance(value, bool):
        advice = "leave the key out where it always holds" if value else "remove what never holds"
        raise fault("E102", f"{shown(value)} stands where an expression is expected", advice)
    if not isinstance(value, str):
        raise wrong_type(value, "an expression", "key.org == 'acme'")
    if not value.strip():
        raise fault("E102", "an empty text stands where an expression is expected")
    if "{{" in value or "{%" in value:
        inner = _ONE_TEMPLATE.fullmatch(value)
        advice = "write the bare expression, without braces"
        if inner and not looks_secret(value):
            advice = f"write {inner[1]}"
        raise fault(
            "E106", "a template stands where an expression is expected: nothing is put into text here", advice
        )
    return value


Expression = TypeAliasType(
    "Expression",
    Annotated[
        str,
        _plain(_expression),
        _schema(
            None,
            "An expression over `request`, `key` and the clock; without braces.",
            "request.input_tokens > 3k",
            minLength=1,
        ),
    ],
)


# --- secrets and addresses ----------------------------------------------------------------------------

_SECRET: Final = re.compile(r"(env|file|vault):(.+)")
_ENV: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _secret(value: Any) -> Secret:
    """Reads `env:NAME`, `file:/path`, `vault:...`. What it cannot read is never repeated: it may be a key."""
    advice = "write env:NAME, file:/path or vault:PATH, and put the secret there"
    if not isinstance(value, str):
        raise fault(
            "E102", f"{'nothing' if value is None else 'no text'} stands where a secret is expected", advice
        )
    match = _SECRET.fullmatch(value.strip())
    if match is None:
        if _ENV.fullmatch(value) and value.isupper() and "_" in value and not looks_secret(value):
            advice = "if it names an environment variable, write env: before it"
        raise fault("E105", "a secret stands here in plain text (it is not shown)", advice)
    source, name = match[1], match[2]
    if source == "env" and (not _ENV.fullmatch(name) or looks_secret(name)):
        raise fault(
            "E105", "what follows `env:` is not the name of an environment variable (it is not shown)", advice
        )
    return Secret(source, name)  # type: ignore[arg-type]  # one of the three, by the pattern


SecretRef = TypeAliasType(
    "SecretRef",
    Annotated[
        Secret,
        _plain(_secret),
        _schema(
            r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+|vault:.+)$",
            "Where a secret is read: an environment variable, a file, or a vault. Never the secret itself.",
            "env:ACME_API_KEY",
            "file:/run/secrets/acme",
        ),
    ],
)

_HOST: Final = re.compile(r"\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\*")


def _address(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        raise wrong_type(value, "an address, HOST:PORT,", f"127.0.0.1:{value}")
    if not isinstance(value, str):
        raise wrong_type(value, "an address, HOST:PORT,", "127.0.0.1:8080")
    host, colon, port = value.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or not _HOST.fullmatch(host) or host == "*":
        example = f"0.0.0.0:{port}" if host in ("", "*") and port.isdigit() else "127.0.0.1:8080"
        raise wrong_type(value, "an address, HOST:PORT,", example)
    if int(port) > 65535:
        raise fault("E112", f"{shown(value)} has a port above 65535")
    return value


Address = TypeAliasType(
    "Address",
    Annotated[
        str,
        _plain(_address),
        _schema(
            r"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?):[0-9]{1,5}$",
            "HOST:PORT; port 0 takes any free one.",
            "127.0.0.1:8080",
        ),
    ],
)


def _url(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"https?://[^\s/?#@]+(?:/[^\s?#]*)?", value):
        raise wrong_type(value, "an address that begins with https://", "https://api.acme.ai/v1")
    return value


Url = TypeAliasType(
    "Url",
    Annotated[
        str,
        _plain(_url),
        _schema(r"^https?://[^\s/?#@]+(/[^\s?#]*)?$", "An http or https address.", "https://api.acme.ai/v1"),
    ],
)


def _time(value: Any) -> str:
    from datetime import datetime  # only files that name a time pay for it

    text = _text(value)
    try:
        datetime.fromisoformat(text)
    except ValueError:
        raise wrong_type(value, "a date and time", '"2026-12-01T10:00"') from None
    return text


Moment = TypeAliasType(
    "Moment",
    Annotated[
        str,
        _plain(_time),
        _schema(
            r"^[0-9]{4}-[0-9]{2}-[0-9]{2}"
            r"(T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?(Z|[+-][0-9]{2}:[0-9]{2})?)?$",
            "A date and time; without an offset in the workspace's time zone.",
            "2026-12-01T10:00",
        ),
    ],
)


def _json(value: Any) -> Any:
    return value


#: Any JSON value, kept as written.
JsonValue = Annotated[Any, PlainValidator(_json), WithJsonSchema({})]
