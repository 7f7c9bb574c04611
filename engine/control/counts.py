"""What budgets have counted when a plan replaces another: told with the ACK, and taken over by new names.

A ledger knows accounts by their keys. Of each budget of the plan that goes, the accounts of the window that
is now are summed, so that whoever changed a file reads what it kept, moved, or let go.
"""

from __future__ import annotations

import asyncio
import dataclasses
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from inspect import isawaitable
from typing import Any, Final

from engine import units
from engine.control import slices
from engine.plan.fate_names import Names
from engine.plan.money import Budget, MoneySegment
from engine.state.ledger import Account, Ask, Ledger, Standing
from engine.state.ledger_accounts import budget_account, partition_of

#: Partitions of a budget that one process tells others of by name.
_NAMED: Final = 100
#: A name of a partition is cut here, where it is told.
_LONGEST: Final = 40

_Row = tuple[Account, Standing]


@dataclass(slots=True)
class Count:
    """Of one budget, over all its partitions: spent, in its unit. top: those that spent most."""

    partitions: int = 0
    used: int = 0
    top: dict[str, int] = field(default_factory=dict)

    def add(self, partition: str, used: int) -> None:
        self.partitions += 1
        self.used += used
        self.top[partition] = self.top.get(partition, 0) + used
        if len(self.top) > 2 * _NAMED:
            self.cut()

    def cut(self) -> None:
        self.top = dict(sorted(self.top.items(), key=lambda item: (-item[1], item[0]))[:_NAMED])


Counts = dict[str, Count]


async def counted(ledger: Ledger, money: MoneySegment, wall_ms: int, zone: tzinfo) -> Counts:
    """What each budget has counted in the window that is now; those that counted nothing are left out."""
    found: Counts = {}
    if money.budgets:
        await slices.run(_sums(await _rows(ledger, wall_ms), _keys(money.budgets, wall_ms, zone), found))
    return found


def _keys(budgets: Mapping[str, Budget], wall_ms: int, zone: tzinfo) -> dict[str, str]:
    """Budgets by what the keys of their accounts begin with now."""
    return {budget_account(each, "", wall_ms, zone).key: name for name, each in budgets.items()}


async def _rows(ledger: Ledger, wall_ms: int) -> Iterable[_Row]:
    rows = ledger.rows(wall_ms)
    return await rows if isawaitable(rows) else rows


def _sums(rows: Iterable[_Row], keys: Mapping[str, str], found: Counts) -> Iterator[None]:
    for account, standing in rows:
        yield
        name = keys.get(_beginning(account))
        if name is not None and standing.spent:
            found.setdefault(name, Count()).add(partition_of(account), standing.spent)
    for count in found.values():
        count.cut()


def _beginning(account: Account) -> str:
    return account.key[: len(account.key) - len(partition_of(account))]


async def carry(
    ledger: Ledger, old: MoneySegment, new: MoneySegment, moves: Mapping[str, str], wall_ms: int, zone: tzinfo
) -> None:
    """Take over what old names counted, also of those who do not ask before the next change of the plan."""
    if not moves:
        return
    keys = _keys({was: old.budgets[was] for was in moves.values()}, wall_ms, zone)
    names = {was: name for name, was in moves.items()}
    for row, _ in list(await _rows(ledger, wall_ms)):
        was = keys.get(_beginning(row))
        if was is None:
            continue
        target = budget_account(new.budgets[names[was]], "", wall_ms, zone)
        part = partition_of(row)
        account = dataclasses.replace(target, key=target.key + part, was=row.key)
        hold = f"carry/{secrets.token_hex(16)}"
        held = ledger.reserve(hold, [Ask(account, 0)], wall_ms)  # nothing always fits
        if isawaitable(held):
            await held
        released = ledger.release(hold, wall_ms)
        if isawaitable(released):
            await released
        await asyncio.sleep(0)


# --- in words -----------------------------------------------------------------------------------------


def lines(old: MoneySegment, new: MoneySegment, names: Names, counts: Counts, most: int) -> list[str]:
    """What becomes of the amounts, a line a budget: at most so many, then how many more there are."""
    told = [
        *_resets(old, names, counts),
        *_ends(old, names, counts),
        *_moves(old, new, names, counts),
        *_kept(old, new, names, counts),
    ]
    return told if len(told) <= most else [*told[:most], f"... and {len(told) - most} more"]


