"""Prices of two sources as one: the first wins, the second fills what it leaves open; both are compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from engine.wire.pricing import KINDS

#: Prices further apart than this share of the greater are told.
LIMIT: Final = Decimal("0.05")
_PRICES: Final = (*KINDS, "request")

Row = dict[str, Any]


def current(rows: list[Row], date: str) -> list[Row]:
    """The rows that still matter on a day: what a later row has taken the place of is history."""
    start = 0
    for number, row in enumerate(rows):
        if "hours" not in row and row.get("since", "") <= date:
            start = number
    return [dict(row) for row in rows[start:]]


def joined(first: list[Row], second: list[Row], names: tuple[str, str]) -> list[Row]:
    """The rows of the first source, or else of the second; each says its `source`, and what was `filled` in.

    A kind of price that the first does not know is the second's where the two agree on input and output, so
    that they speak of the same offer.
    """
    if not first:
        return [{**row, "source": names[1]} for row in second]
    found = [{**row, "source": names[0]} for row in first]
    agree = second and not any(differences(first, second, ("input", "output")))
    if len(found) == 1 and agree and (filled := _fill(found[0], second[0])):
        found[0]["filled"] = {names[1]: filled}
    return found


def _fill(row: Row, other: Row) -> list[str]:
    """Put in what only `other` knows, and say what that is; not a price per call, which is another bill."""
    missing: list[str] = [kind for kind in KINDS if kind not in row and kind in other]
    row |= {kind: other[kind] for kind in missing}
    if "tiers" in other and "tiers" not in row:
        row["tiers"] = other["tiers"]
        return [*missing, "tiers"]
    more = {tier["above"]: tier for tier in other.get("tiers", ())}
    row_tiers = [{**more.get(tier["above"], {}), **tier} for tier in row.get("tiers", ())]
    if row_tiers:
        row["tiers"] = row_tiers
    return missing


def differences(first: list[Row], second: list[Row], kinds: tuple[str, ...] = _PRICES) -> Iterator[Row]:
    """Kinds of price that are further apart than the limit; the dearest hours are compared."""
    if not first or not second:
        return
    one, other = _dearest(first), _dearest(second)
    for kind in kinds:
        yield from _apart(kind, one.get(kind), other.get(kind))
    tiers = {tier["above"]: tier for tier in one.get("tiers", ())}
    for tier in other.get("tiers", ()):
        same = tiers.get(tier["above"], {})
        for kind in kinds:
            yield from _apart(f"{kind} above {tier['above']}", same.get(kind), tier.get(kind))


def _apart(kind: str, one: Decimal | None, other: Decimal | None) -> Iterator[Row]:
    if one is not None and other is not None and abs(one - other) > LIMIT * max(one, other):
        yield {"kind": kind, "prices": (one, other)}


def _dearest(rows: list[Row]) -> Mapping[str, Any]:
    return max(rows, key=lambda row: (row.get("output") or 0, row.get("input") or 0))
