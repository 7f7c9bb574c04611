"""Reads the prices in the wheel of genai-prices (MIT).

Its data is a Python module. It is parsed, never run: only literals and the calls of its own few record types
are understood, and anything else in it is a fault that names the line.
"""

from __future__ import annotations

import ast
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

_DATA: Final = "genai_prices/data.py"
#: Its price keys and ours; those of pictures, searches and hours of audio are left out.
_KINDS: Final = {
    "input_mtok": "input",
    "output_mtok": "output",
    "cache_read_mtok": "cached",
    "cache_write_mtok": "cache_write",
    "cache_write_1h_mtok": "cache_write_1h",
    "input_audio_mtok": "audio_input",
    "output_reasoning_mtok": "reasoning",
    "output_audio_mtok": "audio_output",
}


#: Its record types; what is in those of usage is never looked at, but they are read.
_TYPES: Final = frozenset(
    {
        "Provider", "ModelInfo", "ModelPrice", "ConditionalPrice", "PriceVariant", "TieredPrices", "Tier",
        "StartDateConstraint", "TimeOfDateConstraint", "ClauseEquals", "ClauseStartsWith", "ClauseEndsWith",
        "ClauseContains", "ClauseRegex", "ClauseOr", "ClauseAnd", "UsageExtractor", "UsageExtractorMapping",
        "ArrayMatch",
    }
)  # fmt: skip


class UnreadableError(ValueError):
    """The package does not have the shape that this reader knows."""


@dataclass(frozen=True)
class Record:
    """One record of its data: the type's name and the fields that are written."""

    kind: str
    fields: Mapping[str, Any]

    def get(self, name: str, otherwise: Any = None) -> Any:
        return self.fields.get(name, otherwise)


@dataclass(frozen=True)
class Model:
    """A model with its rows of prices (dollars per million tokens), of which the last that holds counts."""

    id: str
    match: Record
    context: int | None
    deprecated: bool
    rows: tuple[dict[str, Any], ...]

    def takes(self, name: str) -> bool:
        """True where this is the model that requests call `name`."""
        return _matches(self.match, name.lower())


def read(wheel: Path) -> dict[str, list[Model]]:
    """Its models by its names of the providers."""
    with zipfile.ZipFile(wheel) as package:
        text = package.read(_DATA).decode()
    for statement in ast.parse(text).body:
        if isinstance(statement, ast.AnnAssign) and ast.unparse(statement.target) == "providers":
            providers = _value(statement.value)
            return {each.get("id"): [_model(model) for model in each.get("models", [])] for each in providers}
    raise UnreadableError(f"{_DATA} in {wheel.name} has no `providers`")


def _value(node: ast.expr | None) -> Any:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.List(elts=items):
            return [_value(item) for item in items]
        case ast.Dict(keys=keys, values=values):
            return {_value(key): _value(value) for key, value in zip(keys, values, strict=True)}
        case ast.Call(func=func, args=args, keywords=keywords):
            return _record(ast.unparse(func), [_value(arg) for arg in args], keywords)
        case ast.Attribute() if ast.unparse(node) == "datetime.UTC":
            return "UTC"
    line = getattr(node, "lineno", 0)
    raise UnreadableError(f"{_DATA}:{line}: this is not data that is understood here")


def _record(name: str, args: list[Any], keywords: list[ast.keyword]) -> Any:
    fields = {str(each.arg): _value(each.value) for each in keywords}
    if name == "Decimal":
        return Decimal(args[0])
    if name == "datetime.date":
        return "{:04}-{:02}-{:02}".format(*args)
    if name == "datetime.time":
        if fields.get("tzinfo") != "UTC":
            raise UnreadableError(f"{_DATA}: a time of day that is not in UTC")
        return "{:02}:{:02}".format(*args[:2])
    if name not in _TYPES:
        raise UnreadableError(f"{_DATA}: {name}(...) is not data that is understood here")
    return Record(name, fields)


def _matches(clause: Record, name: str) -> bool:
    match clause.kind:
        case "ClauseEquals":
            return name == str(clause.get("equals")).lower()
        case "ClauseStartsWith":
            return name.startswith(str(clause.get("starts_with")).lower())
        case "ClauseEndsWith":
            return name.endswith(str(clause.get("ends_with")).lower())
        case "ClauseContains":
            return str(clause.get("contains")).lower() in name
        case "ClauseRegex":
            return re.search(clause.get("regex"), name) is not None
        case "ClauseOr":
            return any(_matches(each, name) for each in clause.get("or_"))
        case "ClauseAnd":
            return all(_matches(each, name) for each in clause.get("and_"))
    raise UnreadableError(f"{_DATA}: {clause.kind} is not a match that is understood here")


def _model(record: Record) -> Model:
    return Model(
        id=record.get("id"),
        match=record.get("match"),
        context=record.get("context_window"),
        deprecated=bool(record.get("deprecated")),
        rows=tuple(_rows(record.get("prices", []))),
    )


def _rows(prices: Any) -> Iterator[dict[str, Any]]:
    """Its prices as rows; hours of the same prices that follow one another are one row."""
    last: dict[str, Any] | None = None
    for each in prices if isinstance(prices, list) else [Record("ConditionalPrice", {"prices": prices})]:
        row = _priced(each.get("prices"))
        when = each.get("constraint")
        if not row:
            continue
        if when is not None and when.kind == "StartDateConstraint":
            row["since"] = when.get("start_date")
        elif when is not None and when.kind == "TimeOfDateConstraint":
            hours = {"from": when.get("start_time"), "to": when.get("end_time")}
            if last is not None and {**last, "hours": None} == {**row, "hours": None}:
                last["hours"].append(hours)
                continue
            row["hours"] = [hours]
        elif when is not None:
            raise UnreadableError(f"{_DATA}: {when.kind} is not a condition that is understood here")
        last = row if "hours" in row else None
        yield row


def _priced(prices: Record) -> dict[str, Any]:
    """Prices by our kinds, with `tiers` where they depend on the size of the input."""
    row: dict[str, Any] = {}
    tiers: dict[int, dict[str, Any]] = {}
    for key, kind in _KINDS.items():
        price = prices.get(key)
        if isinstance(price, Record):
            row[kind] = price.get("base")
            for tier in price.get("tiers"):
                tiers.setdefault(tier.get("start"), {})[kind] = tier.get("price")
        elif price is not None:
            row[kind] = price
    if (calls := prices.get("requests_kcount")) is not None:
        row["request"] = calls / 1000
    if tiers:
        row["tiers"] = list(_filled(tiers))
    return row


def _filled(tiers: Mapping[int, Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Tiers, rising; a kind that has none at a limit goes on as at the limit below."""
    said: dict[str, Any] = {}
    for above, prices in sorted(tiers.items()):
        said |= prices
        yield {"above": above, **said}