def _kept(old: MoneySegment, new: MoneySegment, names: Names, counts: Counts) -> Iterator[str]:
    for name, count in sorted(counts.items()):
        budget = new.budgets.get(name)
        if budget is not None and name not in names.resets:
            yield f"{name}: {_keep(count, budget)}{_was(old.budgets[name], budget)}"


def _moves(old: MoneySegment, new: MoneySegment, names: Names, counts: Counts) -> Iterator[str]:
    for name, was in sorted(names.moves.items()):
        if was in counts:
            budget = new.budgets[name]
            yield f"{name} (was {was}): {_keep(counts[was], budget)}{_was(old.budgets[was], budget)}"


def _resets(old: MoneySegment, names: Names, counts: Counts) -> Iterator[str]:
    for name in names.resets:
        if name in counts:
            yield f"{name}: {_lost(counts[name], old.budgets[name])} ({names.why[name]})"


def _ends(old: MoneySegment, names: Names, counts: Counts) -> Iterator[str]:
    for name in names.ends:
        if name in counts:
            yield f"{name}: {_lost(counts[name], old.budgets[name])} (the budget is gone)"


def _keep(count: Count, budget: Budget) -> str:
    """`team support keeps $42.10 of $500`, `3 teams keep $52.30, of $500 each; support $42.10`."""
    limit = _limit(budget)
    noun = _noun(budget)
    if count.partitions == 1:
        (partition,) = count.top
        who = f"{noun} {_short(partition)} " if budget.per is not None else ""
        return f"{who}keeps {_amount(count.used, budget)} of {limit}"
    partition, used = next(iter(count.top.items()))
    each = f"; {_short(partition)} {_amount(used, budget)}" if count.top else ""
    return f"{count.partitions} {noun}s keep {_amount(count.used, budget)}, of {limit} each{each}"


def _lost(count: Count, budget: Budget) -> str:
    noun, whose = _noun(budget), ""
    if budget.per is not None and count.partitions == 1:
        whose = f" of {noun} {_short(next(iter(count.top)))}"
    elif budget.per is not None:
        whose = f" of {count.partitions} {noun}s"
    return f"{_amount(count.used, budget)}{whose} no longer counts"


def _was(old: Budget, new: Budget) -> str:
    return "" if old.limit == new.limit else f" (it was of {_limit(old)})"


def _noun(budget: Budget) -> str:
    """What a value of `per` is called: of `key.tags.team` a team."""
    source = "" if budget.per is None else budget.per.source
    if source in ("key.id", "key.name"):
        return "key"
    plain = source.replace(".", "").replace("_", "").isalnum()
    last = source.rpartition(".")[2]
    return last if plain and last not in ("id", "name") else "partition"


def _short(partition: str) -> str:
    text = " ".join(partition.split()) or '""'
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _amount(used: int, budget: Budget) -> str:
    if budget.measure == "tokens":
        return f"{units.show_count(used)} tokens"
    cents = round(used / 10**7)
    if cents < 100:  # below a dollar to what the client is told
        return units.show_money(-(-used // 1000) * 1000)
    return f"${cents // 100}.{cents % 100:02}"


def _limit(budget: Budget) -> str:
    if budget.measure == "tokens":
        return f"{units.show_count(budget.limit)} tokens"
    return units.show_money(budget.limit)


# --- between processes --------------------------------------------------------------------------------


def as_json(counts: Counts) -> dict[str, Any]:
    return {name: {"partitions": c.partitions, "used": c.used, "top": c.top} for name, c in counts.items()}


def merged(told: Sequence[Mapping[str, Any]]) -> Counts:
    """What several processes count, each by itself."""
    found: Counts = {}
    for counts in told:
        for name, words in counts.items():
            count = found.setdefault(name, Count())
            count.used += words["used"]
            for partition, used in words["top"].items():
                count.top[partition] = count.top.get(partition, 0) + used
            count.partitions = max(count.partitions, words["partitions"], len(count.top))
    for count in found.values():
        count.cut()
    return found
