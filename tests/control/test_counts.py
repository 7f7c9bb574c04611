"""Counts of budgets and limits over a change of the plan: what survives, moves and resets, and amounts."""

from __future__ import annotations

from datetime import UTC
from inspect import isawaitable
from pathlib import Path

import pytest

from engine.compiler.pipeline import compile_workspace
from engine.control.counts import as_json, carry, counted, lines, merged
from engine.plan.fate import fate
from engine.plan.plan import Plan
from engine.state.ledger import Ask, Ledger
from engine.state.ledger_accounts import budget_account
from engine.state.memory_ledger import MemoryLedger
from engine.state.open import open_ledger

NOW = 1_764_000_000_000  # 2025-11-24
DOLLAR = 10**9
TEAMS = "{limit: $500, window: month, per: key.tags.team}"
DAY = "{limit: $20, window: every 24h}"


def plan(root: Path, budgets: dict[str, str], limits: dict[str, str] | None = None) -> Plan:
    (root / "routes").mkdir(exist_ok=True)
    text = [
        "deployments: {a: {provider: onnx, model: smollm2-135m-instruct}}",
        f"routes: {{r: {{start: a, budgets: [{', '.join(budgets)}]}}}}" if budgets else "routes: {r: a}",
        "keys: {tags: {team: {}, kind: {}}}",
        "budgets:" if budgets else "",
        *(f"  {name}: {each}" for name, each in budgets.items()),
        "limits:" if limits else "",
        *(f"  {name}: {each}" for name, each in (limits or {}).items()),
    ]
    (root / "routes" / "r.yaml").write_text("\n".join(text) + "\n")
    (root / "engine.yaml").write_text("timezone: UTC\n")
    made, diagnostics = compile_workspace(root)
    assert made is not None, [str(each) for each in diagnostics]
    return made


@pytest.mark.parametrize(
    ("after", "told"),
    [
        ({"month": TEAMS, "day": DAY}, "2 survive"),
        ({"month": TEAMS.replace("$500", "$400"), "day": DAY}, "2 survive"),
        ({"month": TEAMS.replace("key.tags.team", "( key.tags.team )"), "day": DAY}, "2 survive"),
        (
            {"month": TEAMS.replace("month", "week"), "day": DAY},
            "1 survive; month (window month -> week) resets",
        ),
        (
            {"month": TEAMS, "day": DAY.replace("24h", "12h")},
            "1 survive; day (window every 1d -> every 12h) resets",
        ),
        (
            {"month": TEAMS.replace("$500", "5M tokens"), "day": DAY},
            "1 survive; month (unit dollars -> tokens) resets",
        ),
        (
            {"month": TEAMS.replace("key.tags.team", "key.org"), "day": DAY},
            "1 survive; month (per key.tags.team -> key.org) resets",
        ),
        ({"monthly": TEAMS[:-1] + ", was: month}", "day": DAY}, "1 survive; month moves to monthly"),
        (
            {"monthly": TEAMS.replace("month", "week")[:-1] + ", was: month}", "day": DAY},
            "1 survive; monthly (nothing comes over from month: window month -> week) begins; month ends",
        ),
        ({"monthly": TEAMS, "day": DAY}, "1 survive; monthly begins; month ends"),
        ({"day": DAY}, "1 survive; month ends"),
    ],
)
def test_what_becomes_of_budgets(after: dict[str, str], told: str, tmp_path: Path) -> None:
    old = plan(tmp_path, {"month": TEAMS, "day": DAY})
    assert str(fate(old, plan(tmp_path, after)).budgets) == told


@pytest.mark.parametrize(
    ("after", "told"),
    [
        ("{requests: 50/min, per: key.id}", "1 survive"),
        ("{requests: 100/min, tokens: 1k/min, per: key.id}", "1 survive"),
        (
            "{requests: 100/min, per: key.id, count: sliding}",
            "0 survive; l (count bucket -> sliding) resets",
        ),
        ("{requests: 100/min, per: key.org}", "0 survive; l (per key.id -> key.org) resets"),
        ("{requests: 100/min}", "0 survive; l (per key.id -> nothing) resets"),
    ],
)
def test_what_becomes_of_limits(after: str, told: str, tmp_path: Path) -> None:
    old = plan(tmp_path, {}, {"l": "{requests: 100/min, per: key.id}"})
    assert str(fate(old, plan(tmp_path, {}, {"l": after})).limits) == told


def spend(ledger: Ledger, made: Plan, **used: dict[str, float]) -> None:
    for name, parts in used.items():
        for partition, dollars in parts.items():
            account = budget_account(made.money().budgets[name], partition, NOW, UTC)
            hold = f"{name}/{partition}"
            assert ledger.reserve(hold, [Ask(account, 0)], NOW) is None
            assert ledger.settle(hold, [round(dollars * DOLLAR)], NOW) is None


