"""Reads facts and prices in the wheel of litellm (MIT): one JSON file, an entry per provider and model."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

_DATA: Final = "litellm/model_prices_and_context_window_backup.json"
_MILLION: Final = 1_000_000
#: Its price keys and ours; a limit of the input may follow: `_above_200k_tokens`.
_KINDS: Final = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cached",
    "cache_creation_input_token_cost": "cache_write",
    "cache_creation_input_token_cost_above_1hr": "cache_write_1h",
    "input_cost_per_audio_token": "audio_input",
    "output_cost_per_reasoning_token": "reasoning",
    "output_cost_per_audio_token": "audio_output",
}
_ABOVE: Final = re.compile(r"(.+)_above_(\d+)k_tokens")
_AS_OUTPUT: Final = ("reasoning", "audio_output")

Entry = Mapping[str, Any]


def read(wheel: Path) -> dict[str, Entry]:
    """Its entries by its names of the models."""
    with zipfile.ZipFile(wheel) as package:
        data: dict[str, Entry] = json.loads(package.read(_DATA), parse_float=Decimal)
    data.pop("sample_spec", None)
    return data


def rows(entry: Entry) -> list[dict[str, Any]]:
    """Its prices as rows, in dollars per million tokens; none where it knows none."""
    row = _row(entry)
    if (tiers := _tiers(entry)) and "tiers" not in row:
        row["tiers"] = tiers
    if isinstance(steps := entry.get("tiered_pricing"), list):
        row |= _steps(steps)
    for key in ("input_cost_per_query", "input_cost_per_request"):
        if entry.get(key):
            row["request"] = Decimal(entry[key])
    if not row.keys() & {"input", "output", "request"}:
        return []
    peak = [row]
    if isinstance(quiet := entry.get("off_peak_pricing"), dict):
        peak.append(_row(quiet) | {"hours": list(_windows(quiet["windows"]))})
    return peak


def _row(entry: Entry) -> dict[str, Any]:
    row = {kind: _per_million(entry[key]) for key, kind in _KINDS.items() if entry.get(key) is not None}
    for kind in _AS_OUTPUT:
        if kind in row and row[kind] == row.get("output"):
            del row[kind]
    return row


def _tiers(entry: Entry) -> list[dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    for key, value in entry.items():
        match = _ABOVE.fullmatch(key)
        kind = _KINDS.get(match[1]) if match else None
        if match and kind is not None and value is not None:
            found.setdefault(int(match[2]) * 1000, {})[kind] = _per_million(value)
    said: dict[str, Any] = {}
    tiers = []
    for above, prices in sorted(found.items()):
        said = said | prices
        tiers.append({"above": above, **said})
    return tiers


def _steps(steps: list[Entry]) -> dict[str, Any]:
    """`tiered_pricing`: the first step is the row, the others are its tiers."""
    first, *others = sorted(steps, key=lambda step: int(step["range"][0]))
    tiers = [{"above": int(step["range"][0]), **_row(step)} for step in others]
    return {**_row(first), "tiers": tiers} if tiers else _row(first)


def _windows(windows: list[Entry]) -> Iterator[dict[str, Any]]:
    for window in windows:
        hours = window["hours_utc"]
        for span in [hours] if isinstance(hours, str) else hours:
            start, _, end = span.partition("-")
            days = {"days": list(window["weekdays"])} if "weekdays" in window else {}
            yield {"from": start, "to": end, **days}


def _per_million(price: Any) -> Decimal:
    return Decimal(price) * _MILLION
