"""Budgets through the executor: what is held, settled, refused, and where their jumps lead."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from engine.errors import BudgetExceeded
from engine.kinds.ensemble import Ensemble
from engine.kinds.hedge import Hedge
from engine.kinds.jumps import Jump, Jumps
from engine.kinds.mirror import Mirror
from engine.plan.money import Budget, BudgetStep, MoneySegment, Window
from engine.plan.types import Call, Ceilings, Concurrent, Node, Streaming
from engine.plan.values import Expr
from engine.plan.vendors import Costs, Dialect, Facts, ImageTokens, PriceRow
from engine.runtime.views import Key, Texts
from engine.state.ledger import Ask, Refused
from engine.state.memory_ledger import MemoryLedger
from engine.wire.dialect import BoundDialect

Bench = Any
Kit = Any
Maker = Callable[..., Bench]
Waiter = Callable[[Callable[[], bool]], Awaitable[None]]

#: What a call of `conftest.deployment` costs: 10 and 5 tokens at $2 and $6 a million.
COST = 10 * 2_000 + 5 * 6_000
#: Its worst case: 1,000 tokens of output, and the input.
WORST = 1_000 * 6_000
FREE = Facts(prices=(PriceRow(0, 0, 0, 0),), output=1_000)
CHEAP = Facts(prices=(PriceRow(0, 1_000_000),), output=1_000)
UNPRICED = Facts(output=1_000)
#: A dialect that carries nothing.
NOTHING: Any = {"operations": {}, "finish": {}, "usage": {}, "errors": (), "error_read": None,
                "error_write": None, "error_types": {}, "models_write": None, "can": (),
                "ledger": {}}  # fmt: skip


@pytest.fixture(name="bench", params=["at once", "asked"])
def _bench(bench: Maker, kit: Kit, request: pytest.FixtureRequest) -> Maker:
    """Every test runs on a ledger that answers at once, and on one that has to be asked."""
    if request.param == "at once":
        return bench
    return partial(bench, ledger=kit.Asked)


def budget(name: str = "b", limit: int = 10 * WORST, **changes: Any) -> Budget:
    return Budget(**{"name": name, "measure": "cost", "limit": limit, "window": Window("month"), **changes})


def money(*budgets: Budget) -> dict[str, Any]:
    """Arguments of a bench whose route has these budgets."""
    return {
        "money": MoneySegment({each.name: each for each in budgets}),
        "budgets": tuple(each.name for each in budgets),
    }


def per(parameter: int, name: str, scope: str = "route") -> Expr:
    get = "a" if scope == "route" else "g"
    return Expr(source=name, scope=scope, type="string", ir=[get, ["p", parameter], name])


def standing(b: Bench) -> dict[str, tuple[int, int]]:
    """`budget/partition` -> (spent, held)."""
    found = {}
    for account, seen in b.ledger.rows(int(b.clock.wall() * 1000)):
        _, name, _, partition = account.key.split("/", 3)
        found[f"{name}/{partition}"] = seen.spent, seen.held
    return found


def spent(b: Bench) -> dict[str, int]:
    return {key: settled for key, (settled, _) in standing(b).items()}


async def test_what_an_attempt_holds_is_settled_with_what_it_used(
    bench: Maker, kit: Kit, until: Waiter
) -> None:
    b = bench(kit.use("a"), {"a": [kit.Say(first=50)]}, **money(budget()))
    asked = asyncio.create_task(b.run())
    await until(lambda: b.upstream.calls == ["a"])
    (held,) = standing(b).values()
    assert held[0] == 0
    assert held[1] >= WORST
    await asked
    assert standing(b) == {"b/": (COST, 0)}
    (entry,) = b.record.attempts
    (use,) = entry.budgets
    assert (use.name, use.partition, use.measure, use.settled) == ("b", "", "cost", COST)
    assert use.reserved == entry.reserved == held[1]


async def test_a_stream_is_settled_from_its_usage(bench: Maker, kit: Kit) -> None:
    b = bench(kit.use("a"), {"a": [kit.Say()]}, **money(budget()))
    await b.read(await b.run(stream=True))
    assert spent(b) == {"b/": COST}


async def test_tokens_are_counted_in_tokens(bench: Maker, kit: Kit) -> None:
    b = bench(kit.use("a"), {"a": [kit.Say()]}, **money(budget(measure="tokens", limit=5_000)))
    await b.run()
    assert spent(b) == {"b/": 15}
    assert b.record.attempts[0].budgets[0].reserved > 1_000


async def test_all_budgets_hold_and_the_strictest_refuses(bench: Maker, kit: Kit) -> None:
    b = bench(
        kit.use("a"),
        {"a": [kit.Say()]},
        **money(budget("wide"), budget("narrow", WORST + 100_000, window=Window("day"))),
    )
    await b.run()
    error = await b.fails()
    assert isinstance(error, BudgetExceeded)
    assert (error.budget, error.partition, error.status, error.code) == ("narrow", "", 402, "budget_exceeded")
    assert spent(b) == {"wide/": COST, "narrow/": COST}
    # 14 hours are left of that day.
    assert error.retry_after_ms == 14 * 3_600_000
    assert "2025-12-02T00:00:00+00:00" in error.message
    assert "$0.0061" in error.message
    assert not b.record.attempts


async def test_what_never_fits_names_no_moment(bench: Maker, kit: Kit) -> None:
    b = bench(kit.use("a"), {"a": [kit.Say()]}, **money(budget(limit=1_000)))
    error = await b.fails()
    assert (error.status, error.retry_after_ms) == (402, None)
    assert "max_tokens" in error.message


async def test_a_free_call_always_fits(bench: Maker, kit: Kit) -> None:
    b = bench(
        kit.use("a"),
        {"a": [kit.Say()]},
        deployments=(kit.deployment("a", facts=FREE),),
        **money(budget(limit=0)),
    )
    await b.run()
    assert b.record.served_by == "a"


async def test_a_cheaper_target_may_fit(bench: Maker, kit: Kit) -> None:
    b = bench(
        kit.fallback(kit.use("a"), kit.use("c")),
        {"a": [kit.Say()], "c": [kit.Say()]},
        deployments=(kit.deployment("a"), kit.deployment("c", facts=CHEAP)),
        **money(budget(limit=WORST)),
    )
    await b.run()
    assert b.record.served_by == "c"
    assert "`b` has no room" in b.record.path[0].why


async def test_a_call_that_failed_is_told_before_a_budget(bench: Maker, kit: Kit) -> None:
    b = bench(
        kit.fallback(kit.use("c", retry_extra=0), kit.use("a")),
        {"a": [kit.Say()], "c": [kit.Fail("overloaded")]},
        deployments=(kit.deployment("a"), kit.deployment("c", facts=CHEAP)),
        **money(budget(limit=WORST)),
    )
    assert (await b.fails()).code == "overloaded"


async def test_who_may_have_room_in_a_moment_is_told_before_a_budget(
    bench: Maker, kit: Kit, until: Waiter
) -> None:
    """The free target is taken for a moment: nobody should wait for the end of the month."""
    b = bench(
        kit.fallback(kit.use("a"), kit.use("c")),
        {"a": [kit.Say()], "c": [kit.Say(first=50)]},
        deployments=(
            kit.deployment("a"),
            kit.deployment("c", facts=FREE, concurrent=Concurrent(most=1)),
        ),
        **money(budget(limit=1_000)),
    )
    asked = asyncio.create_task(b.run())
    await until(lambda: b.upstream.calls == ["c"])
    error = await b.fails()
    assert (error.status, error.code) == (503, "no_candidate")
    assert error.retry_after_ms == 1_000
    await asked


async def test_what_nobody_knows_the_price_of_is_not_called(bench: Maker, kit: Kit) -> None:
    b = bench(
        kit.use("a"),
        {"a": [kit.Say()]},
        deployments=(kit.deployment("a", facts=UNPRICED),),
        **money(budget()),
    )
    error = await b.fails()
    assert (error.status, error.code) == (503, "no_candidate")
    assert "nobody knows what a call there may cost" in error.message
    assert b.upstream.calls == []


# --- partitions -----------------------------------------------------------------------------------------


async def test_each_value_of_per_has_its_own(bench: Maker, kit: Kit) -> None:
    b = bench(kit.use("a"), {"a": [kit.Say()]}, **money(budget(limit=WORST + 100_000, per=per(1, "org"))))
    for org in ("acme", "globex"):
        inbound = b.inbound()
        inbound.key = Key("k", "k", org, Texts())
        await b.run(inbound)
    assert spent(b) == {"b/acme": COST, "b/globex": COST}
    inbound.request_id = "another"
    error = await b.fails(inbound)
    assert isinstance(error, BudgetExceeded)
    assert error.partition == "globex"
    assert "(globex)" in error.message


async def test_a_long_value_is_kept_in_short(bench: Maker, kit: Kit) -> None:
    """Whatever a client sends: neither a record nor a store nor a message holds all of it."""
    b = bench(kit.use("a"), {"a": [kit.Say()]}, **money(budget(limit=WORST + 100_000, per=per(0, "user"))))
    for ending in ("x", "y"):
        await b.run(user="u" * 100_000 + ending)
    first, second = (record.attempts[0].budgets[0].partition for record in b.records)
    assert first != second
    assert len(first) == len(second) == 200
    assert set(spent(b)) == {f"b/{first}", f"b/{second}"}
    error = await b.fails(user="u" * 100_000 + "x")
    assert len(error.message) < 500


@pytest.mark.parametrize("missing", ["reject", "share"])
async def test_a_request_without_a_value(bench: Maker, kit: Kit, missing: str) -> None:
    b = bench(kit.use("a"), {"a": [kit.Say()]}, **money(budget(per=per(1, "org"), missing=missing)))
    if missing == "share":
        await b.run()
        assert spent(b) == {"b/": COST}
    else:
        error = await b.fails()
        assert (error.status, error.code) == (403, "budget_partition_missing")
        assert "`b` is kept by `org`" in error.message


async def test_a_partition_may_be_the_deployments(bench: Maker, kit: Kit) -> None:
    b = bench(
        kit.fallback(kit.use("a", retry_extra=0), kit.use("c")),
        {"a": [kit.Fail("timeout")], "c": [kit.Say()]},
        **money(budget(per=per(4, "name", "budget"))),
    )
    await b.run()
    assert set(spent(b)) == {"b/a", "b/c"}


# --- what failed, and what may be billed all the same ----------------------------------------------------


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(
    ("failure", "billed"),
    [("connect", False), ("overloaded", False), ("server", False), ("timeout", True), ("cut", True)],
)
async def test_a_failure(bench: Maker, kit: Kit, failure: str, billed: bool, stream: bool) -> None:
    b = bench(kit.use("a", retry_extra=0), {"a": [kit.Fail(failure)]}, **money(budget()))
    await b.fails(stream=stream)
    (entry,) = b.record.attempts
    (use,) = entry.budgets
    if not billed:
        assert (entry.closed, use.settled) == ("released", 0)
        return
    assert (entry.closed, entry.estimated) == ("settled", True)
    assert use.settled == entry.cost.total
    # Of a stream nothing was written; of an answer in one piece nobody knows.
    assert (use.settled == use.reserved) is not stream
    assert use.settled


async def test_a_connection_that_was_never_there(bench: Maker, kit: Kit) -> None:
    b = bench(kit.use("a", retry_extra=0), {"a": [kit.Fail("timeout", unsent=True)]}, **money(budget()))
    await b.fails()
    assert b.record.attempts[0].budgets[0].settled == 0


@pytest.mark.parametrize("thinks", [False, True])
async def test_a_stream_of_a_model_that_thinks_first(bench: Maker, kit: Kit, thinks: bool) -> None:
    facts = Facts(prices=kit.deployment("a").facts.prices, output=1_000, efforts=("low",) if thinks else None)
    b = bench(
        kit.use("a", retry_extra=0),
        {"a": [kit.Fail("timeout")]},
        deployments=(kit.deployment("a", facts=facts),),
        **money(budget()),
    )
    await b.fails(stream=True)
    (use,) = b.record.attempts[0].budgets
    assert (use.settled == use.reserved) is thinks


@pytest.mark.parametrize("how", ["left", "cut", "held back"])
@pytest.mark.parametrize("thinks", [False, True])
async def test_thoughts_before_the_first_word_are_not_free(
    bench: Maker, kit: Kit, thinks: bool, how: str
) -> None:
    """Whoever leaves at the first word would have them for nothing."""
    facts = Facts(prices=kit.deployment("a").facts.prices, output=1_000, efforts=("low",) if thinks else None)
    b = bench(
        kit.use("a", retry_extra=0),
        {"a": [kit.Say("one", "two", end="usage" if how == "left" else "cut")]},
        deployments=(kit.deployment("a", facts=facts),),
        stream=Streaming(switch_until="complete" if how == "held back" else "first_token"),
        **money(budget()),
    )
    if how == "held back":
        await b.fails(stream=True)
    else:
        answer = await b.run(stream=True)
        if how == "cut":
            await b.read(answer)
        else:
            await anext(answer.flow)
            await answer.flow.close()
    (entry,) = b.record.attempts
    assert (entry.usage["output_tokens"] == 1_000) is thinks


async def test_a_stream_that_breaks_pays_for_what_came(bench: Maker, kit: Kit) -> None:
    b = bench(kit.use("a"), {"a": [kit.Say("some words", " and more", end="cut")]}, **money(budget()))
    await b.read(await b.run(stream=True))
    (entry,) = b.record.attempts
    assert entry.estimated
    assert 0 < entry.usage["output_tokens"] < 100
    assert spent(b) == {"b/": entry.cost.total}


async def test_every_retry_is_held_and_settled_once(bench: Maker, kit: Kit) -> None:
    b = bench(
        kit.use("a", retry_extra=2, retry_failures=("timeout",)),
        {"a": [kit.Fail("timeout"), kit.Fail("timeout"), kit.Say()]},
        **money(budget()),
    )
    await b.run()
    settled = [use.settled for attempt in b.record.attempts for use in attempt.budgets]
    assert len(settled) == 3
    assert spent(b) == {"b/": sum(settled)}
    assert b.record.cost == sum(settled)


@pytest.mark.parametrize("moment", ["before a byte", "in the stream"])
async def test_a_client_that_leaves(bench: Maker, kit: Kit, until: Waiter, moment: str) -> None:
    b = bench(kit.use("a"), {"a": [kit.Say("one", "two", first=50, every=500)]}, **money(budget()))
    if moment == "in the stream":
        answer = await b.run(stream=True)
        await anext(answer.flow)
        await anext(answer.flow)
        await answer.flow.close()
    else:
        asked = asyncio.create_task(b.run())
        await until(lambda: b.upstream.calls == ["a"])
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
    (entry,) = b.record.attempts
    assert (entry.closed, entry.estimated) == ("settled", True)
    assert spent(b) == {"b/": entry.cost.total}
    assert entry.cost.total > 0


@pytest.mark.parametrize("turns", range(1, 60))
async def test_a_client_may_leave_at_any_moment(bench: Maker, kit: Kit, turns: int) -> None:
    """Between any two turns of the loop: nothing stays held, and what was sent is paid for."""
    steps = (BudgetStep(0.1, alert="ops"), BudgetStep(0.5, use="c"))
    start = jumping(kit, kit.use("a", retry_extra=0), "c")
    b = bench(start, {"a": [kit.Fail("timeout")], "c": [kit.Say()]}, **money(budget(steps=steps)))
    asked = asyncio.create_task(b.run())
    for _ in range(turns):
        await asyncio.sleep(0)
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    for _ in range(4):  # what was asked of the ledger meanwhile comes to its end
        await asyncio.sleep(0)
    assert b.ledger.open_holds() == 0
    paid = sum(use.settled or 0 for attempt in b.record.attempts for use in attempt.budgets)
    assert sum(spent(b).values()) == paid
    assert (paid > 0) is bool(b.upstream.calls)


# --- all that a request causes ----------------------------------------------------------------------------


async def test_the_loser_of_a_race_pays_too(bench: Maker, kit: Kit) -> None:
    hedge = Hedge("r/hedge", Call(), (kit.use("a"), kit.use("c")), 100)
    b = bench(hedge, {"a": [kit.Say(first=900)], "c": [kit.Say(first=50)]}, **money(budget()))
    await b.run()
    lost, won = b.record.attempts
    assert lost.budgets[0].settled == lost.budgets[0].reserved
    assert won.budgets[0].settled == COST
    assert spent(b) == {"b/": lost.cost.total + won.cost.total}


async def test_members_and_judge_of_an_ensemble(bench: Maker, kit: Kit) -> None:
    node = Ensemble(
        id="r/ensemble",
        call=Call(),
        children=(kit.use("a"), kit.use("c")),
        weights=(1.0, 1.0),
        merge="judge",
        judge=kit.use("j"),
    )
    script = {"a": [kit.Say("one")], "c": [kit.Say("two")], "j": [kit.Say("1")]}
    b = bench(node, script, **money(budget()))
    await b.run()
    assert [a.role for a in b.record.attempts] == ["answer", "answer", "judge"]
    assert spent(b) == {"b/": 3 * COST}


async def test_a_copy_pays_for_itself(bench: Maker, kit: Kit, until: Waiter) -> None:
    node = Mirror("r/mirror", Call(), kit.use("a"), kit.use("c"))
    b = bench(node, {"a": [kit.Say()], "c": [kit.Say()]}, **money(budget()))
    await b.run()
    await until(lambda: len(b.executor.asides) == 0)
    assert spent(b) == {"b/": 2 * COST}
    assert [each.cost for each in b.records] == [COST, COST]


async def test_a_continuation_pays_for_itself(bench: Maker, kit: Kit) -> None:
    facts = Facts(prices=kit.deployment("a").facts.prices, output=1_000, can=("stream", "prefill"))
    b = bench(
        kit.fallback(kit.use("a"), kit.use("c")),
        {"a": [kit.Say("some words", end="cut")], "c": [kit.Say("and more")]},
        deployments=tuple(kit.deployment(name, facts=facts) for name in "ac"),
        stream=Streaming(on_cut="continue"),
        **money(budget()),
    )
    await b.read(await b.run(stream=True))
    assert len(b.record.attempts) > 1
    assert spent(b) == {"b/": b.record.cost}


async def test_a_hundred_at_once_never_overspend(bench: Maker, kit: Kit) -> None:
    b = bench(kit.use("a"), {"a": [kit.Say(first=50)]}, **money(budget(limit=7 * (WORST + 100_000))))
    ends = await asyncio.gather(*(b.run() for _ in range(100)), return_exceptions=True)
    served = [each for each in ends if not isinstance(each, BaseException)]
    assert len(served) == 7
    assert all(isinstance(each, BudgetExceeded) for each in ends if isinstance(each, BaseException))
    assert spent(b) == {"b/": 7 * COST}


async def test_per_request_cost(bench: Maker, kit: Kit) -> None:
    """Over all attempts: what was spent, what is held and the next worst case."""
    b = bench(
        kit.use("a", retry_extra=5, retry_failures=("timeout",)),
        {"a": [kit.Fail("timeout")]},
        per_request=Ceilings(cost=3 * (WORST + 100_000)),
    )
    await b.fails()
    assert len(b.record.attempts) == 3
    assert b.record.status == 504
    assert b.record.cost <= 3 * (WORST + 100_000)
    c = bench(kit.use("a"), {"a": [kit.Say()]}, per_request=Ceilings(cost=WORST))
    error = await c.fails()
    assert (error.status, error.code, error.retry_after_ms) == (402, "budget_exceeded", None)
    assert "per_request.cost is $0.006" in error.message


async def test_per_request_cost_counts_branches_together(bench: Maker, kit: Kit) -> None:
    node = Ensemble(
        id="r/ensemble",
        call=Call(),
        children=tuple(kit.use(name) for name in "acd"),
        weights=(1.0, 1.0, 1.0),
        merge="longest",
    )
    b = bench(node, {n: [kit.Say()] for n in "acd"}, per_request=Ceilings(cost=2 * (WORST + 100_000)))
    await b.run()
    assert len(b.record.attempts) == 2


# --- jumps and alerts -----------------------------------------------------------------------------------


def jumping(kit: Kit, start: Node, *names: str, before: bool = True, after: bool = True) -> Jumps:
    branches = (Jump(name, kit.use(name), "of b", before=before, after=after) for name in names)
    return Jumps("r/jumps", Call(), start, tuple(branches))


async def test_a_step_below_the_end_leads_elsewhere(bench: Maker, kit: Kit, until: Waiter) -> None:
    """What is held counts: two thirds of the budget, while two calls are under way."""
    b = bench(
        jumping(kit, kit.use("a"), "c"),
        {"a": [kit.Say(first=100)], "c": [kit.Say()]},
        deployments=(kit.deployment("a"), kit.deployment("c", facts=FREE)),
        **money(budget(limit=3 * WORST, steps=(BudgetStep(0.5, use="c"),))),
    )
    first = asyncio.create_task(b.run())
    await until(lambda: len(b.upstream.calls) == 1)
    second = asyncio.create_task(b.run())
    await until(lambda: len(b.upstream.calls) == 2)
    await b.run()
    assert b.record.served_by == "c"
    assert b.record.path[0].what == "jumped"
    assert "beyond 50%" in b.record.path[0].why
    await asyncio.gather(first, second)
    await b.run()
    assert b.record.served_by == "a", "they have used far less than they held"


async def test_the_last_step_leads_elsewhere_where_nothing_fits(bench: Maker, kit: Kit) -> None:
    b = bench(
        jumping(kit, kit.use("a"), "c"),
        {"a": [kit.Say()], "c": [kit.Say()]},
        deployments=(kit.deployment("a"), kit.deployment("c", facts=CHEAP)),
        **money(budget(limit=WORST, steps=(BudgetStep(1.0, use="c"),))),
    )
    await b.run()
    assert b.record.served_by == "c"
    assert [s.what for s in b.record.path] == ["skipped", "jumped"]
    assert list(spent(b)) == ["b/"]  # what it spends counts on


async def test_no_jump_is_taken_twice(bench: Maker, kit: Kit) -> None:
    steps = (BudgetStep(1.0, use="c"),), (BudgetStep(1.0, use="d"),)
    b = bench(
        jumping(kit, kit.use("a"), "c", "d"),
        {name: [kit.Say()] for name in "acd"},
        **money(*(budget(f"b{n}", WORST, steps=steps[n]) for n in range(2))),
    )
    error = await b.fails()
    assert error.code == "budget_exceeded"
    assert [s.what for s in b.record.path].count("jumped") <= 2
    assert b.upstream.calls == []


class Away(MemoryLedger):
    """A store that does not answer."""

    def reserve(self, hold: str, asks: Sequence[Ask], now_ms: int) -> Refused | None:
        paid = [ask for ask in asks if ask.amount]
        return Refused(paid[0].account, "store", 0, 2_000) if paid else super().reserve(hold, asks, now_ms)


@pytest.mark.parametrize("free", [False, True])
async def test_a_store_that_is_away(bench: Maker, kit: Kit, free: bool) -> None:
    """It refuses what costs something, and no jump is made for that; what is free is served."""
    start = kit.fallback(kit.use("a"), kit.use("c")) if free else kit.use("a")
    b = bench(
        jumping(kit, start, "c"),
        {"a": [kit.Say()], "c": [kit.Say()]},
        deployments=(kit.deployment("a"), kit.deployment("c", facts=FREE)),
        ledger=lambda _: Away(),
        **money(budget(steps=(BudgetStep(1.0, use="c"),))),
    )
    if free:
        await b.run()
        assert b.record.served_by == "c"
        return
    error = await b.fails()
    assert (error.status, error.code, error.retry_after_ms) == (503, "state_unavailable", 2_000)
    assert "`b` cannot be asked now" in error.message


async def test_where_somebody_failed_the_jump_still_serves(bench: Maker, kit: Kit) -> None:
    b = bench(
        jumping(kit, kit.fallback(kit.use("f", retry_extra=0), kit.use("a")), "c"),
        {"f": [kit.Fail("overloaded")], "a": [kit.Say()], "c": [kit.Say()]},
        deployments=(
            kit.deployment("f", facts=CHEAP),
            kit.deployment("a"),
            kit.deployment("c", facts=FREE),
        ),
        **money(budget(limit=WORST, steps=(BudgetStep(1.0, use="c"),))),
    )
    await b.run()
    assert b.record.served_by == "c"


async def test_alerts_at_steps(bench: Maker, kit: Kit) -> None:
    told: list[tuple[str, str, float]] = []
    steps = (BudgetStep(0.5, alert="ops"), BudgetStep(1.0, alert="boss"))
    b = bench(
        kit.use("a"),
        {"a": [kit.Say(first=50)]},
        alerts=lambda budget, partition, step, standing: told.append((budget, partition, step.at)),
        **money(budget(limit=3 * WORST, steps=steps)),
    )
    ends = await asyncio.gather(*(b.run() for _ in range(3)), return_exceptions=True)
    assert [isinstance(end, BudgetExceeded) for end in ends] == [False, False, True]
    assert set(told) == {("b", "", 0.5), ("b", "", 1.0)}


async def test_windows_begin_anew(bench: Maker, kit: Kit) -> None:
    b = bench(
        kit.use("a"),
        {"a": [kit.Say()]},
        **money(budget(limit=WORST + 100_000, window=Window("every", 3_600_000))),
    )
    await b.run()
    error = await b.fails()
    await b.clock.sleep(error.retry_after_ms or 0)
    await b.run()
    assert b.record.served_by == "a"


async def test_a_probe_counts_in_what_holds_for_every_call(bench: Maker, kit: Kit, until: Waiter) -> None:
    every = budget("floor", per=per(1, "org"))
    b = bench(kit.use("a"), {"a": [kit.Say()]}, money=MoneySegment({"floor": every}, {}, ("floor",)))
    await b.executor.probes.ask(b.snapshot, "a")
    assert spent(b) == {"floor/": b.record.cost}
    assert b.record.cost


async def test_half_a_character_is_a_value_of_per(bench: Maker, kit: Kit) -> None:
    b = bench(kit.use("a"), {"a": [kit.Say()]}, **money(budget(per=per(0, "user"))))
    await b.run(user="\ud800")
    (partition,) = spent(b)
    partition.encode()
    assert partition.startswith("b/?#")


@pytest.mark.parametrize(
    ("part", "more"),
    [
        ({"file_id": "f-1"}, 50_000),
        ({"type": "audio", "data": "x" * 400_000, "format": "mp3"}, 10_000),
        ({"type": "audio", "data": "x" * 400_000, "format": "flac"}, 50_000),
        ({"data": "x" * 30_000, "media_type": "text/plain"}, 30_000),
        ({"data": "x" * 900_000, "media_type": "text/plain"}, 50_000),
        ({"data": "x" * 3_000, "media_type": "application/pdf"}, 50_000),
        ({"type": "native", "provider_data": {"type": "text", "text": "x" * 3_000}}, 3_000),
        ({"type": "native", "provider_data": {"source": {"url": "https://a.example"}}}, 50_000),
    ],
)
async def test_a_file_is_held_as_far_as_it_may_be_read(
    bench: Maker, kit: Kit, part: dict[str, str], more: int
) -> None:
    """A model reads as much of it as it can, and the vendor bills that."""
    facts = Facts(prices=kit.deployment("a").facts.prices, output=1_000, context=50_000)
    b = bench(
        kit.use("a"), {"a": [kit.Say()]}, deployments=(kit.deployment("a", facts=facts),),
        **money(budget(limit=10**12)),
    )  # fmt: skip
    asked = b.inbound()
    asked.request["messages"] = [{"role": "user", "content": [{"type": "file", **part}]}]
    await b.run(asked)
    (use,) = b.record.attempts[0].budgets
    assert use.reserved >= more * 2_000 + WORST


async def test_an_image_is_held_as_its_vendor_bills_it(bench: Maker, kit: Kit) -> None:
    """However many run at once, and though each is billed as the largest image."""
    prices = kit.deployment("a").facts.prices
    facts = Facts(prices=prices, output=1_000, image=ImageTokens(36_000, patch=32, times=1.0))
    largest = {"input_tokens": 36_010, "output_tokens": 1_000}
    limit = 4 * WORST + 4 * 36_000 * 2_000
    b = bench(
        kit.use("a"), {"a": [kit.Say(usage=largest)]}, deployments=(kit.deployment("a", facts=facts),),
        **money(budget(limit=limit)),
    )  # fmt: skip

    async def ask(number: int) -> None:
        asked = b.inbound()
        asked.request_id = str(number)
        part = {"type": "image", "url": "https://a.example/large.png"}
        asked.request["messages"] = [{"role": "user", "content": [part]}]
        await b.run(asked)

    ends = await asyncio.gather(*map(ask, range(20)), return_exceptions=True)
    assert 1 <= ends.count(None) <= 4
    assert all(isinstance(end, BudgetExceeded) for end in ends if end is not None)
    assert spent(b)["b/"] <= limit


async def test_a_conversation_that_the_vendor_keeps_is_held_as_far_as_it_may_be_read(kit: Kit) -> None:
    facts = Facts(prices=kit.deployment("a").facts.prices, output=1_000, context=50_000)
    b = kit.Bench(kit.use("a"), {"a": [kit.Say()]}, deployments=(kit.deployment("a", facts=facts),))
    place = b.snapshot.route("r").places["a"]
    spoken = BoundDialect(Dialect(**NOTHING, name="kept", costs=Costs(elsewhere=("earlier", "in.of=kept"))))
    b.snapshot.dialects = {"kept": SimpleNamespace(bound=spoken)}
    for body, held in (({}, None), ({"earlier": "r-1"}, 50_000), ({"in": [{"of": "kept"}]}, 50_000)):
        run = b.executor._begin(b.snapshot, b.inbound())
        run.take(b.snapshot.route("r"))
        run.inbound.dialect, run.inbound.body = "kept", body
        assert run.most_input(place) == (held or run.view.input_tokens)
