"""One table per provider of ours: the two packages joined by the models' names, then the rules.

`sources.yaml` says which providers of the packages a table is made of. The names of the models are the
vendor's own: litellm's keys without their prefix, and ids of genai-prices' where they are asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from engine.facts import derive, genai, join, litellm, rules

GENAI: Final = "genai-prices"
LITELLM: Final = "litellm"
_KEYS: Final = frozenset(
    {
        GENAI, LITELLM, "strip", "drop", "keep", "also", "like", "windows", "affixes", "free",
        "litellm-first", "rules", "rules-for",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Packages:
    """Both sources, and the day they were taken."""

    genai: Mapping[str, Sequence[genai.Model]]
    litellm: Mapping[str, litellm.Entry]
    date: str


@dataclass
class Table:
    """A table in the making: rows by the vendor's name of the model, and where the sources differ."""

    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    differences: list[dict[str, Any]] = field(default_factory=list)
    rules: list[str] = field(default_factory=list)  # where the rules come from that rows name by number


def make(spec: Mapping[str, Any], packages: Packages) -> Table:
    """The table that `spec` (a map of `sources.yaml`) describes."""
    if unknown := spec.keys() - _KEYS:
        raise ValueError(f"unknown keys: {', '.join(sorted(unknown))}")
    made = Table()
    retired: set[str] = set()
    for name, entry in _entries(spec, packages):
        if str(entry.get("deprecation_date") or "9") <= packages.date:
            retired.add(name)
        elif name not in made.rows:
            made.rows[name] = _row(name, entry, spec, packages, made)
    known = {name.lower() for name in {*made.rows, *retired}}
    for name, model in _only_priced(spec, packages):
        prices = join.joined(join.current(list(model.rows), packages.date), [], (GENAI, LITELLM))
        if prices and name.lower() not in known and name not in made.rows:
            window = {"context": model.context} if model.context else {}
            made.rows[name] = {**window, "prices": prices, "source": GENAI}
    for name, other in spec.get("like", {}).items():
        facts = {key: value for key, value in made.rows[other].items() if key not in ("prices", "retires")}
        made.rows[name] = {**deepcopy(facts), **made.rows[name]}
    written = list(_flat(spec.get("rules", ())))
    for name, row in made.rows.items():
        if "rules-for" not in spec or _any(spec["rules-for"], name):
            _rule(written, name, row, made)
        if "operation" in row:
            for price in row.get("prices", ()):  # what writes nothing costs nothing for it
                price.setdefault("input", Decimal(0))
                price["output"] = Decimal(0)
    return made


def _rule(written: Sequence[Mapping[str, Any]], name: str, row: dict[str, Any], made: Table) -> None:
    used = rules.apply(written, name, row)
    for source in dict.fromkeys(written[number]["source"] for number in used):
        if source not in made.rules:
            made.rules.append(source)
        row.setdefault("rules", []).append(made.rules.index(source))


def _entries(spec: Mapping[str, Any], packages: Packages) -> Iterator[tuple[str, litellm.Entry]]:
    """The vendor's names of models with litellm's entries: those of the provider named first come first."""
    for provider in spec.get(LITELLM, ()):
        for key, entry in packages.litellm.items():
            if entry.get("litellm_provider") == provider and entry.get("mode") in derive.OPERATIONS:
                name = _stripped(key, spec.get("strip", ()))
                if _wanted(name, spec):
                    yield name, entry


def _stripped(key: str, prefixes: Sequence[str]) -> str:
    found = next((prefix for prefix in prefixes if key.startswith(prefix)), "")
    return key.removeprefix(found)


def _flat(items: Sequence[Any]) -> Iterator[Any]:
    """A list with the lists in it spread out: what several tables share is written once."""
    for item in items:
        yield from _flat(item) if isinstance(item, list | tuple) else (item,)


def _wanted(name: str, spec: Mapping[str, Any]) -> bool:
    """Patterns are regular expressions over the whole name."""
    keep = spec.get("keep", ())
    return not _any(spec.get("drop", ()), name) and (not keep or _any(keep, name))


def _any(patterns: Sequence[Any], name: str) -> bool:
    return any(re.fullmatch(pattern, name) for pattern in _flat(patterns))


def _row(
    name: str, entry: litellm.Entry, spec: Mapping[str, Any], packages: Packages, made: Table
) -> dict[str, Any]:
    row = derive.facts(entry)
    twin = _twin(name, spec, packages)
    whole = row.get("context", 0) + row.get("output", 0)
    if whole in spec.get("windows", ()):
        row["context"] = whole  # it gives the room for input beside the room for output
    first = join.current(list(twin.rows), packages.date) if twin is not None else []
    second = join.current(litellm.rows(entry), packages.date)
    if not any(each.get(kind) for each in second for kind in ("input", "output", "request")):
        second = second if _any(spec.get("free", ()), name) else []  # zeros are mostly blanks
    if "operation" in row:
        second = [{key: price for key, price in each.items() if key != "output"} for each in second]
    if second and _any(spec.get("litellm-first", ()), name):
        first = []
    now = [price for price in first if price.get("since", "") <= packages.date]
    for each in join.differences(now, second):
        made.differences.append({"model": name, **each})
        row.setdefault("differs", {}).setdefault(LITELLM, {})[each["kind"]] = each["prices"][1]
    if prices := join.joined(first, second, (GENAI, LITELLM)):
        row["prices"] = prices
    row["source"] = LITELLM
    return row


def _twin(name: str, spec: Mapping[str, Any], packages: Packages) -> genai.Model | None:
    """genai-prices' model of that name, by its id or else by its rules of matching."""
    for provider in spec.get(GENAI, ()):
        models = packages.genai[provider]
        found = next((model for model in models if model.id == name), None)
        found = found or next((model for model in models if model.takes(name)), None)
        if found is not None:
            return found
    return None


def _only_priced(spec: Mapping[str, Any], packages: Packages) -> Iterator[tuple[str, genai.Model]]:
    """Models that `also` asks for: genai-prices has them, but many of its ids are no vendor's names."""
    for provider in spec.get(GENAI, ()):
        before, after = spec.get("affixes", {}).get(provider, ("", ""))
        for model in packages.genai[provider]:
            name = before + model.id + after
            if _any(spec.get("also", ()), name) and not model.deprecated and _wanted(name, spec):
                yield name, model