@pytest.mark.parametrize(
    ("after", "told"),
    [
        (
            {"month": TEAMS, "day": DAY},
            ["day: keeps $1.50 of $20", "month: 3 teams keep $52.30, of $500 each; support $42.10"],
        ),
        (
            {"month": TEAMS.replace("$500", "$40"), "day": DAY},
            [
                "day: keeps $1.50 of $20",
                "month: 3 teams keep $52.30, of $40 each; support $42.10 (it was of $500)",
            ],
        ),
        (
            {"monthly": TEAMS[:-1] + ", was: month}", "day": DAY.replace("24h", "12h")},
            [
                "day: $1.50 no longer counts (window every 1d -> every 12h)",
                "monthly (was month): 3 teams keep $52.30, of $500 each; support $42.10",
            ],
        ),
        (
            {"day": DAY},
            ["month: $52.30 of 3 teams no longer counts (the budget is gone)", "day: keeps $1.50 of $20"],
        ),
    ],
)
async def test_the_amounts(after: dict[str, str], told: list[str], tmp_path: Path) -> None:
    old = plan(tmp_path, {"month": TEAMS, "day": DAY})
    ledger = MemoryLedger()
    spend(ledger, old, month={"support": 42.1, "sales": 10.1, "law": 0.1}, day={"": 1.5})
    new = plan(tmp_path, after)
    counts = await counted(ledger, old.money(), NOW, UTC)
    names = fate(old, new).budgets
    assert lines(old.money(), new.money(), names, counts, 20) == told
    assert lines(old.money(), new.money(), names, counts, 1) == [told[0], "... and 1 more"]


async def test_one_partition_and_little(tmp_path: Path) -> None:
    made = plan(tmp_path, {"month": TEAMS, "day": "{limit: 5k tokens, window: every 24h}"})
    ledger = MemoryLedger()
    spend(ledger, made, month={"support": 0.000_001_5}, day={"": 0.000_000_7})
    counts = await counted(ledger, made.money(), NOW, UTC)
    assert lines(made.money(), made.money(), fate(made, made).budgets, counts, 20) == [
        "day: keeps 700 tokens of 5k tokens",
        "month: team support keeps $0.000002 of $500",
    ]
    again = await counted(ledger, made.money(), NOW + 32 * 86_400_000, UTC)
    assert again == {}  # another month, another day


@pytest.mark.parametrize("state", ["memory", "sqlite:state.db"])
async def test_what_moved_stays_moved(state: str, tmp_path: Path) -> None:
    """Also of a partition that nobody asked for before the plan changed once more."""
    old = plan(tmp_path, {"month": TEAMS})
    ledger = await open_ledger(state, tmp_path, lambda: NOW / 1000)
    spend(ledger, old, month={"support": 42.1, "a/b": 1})
    moved = plan(tmp_path, {"monthly": TEAMS[:-1] + ", was: month}"})
    await carry(ledger, old.money(), moved.money(), fate(old, moved).budgets.moves, NOW, UTC)
    settled = plan(tmp_path, {"monthly": TEAMS})
    for partition, used in (("support", 42.1), ("a/b", 1), ("else", 0)):
        account = budget_account(settled.money().budgets["monthly"], partition, NOW, UTC)
        standings = ledger.look([account], NOW)
        assert not isawaitable(standings)
        assert standings[0].used == round(used * DOLLAR)
    assert ledger.open_holds() == 0
    counts = await counted(ledger, settled.money(), NOW, UTC)
    assert (counts["monthly"].partitions, counts["monthly"].used) == (2, round(43.1 * DOLLAR))
    await ledger.close()


async def test_another_unit_or_per_counts_apart(tmp_path: Path) -> None:
    """A team that is called like an organisation does not find its counts, nor do dollars count as tokens."""
    old = plan(tmp_path, {"month": TEAMS})
    ledger = MemoryLedger()
    spend(ledger, old, month={"acme": 42})
    for change in (("key.tags.team", "key.org"), ("$500", "5M tokens"), ("month", "week")):
        new = plan(tmp_path, {"month": TEAMS.replace(*change)})
        account = budget_account(new.money().budgets["month"], "acme", NOW, UTC)
        assert ledger.look([account], NOW)[0].used == 0
        assert fate(old, new).budgets.resets == ["month"]


async def test_workers_together(tmp_path: Path) -> None:
    made = plan(tmp_path, {"month": TEAMS})
    told = []
    for used in ({"support": 1, "sales": 2}, {"support": 3}):
        ledger = MemoryLedger()
        spend(ledger, made, month={name: float(dollars) for name, dollars in used.items()})
        told.append(as_json(await counted(ledger, made.money(), NOW, UTC)))
    count = merged(told)["month"]
    assert (count.partitions, count.used) == (2, 6 * DOLLAR)
    assert list(count.top.items()) == [("support", 4 * DOLLAR), ("sales", 2 * DOLLAR)]
