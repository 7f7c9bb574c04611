"""Tools that vendors run: held at their worst, settled by what is told, refused where nobody knows."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from engine.errors import BudgetExceeded
from engine.plan.money import Budget, MoneySegment, Window
from engine.plan.types import Ceilings
from engine.plan.vendors import Facts, PriceRow, ToolPrice

Bench = Any
Kit = Any

PRICES = (PriceRow(2_000_000_000, 6_000_000_000),)  # $2 and $6 a million
#: A use of the search: one cent.
CENT = 10_000_000
WRITTEN = 1_000
SEARCH = {"hosted": {"type": "web_search_20250305", "name": "web_search"}}
SHELL = {"hosted": {"type": "bash_20250124", "name": "bash"}}


def facts(**tools: ToolPrice) -> Facts:
    return Facts(prices=PRICES, output=WRITTEN, context=20_000, tools=tools or None)


def budgeted(bench: Any, kit: Kit, say: Any, *deployments: Any, limit: int = 10**12, **changes: Any) -> Bench:
    budget = Budget(name="b", measure=changes.pop("measure", "cost"), limit=limit, window=Window("month"))
    names = [each.name for each in deployments]
    start = kit.use(names[0]) if len(names) == 1 else kit.fallback(*map(kit.use, names))
    money = changes or {"money": MoneySegment({"b": budget}), "budgets": ("b",)}
    return bench(start, {name: [say] for name in names}, deployments=deployments, **money)


def reserved(b: Bench) -> int:
    (use,) = b.record.attempts[0].budgets
    return int(use.reserved)


def settled(b: Bench) -> int:
    (use,) = b.record.attempts[0].budgets
    return int(use.settled)


async def test_uses_and_readings_are_held(bench: Any, kit: Kit) -> None:
    """Three uses, after each of which the model reads all that it can once more."""
    b = budgeted(bench, kit, kit.Say(), kit.deployment("a", facts=facts(web_search=ToolPrice(CENT, most=3))))
    await b.run(tools=[SEARCH])
    worst = 3 * CENT + 3 * 20_000 * 2_000 + WRITTEN * 6_000
    assert worst < reserved(b) < worst + 5_000 * 2_000


async def test_what_a_use_reads_may_be_bounded(bench: Any, kit: Kit) -> None:
    price = ToolPrice(CENT, most=3, reads=100)
    b = budgeted(bench, kit, kit.Say(), kit.deployment("a", facts=facts(web_search=price)))
    await b.run(tools=[SEARCH])
    assert reserved(b) < 3 * CENT + 4 * 5_000 * 2_000 + WRITTEN * 6_000


async def test_uses_that_are_told_are_settled(bench: Any, kit: Kit) -> None:
    usage = {"input_tokens": 10, "output_tokens": 5, "tool_uses": {"web_search": 2}}
    b = budgeted(
        bench, kit, kit.Say(usage=usage), kit.deployment("a", facts=facts(web_search=ToolPrice(CENT, most=3)))
    )
    await b.run(tools=[SEARCH])
    assert settled(b) == 10 * 2_000 + 5 * 6_000 + 2 * CENT
    assert b.record.attempts[0].cost.tools == 2 * CENT


async def test_uses_that_nobody_tells_are_settled_at_their_most(bench: Any, kit: Kit) -> None:
    b = budgeted(bench, kit, kit.Say(), kit.deployment("a", facts=facts(web_search=ToolPrice(CENT, most=3))))
    await b.run(tools=[SEARCH])
    assert settled(b) == 10 * 2_000 + 5 * 6_000 + 3 * CENT


async def test_a_tool_that_the_client_runs_costs_its_tokens(bench: Any, kit: Kit) -> None:
    b = budgeted(bench, kit, kit.Say(), kit.deployment("a", facts=facts(bash=ToolPrice(most=0))))
    await b.run(tools=[SHELL])
    assert reserved(b) < 5_000 * 2_000 + WRITTEN * 6_000
    assert settled(b) == 10 * 2_000 + 5 * 6_000


@pytest.mark.parametrize(
    ("known", "told"),
    [
        ({}, "tools: {web_search: {use: $0.01, most: 5}}"),
        ({"bash": ToolPrice(most=0)}, "what that costs at a is counted here and not known"),
        ({"web_search": ToolPrice(CENT)}, "have the `price` of a say `most` of `web_search`"),
    ],
)
async def test_what_nobody_bounds_is_refused(
    bench: Any, kit: Kit, known: dict[str, ToolPrice], told: str
) -> None:
    b = budgeted(bench, kit, kit.Say(), kit.deployment("a", facts=facts(**known)))
    error = await b.fails(tools=[SEARCH])
    assert (error.status, error.code, error.param) == (400, "not_admitted", "tools")
    assert "`web_search_20250305`" in error.message
    assert told in error.message
    assert b.upstream.calls == []


async def test_a_ceiling_counts_them_too(bench: Any, kit: Kit) -> None:
    ceiling = {"per_request": Ceilings(cost=10**9)}
    b = budgeted(bench, kit, kit.Say(), kit.deployment("a", facts=facts()), **ceiling)
    assert (await b.fails(tools=[SEARCH])).status == 400


async def test_where_nothing_counts_any_tool_may_run(bench: Any, kit: Kit) -> None:
    b = bench(kit.use("a"), {"a": [kit.Say()]}, deployments=(kit.deployment("a", facts=facts()),))
    await b.run(tools=[SEARCH])
    assert b.record.served_by == "a"


async def test_a_target_that_knows_its_price_serves(bench: Any, kit: Kit) -> None:
    b = budgeted(
        bench, kit, kit.Say(), kit.deployment("a", facts=facts()),
        kit.deployment("c", facts=facts(web_search=ToolPrice(CENT, most=1))),
    )  # fmt: skip
    await b.run(tools=[SEARCH])
    assert b.record.served_by == "c"
    assert "not known" in b.record.path[0].why


async def test_what_costs_nothing_or_is_not_counted_may_run(bench: Any, kit: Kit) -> None:
    free = Facts(prices=(PriceRow(0, 0),), output=WRITTEN)
    for deployment in (kit.deployment("a", facts=free), kit.deployment("a", facts=facts(), uncounted=True)):
        b = budgeted(bench, kit, kit.Say(), deployment)
        await b.run(tools=[SEARCH])
        assert settled(b) == (0 if deployment.facts is free else 10 * 2_000 + 5 * 6_000)


async def test_a_budget_of_tokens_counts_the_readings(bench: Any, kit: Kit) -> None:
    """What a use costs is nothing to it; how often the model reads again is."""
    deployment = kit.deployment("a", facts=facts(web_search=ToolPrice(CENT, most=2)))
    b = budgeted(bench, kit, kit.Say(), deployment, measure="tokens")
    await b.run(tools=[SEARCH])
    assert reserved(b) > 2 * 20_000 + WRITTEN
    unbounded = kit.deployment("a", facts=facts(web_search=ToolPrice(CENT)))
    b = budgeted(bench, kit, kit.Say(), unbounded, measure="tokens")
    assert (await b.fails(tools=[SEARCH])).status == 400


async def test_a_hundred_at_once_never_overspend(bench: Any, kit: Kit) -> None:
    """Though every one of them uses its tool as often as it may, and reads as much."""
    usage = {"input_tokens": 42_000, "output_tokens": WRITTEN, "tool_uses": {"web_search": 2}}
    deployment = kit.deployment("a", facts=facts(web_search=ToolPrice(CENT, most=2)))
    limit = 10**9
    b = budgeted(bench, kit, kit.Say(first=5, usage=usage), deployment, limit=limit)

    async def ask(number: int) -> None:
        asked = b.inbound(tools=[SEARCH])
        asked.request_id = str(number)
        await b.run(asked)

    ends = await asyncio.gather(*map(ask, range(100)), return_exceptions=True)
    assert ends.count(None) > 1
    assert all(isinstance(end, BudgetExceeded) for end in ends if end is not None)
    ((_, seen),) = b.ledger.rows(int(b.clock.wall() * 1000))
    assert seen.spent <= limit
