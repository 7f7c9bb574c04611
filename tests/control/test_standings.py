"""How budgets and limits stand: bounded, of one process and of several, as JSON and as metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from zoneinfo import ZoneInfo

import pytest

from engine.control import money_figures
from engine.control.money_figures import MoneyFigures
from engine.control.standings import Wanted, merged, told
from engine.observe.metrics import Metrics
from engine.plan.money import Budget, Limit, MoneySegment, Rate, Window
from engine.plan.values import Expr
from engine.state.ledger import Ask
from engine.state.ledger_accounts import budget_account, limit_accounts
from engine.state.memory_ledger import MemoryLedger

NOW = 1_796_119_200_000  # 2026-12-01T10:00:00Z
ZONE = ZoneInfo("Europe/Berlin")
CENT = 10_000_000

TEAMS = Budget("teams", "cost", 100 * CENT, Window("month"), per=Expr("key.tags.team", "", "", None))
WORDS = Budget("words", "tokens", 1_000, Window("rolling", 3_600_000))
KEYS = Limit("keys", requests=Rate(100, 60_000, 100), concurrent=5, scope="host")
MONEY = MoneySegment({"teams": TEAMS, "words": WORDS}, {"keys": KEYS})


def ledger(spends: dict[str, int], held: int = 0) -> MemoryLedger:
    """Partitions of `teams` that have spent so many cents, and what `team red` holds."""
    made = MemoryLedger()
    for team, cents in spends.items():
        hold = f"{team}/1"
        made.reserve(hold, [Ask(budget_account(TEAMS, team, NOW, ZONE), cents * CENT)], NOW)
        made.settle(hold, [cents * CENT], NOW)
    if held:
        made.reserve("open", [Ask(budget_account(TEAMS, "red", NOW, ZONE), held * CENT)], NOW)
    return made


def asked(made: MemoryLedger, **wanted: object) -> dict:
    found = asyncio.run(told(made, MONEY, Wanted(**wanted), NOW, ZONE))  # type: ignore[arg-type] # a test's shorthand
    return {"shared": False, "processes": 1, **found}


def test_everything_of_the_plan() -> None:
    made = ledger({"red": 40, "blue": 90}, held=20)
    account = limit_accounts(KEYS, "k1")["concurrent"]
    made.reserve("r", [Ask(account, 1)], NOW)
    document = asked(made)
    teams = document["budgets"]["teams"]
    assert {name: teams[name] for name in ("measure", "limit", "window", "per", "more")} == {
        "measure": "cost",
        "limit": 1.0,
        "window": "month",
        "per": "key.tags.team",
        "more": 0,
    }
    assert teams["partitions"] == [
        {
            "partition": "blue",
            "window": "2026-12",
            "measure": "cost",
            "limit": 1.0,
            "spent": 0.9,
            "held": 0.0,
            "lost": 0.0,
            "left": 0.1,
            "used": 0.9,
            "resets_at": "2027-01-01T00:00:00+01:00",
        },
        {
            "partition": "red",
            "window": "2026-12",
            "measure": "cost",
            "limit": 1.0,
            "spent": 0.4,
            "held": 0.2,
            "lost": 0.0,
            "left": 0.4,
            "used": 0.6,
            "resets_at": "2027-01-01T00:00:00+01:00",
        },
    ]
    assert document["budgets"]["words"] == {
        "measure": "tokens",
        "limit": 1_000,
        "window": "rolling 1h",
        "partitions": [],
        "more": 0,
    }
    keys = document["limits"]["keys"]
    assert (keys["requests"], keys["concurrent"], keys["scope"]) == ("100 in 1m", 5, "host")
    assert [(row["partition"], row["measure"], row["held"], row["left"]) for row in keys["partitions"]] == [
        ("k1", "concurrent", 1, 4)
    ]


def test_only_those_used_most() -> None:
    made = ledger({f"t{cents}": cents for cents in range(1, 80)})
    document = asked(made, most=3)["budgets"]["teams"]
    assert [row["partition"] for row in document["partitions"]] == ["t79", "t78", "t77"]
    assert document["more"] == 76
    found = asked(made, budget="teams", partition="t5", most=3)
    assert [row["spent"] for row in found["budgets"]["teams"]["partitions"]] == [0.05]
    assert (list(found["budgets"]), list(found["limits"])) == (["teams"], [])
    assert (list(asked(made, limit="keys")["budgets"]), list(asked(made, limit="keys")["limits"])) == (
        [], ["keys"],
    )  # fmt: skip


def test_what_is_counted_under_a_name_that_the_plan_has_no_more() -> None:
    made = ledger({"red": 40})
    found = asyncio.run(told(made, MoneySegment({"words": WORDS}), Wanted(), NOW, ZONE))
    assert found["budgets"]["teams"]["in_plan"] is False
    assert [row["spent"] for row in found["budgets"]["teams"]["partitions"]] == [0.4]


def test_processes_that_count_by_themselves_are_added_up() -> None:
    first, second = asked(ledger({"red": 40, "blue": 10}, held=5)), asked(ledger({"red": 20, "green": 90}))
    document = merged([first, second], 2)
    assert (document["shared"], document["processes"]) == (False, 2)
    teams = document["budgets"]["teams"]
    names = ("partition", "spent", "held", "left", "used")
    rows = [[row[name] for name in names] for row in teams["partitions"]]
    assert rows == [["green", 0.9, 0.0, 0.1, 0.9], ["red", 0.6, 0.05, 1.35, 0.45]]
    assert teams["more"] == 1


def test_what_a_store_shares_is_told_by_one() -> None:
    shared = {**asked(ledger({"red": 40})), "shared": True}
    others = {**asked(MemoryLedger()), "shared": True}
    document = merged([shared, others, others], 10)
    assert [row["spent"] for row in document["budgets"]["teams"]["partitions"]] == [0.4]
    assert document["shared"] is True


class Away(MemoryLedger):
    def rows(self, now_ms: int) -> Iterator:
        raise ConnectionError("gone")


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(money_figures, "EVERY_S", 0.0)


def scraped(made: MemoryLedger, *, counts: bool = True, speaks: bool = True) -> dict[str, float]:
    metrics = Metrics()
    figures = MoneyFigures(lambda: made, lambda: counts, lambda: speaks, lambda: NOW / 1000)
    figures.register(metrics)
    asyncio.run(figures.refresh())
    lines = [line for line in metrics.exposition().decode().splitlines() if not line.startswith("#")]
    return {
        name: float(value)
        for name, value in (line.rsplit(" ", 1) for line in lines)
        if name.startswith(("engine_budget", "engine_limit", "engine_ledger"))
    }


def test_metrics_have_no_partition_among_their_labels() -> None:
    found = scraped(ledger({"red": 40, "blue": 100, "green": 7}, held=5))
    assert found.pop("engine_ledger_read_seconds") < 1
    assert found == {
        'engine_budget_limit{budget="teams",unit="usd"}': 1.0,
        'engine_budget_spent{budget="teams",unit="usd"}': 1.47,
        'engine_budget_held{budget="teams",unit="usd"}': 0.05,
        'engine_budget_used_ratio{budget="teams",measure="cost"}': 1.0,
        'engine_budget_partitions{budget="teams",measure="cost"}': 3.0,
        'engine_budget_partitions_full{budget="teams",measure="cost"}': 1.0,
        "engine_ledger_up": 1.0,
        "engine_ledger_holds": 1.0,
    }


def test_a_store_that_is_away_is_down_and_nothing_else() -> None:
    found = scraped(Away())
    assert found["engine_ledger_up"] == 0.0
    assert not [name for name in found if "budget" in name]


def test_a_store_that_says_it_is_away() -> None:
    made = ledger({"red": 40})
    made.away = lambda: True  # type: ignore[method-assign]
    found = scraped(made)
    assert found["engine_ledger_up"] == 0.0
    assert found['engine_budget_spent{budget="teams",unit="usd"}'] == 0.4  # of what is known here


def test_without_budgets_nothing_is_read() -> None:
    assert scraped(Away(), counts=False) == {"engine_ledger_holds": 0.0}


def test_one_of_several_processes_tells_what_they_share() -> None:
    found = scraped(ledger({"red": 40}), speaks=False)
    assert not [name for name in found if "budget" in name]
