"""Tables of model facts: `providers.d/facts/NAME.json`, generated (`python -m engine.facts`) and shipped.

A table is read once per process and kept as plain data; only the rows that are asked for become `Facts`.
Money is in dollars per million tokens there (per call for `request`), in nano-dollars here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final

import orjson

from engine.builtin import builtin
from engine.plan.vendors import Facts, Hours, PriceRow, PriceTier
from engine.wire.pricing import KINDS

_NANOS: Final = 10**9
#: Keys of a row that are `Facts` of the same name and shape.
_PLAIN: Final = (
    "context", "output", "max_tokens_field", "tokenizer", "sampling", "thinking", "upstream", "dialect",
    "forced_tools", "schema_by", "api_version",
)  # fmt: skip
_LISTS: Final = ("can", "efforts", "modalities")


@dataclass(frozen=True, slots=True)
class Table:
    """A table: `rows` by the vendor's name of the model, `sources` by the word that rows use for them.

    `rules`: where facts come from that no source says; rows name them by number.
    """

    name: str
    rows: Mapping[str, Mapping[str, Any]]
    sources: Mapping[str, Mapping[str, str]]
    rules: tuple[str, ...] = ()

    def source(self, word: str) -> str:
        """A source in full, like `genai-prices 0.2.3, 2026-11-23`."""
        said = self.sources[word]
        return f"{said['name']}, {said['date']}"

    def facts(self, model: str) -> Facts | None:
        """What the table says of a model; None if it has no such row."""
        row = self.rows.get(model)
        if row is None:
            return None
        found: dict[str, Any] = {key: row[key] for key in _PLAIN if key in row}
        found.update((key, tuple(row[key])) for key in _LISTS if key in row)
        prices = tuple(self._price(each) for each in row.get("prices", ()))
        return Facts(**found, prices=prices, source=self.source(row["source"]))

    def _to_come(self, row: Mapping[str, Any]) -> bool:
        """What held already when the table was made holds at all times that anybody asks about."""
        taken = self.sources[row["source"]]["date"]
        return bool(row.get("since", "") > taken)

    def _price(self, row: Mapping[str, Any]) -> PriceRow:
        return PriceRow(
            **_kinds(row),
            request=_nanos(row.get("request", 0)),
            tiers=tuple(PriceTier(above=tier["above"], **_kinds(tier)) for tier in row.get("tiers", ())),
            since=_midnight(row["since"]) if self._to_come(row) else None,
            until=_midnight(row["until"]) if "until" in row else None,
            hours=tuple(_hours(each) for each in row.get("hours", ())),
            source=self.source(row["source"]),
        )


@cache
def table(name: str) -> Table | None:
    """The shipped table of that name; None if there is none."""
    path = builtin("providers.d") / "facts" / f"{name}.json"
    try:
        data = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    return Table(name, data["models"], data["sources"], tuple(data["rules"]))


def table_names() -> list[str]:
    """All shipped tables, sorted."""
    return sorted(path.stem for path in (builtin("providers.d") / "facts").glob("*.json"))


def _kinds(row: Mapping[str, Any]) -> dict[str, int]:
    return {kind: _nanos(row[kind]) for kind in KINDS if kind in row}


def _nanos(dollars: float) -> int:
    return round(dollars * _NANOS)


def _midnight(date: str) -> int:
    return int(datetime.fromisoformat(date).replace(tzinfo=UTC).timestamp())


def _hours(row: Mapping[str, Any]) -> Hours:
    start, end = (int(at[:2]) * 60 + int(at[3:]) for at in (row["from"], row["to"]))
    return Hours(start, end, tuple(row.get("days", ())))
