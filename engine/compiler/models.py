"""What is known of a provider's models: rows of a table of facts, under what the provider file says of them.

Both are looked at when a deployment names a model, so that a long table costs nothing to those who use two
of its models. What a file says counts before the table, key by key; `null` there takes a fact, or a whole
model, away. A price that a file states holds at all times, whatever the size of the input.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

from engine.compiler.facts_table import Table
from engine.compiler.overheads import with_overhead
from engine.plan.vendors import Facts, PriceRow, PriceTier, ToolPrice
from engine.spec.provider import ModelSpec

FREE: Final = (PriceRow(0, 0, 0, 0),)
#: Key of a model in a file -> the kind of price in a row.
_PRICES: Final = {
    "input_price": "input",
    "output_price": "output",
    "cached_price": "cached",
    "cache_write_price": "cache_write",
    "request_price": "request",
}
#: What is not billed by the token: nothing, where it is not known.
_NO_TOKENS: Final = ("request", "second")
_OWN_MEANING: Final = {"id", "price", "overhead", *_PRICES}


class Models:
    """The models of one provider. `patches`: what its file says of them, None for one that it takes away."""

    def __init__(
        self,
        patches: Mapping[str, ModelSpec | None],
        table: Table | None = None,
        *,
        priced: bool = True,
        free: bool = False,
        unknown: bool | None = None,
        can: tuple[str, ...] | None = None,
        profiles: Mapping[str, str] | None = None,
        tools: Mapping[str, ToolPrice] | None = None,
    ) -> None:
        self.patches = patches
        self.table = table
        self._priced = priced  # False: the table is another vendor's, its prices are not ours
        self._free = free
        self._tools = tools or None  # what those cost that the vendor runs
        self._profiles = dict(profiles or {})  # prefix of a model's name -> where it may be served
        self._can = can  # what is so for every model of which nothing else is said
        self.unknown = not patches and table is None if unknown is None else unknown

    def names(self) -> list[str]:
        """All models that are known, sorted."""
        rows = self.table.rows if self.table is not None else {}
        return sorted(name for name in {*rows, *self.patches} if self.patches.get(name, True) is not None)

    def first(self) -> str | None:
        """A model to show things by: the first one that the file names, else the first of the table."""
        named = next((name for name, patch in self.patches.items() if patch is not None), None)
        return named if named is not None else next(iter(self.names()), None)

    def wire(self, name: str) -> str:
        """The vendor's name of a model."""
        patch = self.patches.get(name)
        return name if patch is None or patch.id is None else patch.id

    def zone(self, name: str) -> str | None:
        """Where a model is served whose name says so, whatever region is called; None: it does not say."""
        wire = self.wire(name)
        return next((zone for prefix, zone in self._profiles.items() if wire.startswith(prefix)), None)

    def facts(self, name: str) -> Facts | None:
        """What is known of a model; None if nothing is, not even that it exists. One that is called by a
        profile is the model behind it.
        """
        found = self._facts(name)
        if found is None and name not in self.patches:
            behind = (name.removeprefix(prefix) for prefix in self._profiles if name.startswith(prefix))
            found = next((facts for each in behind if (facts := self._facts(each)) is not None), None)
        return found

    def _facts(self, name: str) -> Facts | None:
        patch = self.patches.get(name)
        if patch is None and name in self.patches:
            return None
        found = self.table.facts(self.wire(name)) if self.table is not None else None
        if found is not None and not self._priced:
            found = dataclasses.replace(found, prices=())
        if found is None and patch is None:
            return None
        found = _patched(found or Facts(), patch) if patch is not None else found
        if found is None:
            return None
        return self._usual(with_overhead(found, self.wire(name), None if patch is None else patch.overhead))

    def unlisted(self, name: str = "") -> Facts:
        """What is known of a model that is not listed."""
        return self._usual(with_overhead(Facts(), name, None))

    def _usual(self, facts: Facts) -> Facts:
        if self._free:
            facts = dataclasses.replace(facts, prices=FREE)
        if self._tools is not None:
            facts = dataclasses.replace(facts, tools=self._tools)
        return dataclasses.replace(facts, can=self._can) if facts.can is None and self._can else facts


def _patched(facts: Facts, patch: ModelSpec) -> Facts:
    said = patch.model_fields_set
    changes: dict[str, Any] = {key: getattr(patch, key) for key in said - _OWN_MEANING}
    if patch.price is not None:
        changes["prices"] = FREE
    elif stated := {_PRICES[key]: getattr(patch, key) for key in said & _PRICES.keys()}:
        changes["prices"] = repriced(facts.prices, stated, patch.source)
    return dataclasses.replace(facts, **changes)


def repriced(
    rows: tuple[PriceRow, ...], stated: Mapping[str, int | None], source: str | None
) -> tuple[PriceRow, ...]:
    """The rows with other prices, `request` and `second` too; a stated kind has one price in all tiers."""
    values: dict[str, Any] = {
        kind: (0 if price is None and kind in _NO_TOKENS else price) for kind, price in stated.items()
    }
    as_in_the_row: dict[str, Any] = {kind: None for kind in values if kind not in _NO_TOKENS}

    def tier(each: PriceTier) -> PriceTier:
        return dataclasses.replace(each, **as_in_the_row)

    found = tuple(
        dataclasses.replace(row, **values, source=source, tiers=tuple(tier(each) for each in row.tiers))
        for row in rows or (PriceRow(),)
    )
    known = any(price is not None for kind, price in values.items() if kind not in _NO_TOKENS or price)
    return found if rows or known else ()
