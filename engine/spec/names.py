"""Names: of things, in expressions, of models and places; and references to things by their names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import PlainValidator
from typing_extensions import TypeAliasType

from engine.keys.looks import looks_secret
from engine.spec.fault import fault, shown, wrong_type
from engine.spec.json_form import json_form
from engine.spec.plain import read_text

NAME_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"
_NAME: Final = re.compile(NAME_PATTERN[1:-1])
WORD_PATTERN: Final = r"^[a-z][a-z0-9_]*$"
_WORD: Final = re.compile(WORD_PATTERN[1:-1])


@dataclass(frozen=True, slots=True)
class Refers:
    """Marks a name as a reference into these sections: resolving and "did you mean" follow it."""

    sections: tuple[str, ...]


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
        PlainValidator(_name),
        json_form(NAME_PATTERN, "A name: letters, digits, `.`, `_`, `-`; at most 63.", "support-month"),
    ],
)

#: References, by what they may name.
Target = Annotated[Name, Refers(("nodes", "deployments"))]
BudgetName = Annotated[Name, Refers(("budgets",))]
LimitName = Annotated[Name, Refers(("limits",))]
GroupName = Annotated[Name, Refers(("groups",))]
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
        PlainValidator(_word),
        json_form(WORD_PATTERN, "A name used in expressions: small letters, digits, `_`.", "team"),
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
    "Zone",
    Annotated[str, PlainValidator(_zone), json_form(WORD_PATTERN, "Where data may be processed.", *_ZONES)],
)
AllowedZone = TypeAliasType(
    "AllowedZone",
    Annotated[
        str,
        PlainValidator(_allowed_zone),
        json_form(WORD_PATTERN, "Where data may be processed.", *_ZONES[:-1]),
    ],
)


def _model_pattern(value: Any) -> str:
    text = read_text(value)
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
        PlainValidator(_model_pattern),
        json_form(
            r"^[^*\s]*\*?$",
            "A model's name, or its beginning and `*`.",
            "assistant",
            "gpt-4o-mini*",
            minLength=1,
        ),
    ],
)
