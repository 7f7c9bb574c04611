"""How every budget and limit stands, for `/admin/budgets` and the metrics: read from the ledger in one go.

A ledger may hold a million partitions, so of each name only those used most are told by name, and the rest
as a number. Who wants one of them asks for its partition. Several processes that count by themselves are
added up (`merged`); those that share a store say the same, and one is asked.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from inspect import isawaitable
from typing import Any, Final

from engine.control import slices
from engine.observe.standings import NANOS, amount, as_json, named, share
from engine.plan.money import Budget, Limit, Measure, MoneySegment, Rate
from engine.state.ledger import Account, Ledger, Standing
from engine.units import show_count, show_duration

#: Partitions of one name that are told, where nobody says how many; and at most.
USUAL: Final = 50
MOST: Final = 1_000

#: What is added up over processes that count by themselves.
_SUMMED: Final = ("spent", "held", "lost", "left")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for. budget, limit: only this one; partition: only this one; most: of each name.

    own: only what this process counts by itself.
    """

    budget: str | None = None
    limit: str | None = None
    partition: str | None = None
    most: int = USUAL
    own: bool = False

    def takes(self, kind: str, name: str) -> bool:
        if self.budget is None and self.limit is None:
            return True
        return name == (self.budget if kind == "budget" else self.limit)


@dataclass(slots=True)
class Sum:
    """Of all partitions of a name: how many, how many have nothing left, and the share of the fullest."""

    measure: Measure
    limit: int
    partitions: int = 0
    full: int = 0
    used: float = 0.0
    spent: int = 0
    held: int = 0

    def add(self, standing: Standing) -> None:
        self.partitions += 1
        self.full += standing.left <= 0
        self.used = max(self.used, share(standing))
        self.spent += standing.spent
        self.held += standing.held


#: (kind, name, measure) -> all of its partitions.
Sums = dict[tuple[str, str, str], Sum]


@dataclass(slots=True)
class _Top:
    """The partitions of one name that are used most: a heap, the least used first."""

    most: int
    rows: list[tuple[float, int, Account, Standing]] = field(default_factory=list)
    seen: int = 0

    def add(self, account: Account, standing: Standing) -> None:
        self.seen += 1
        row = (share(standing), -self.seen, account, standing)
        if len(self.rows) < self.most:
            heapq.heappush(self.rows, row)
        else:
            heapq.heappushpop(self.rows, row)


async def read(ledger: Ledger, now_ms: int) -> Iterable[tuple[Account, Standing]]:
    """All rows of a ledger, whatever store it is."""
    rows = ledger.rows(now_ms)
    return await rows if isawaitable(rows) else rows


async def sums(ledger: Ledger, now_ms: int) -> Sums:
    """Every name's partitions together."""
    found: Sums = {}
    await slices.run(_add_up(await read(ledger, now_ms), found))
    return found


def _add_up(rows: Iterable[tuple[Account, Standing]], found: Sums) -> Iterator[None]:
    for account, standing in rows:
        yield
        kind, name, _, _ = named(account)
        key = (kind, name, account.measure)
        into = found.get(key)
        if into is None:
            into = found[key] = Sum(account.measure, account.limit)
        into.add(standing)


async def told(
    ledger: Ledger, money: MoneySegment, wanted: Wanted, now_ms: int, zone: tzinfo
) -> dict[str, Any]:
    """`{"budgets": {NAME: {..., "partitions": [...], "more": N}}, "limits": ...}`: what is in the plan, and
    what is counted still under names that it has no more.
    """
    found: dict[tuple[str, str], _Top] = {}
    if money.budgets or money.limits:
        await slices.run(_pick(await read(ledger, now_ms), wanted, found))
    document: dict[str, Any] = {"budgets": {}, "limits": {}}
    for kind, plan in (("budget", money.budgets), ("limit", money.limits)):
        names = [name for name in plan if wanted.takes(kind, name)]
        gone = sorted(name for (of, name) in found if of == kind and name not in plan)
        for name in (*names, *gone):
            top = found.get((kind, name), _Top(0))
            partitions = [_row(account, standing, now_ms, zone) for _, _, account, standing in _ordered(top)]
            says = _says(plan[name]) if name in plan else {"in_plan": False}
            document[f"{kind}s"][name] = {
                **says,
                "partitions": partitions,
                "more": top.seen - len(partitions),
            }
    return document


def _pick(
    rows: Iterable[tuple[Account, Standing]], wanted: Wanted, found: dict[tuple[str, str], _Top]
) -> Iterator[None]:
    for account, standing in rows:
        yield
        kind, name, _, partition = named(account)
        if wanted.own and not account.local:
            continue
        if wanted.takes(kind, name) and wanted.partition in (None, partition):
            found.setdefault((kind, name), _Top(wanted.most)).add(account, standing)


def _ordered(top: _Top) -> list[tuple[float, int, Account, Standing]]:
    return sorted(top.rows, key=lambda row: (-row[0], row[2].key))


def _row(account: Account, standing: Standing, now_ms: int, zone: tzinfo) -> dict[str, Any]:
    row = as_json(account, standing, now_ms, zone)
    del row["kind"], row["name"]
    return row


def _says(each: Budget | Limit) -> dict[str, Any]:
    """What the plan says of it."""
    per = {} if each.per is None else {"per": each.per.source}
    if isinstance(each, Budget):
        window = each.window
        length = "" if window.ms is None else f" {show_duration(window.ms)}"
        limit = amount(each.measure, each.limit)
        return {"measure": each.measure, "limit": limit, "window": f"{window.kind}{length}", **per}
    rates = {"requests": each.requests, "tokens": each.tokens}
    shown = {name: _rate(rate) for name, rate in rates.items() if rate is not None}
    most = {} if each.concurrent is None else {"concurrent": each.concurrent}
    return {**shown, **most, "scope": each.scope, **per}


def _rate(rate: Rate) -> str:
    return f"{show_count(rate.amount)} in {show_duration(rate.period_ms)}"


def merged(documents: Sequence[Mapping[str, Any]], most: int) -> dict[str, Any]:
    """What several processes tell, added up; what they share, only the first of them tells. `used` is that of
    the process that used most. shared: what has no `scope: host` is counted by all together.
    """
    out: dict[str, Any] = {"shared": documents[0]["shared"], "processes": len(documents)}
    for kind in ("budgets", "limits"):
        names = dict.fromkeys(name for document in documents for name in document[kind])
        out[kind] = {
            name: _merged([document[kind][name] for document in documents if name in document[kind]], most)
            for name in names
        }
    return out


def _merged(told: Sequence[Mapping[str, Any]], most: int) -> dict[str, Any]:
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in (row for each in told for row in each["partitions"]):
        key = (row["partition"], row.get("window"), row["measure"])
        into = rows.get(key)
        if into is None:
            rows[key] = dict(row)
            continue
        digits = 9 if row["measure"] == "cost" else 0
        into |= {name: round(into[name] + row[name], digits) for name in _SUMMED}
        into["used"] = max(into["used"], row["used"])
        ends = [at for at in (into["resets_at"], row["resets_at"]) if at is not None]
        into["resets_at"] = max(ends) if ends else None
    ordered = sorted(rows.values(), key=lambda row: (-row["used"], row["partition"]))
    more = max(each["more"] for each in told) + max(0, len(ordered) - most)
    return {**told[0], "partitions": ordered[:most], "more": more}


def in_units(measure: Measure, number: int) -> float:
    """For a gauge: dollars, or what is counted."""
    return number / NANOS if measure == "cost" else float(number)
