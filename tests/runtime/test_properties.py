"""Random graphs under random outcomes: what must hold whatever is written and whatever happens."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.errors import EngineError
from engine.kinds.balance import Sticky
from engine.kinds.cache import Cache
from engine.kinds.cascade import Cascade, Check
from engine.kinds.classify import Classify, Label
from engine.kinds.ensemble import Ensemble
from engine.kinds.hedge import Hedge
from engine.kinds.jumps import Jump, Jumps
from engine.kinds.mirror import Mirror
from engine.kinds.split import Layout, Split, SplitArm
from engine.plan.money import Budget, BudgetStep, MoneySegment, Window
from engine.plan.types import Call, Ceilings, Concurrent, Node, Streaming
from engine.plan.values import Expr
from engine.policies.shares import lay_out, points_of
from engine.runtime.sinks import as_json

NAMES = "abcd"
#: A call's worst case: 1,000 tokens of output at $6 a million, and the input.
WORST = 6_200_000
SHORT = Expr(
    source="answer.length < 20",
    scope="answer",
    type="bool",
    ir=["cmp", "<", ["a", ["p", 4], "length"], ["c", 20], "plain"],
)
FAILURES = ["rate_limited", "overloaded", "timeout", "connect", "server", "auth", "context_length",
            "content_policy", "bad_request", "cut"]  # fmt: skip
RANKS = ["weight", "round_robin", "in_flight", "latency", "cost", "quality", "headroom", "sticky"]
KEY = Expr(source="request.model", scope="route", type="string", ir=["a", ["p", 0], "model"])

PLAYS = st.lists(
    st.one_of(
        st.tuples(st.just("fail"), st.sampled_from(FAILURES), st.sampled_from([0, 50, 5_000]),
                  st.sampled_from([None, 0, 700, 90_000])),
        st.tuples(st.just("say"), st.sampled_from(["usage", "silent", "cut", "server"]),
                  st.sampled_from([0, 30, 4_000]), st.sampled_from([0, 20, 3_000]),
                  st.sampled_from([("one", "two", "three"), ("one",), ('{"score": 0.9, "best": 1}',)])),
    ),
    min_size=1,
    max_size=3,
)  # fmt: skip
CALLS = st.fixed_dictionaries(
    {},
    optional={
        "retry_extra": st.integers(0, 2),
        "total_ms": st.sampled_from([1_000, 10_000]),
        "first_token_ms": st.sampled_from([500, 8_000]),
        "idle_ms": st.sampled_from([500, 8_000]),
        "failures": st.sampled_from([("transient",), ("server",), ("transient", "auth", "content_policy")]),
    },
)
LEAVES = st.tuples(st.just("use"), st.sampled_from(NAMES), CALLS)
GRAPHS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.tuples(st.just("fallback"), st.lists(inner, min_size=1, max_size=3), CALLS),
        st.tuples(st.just("balance"), st.lists(inner, min_size=1, max_size=3), st.sampled_from(RANKS),
                  st.sampled_from([None, 1, 2])),
        st.tuples(st.just("switch"), st.integers(1, 200), inner, inner),
        st.tuples(st.just("hedge"), st.lists(inner, min_size=1, max_size=3),
                  st.sampled_from([(0, None), (40, None), (1_000, None), (None, 95)])),
        st.tuples(st.just("cascade"), st.lists(inner, min_size=1, max_size=3), inner, st.booleans(),
                  st.sampled_from(["refusal", "short", "judge"])),
        st.tuples(st.just("ensemble"), st.lists(inner, min_size=1, max_size=3), inner,
                  st.sampled_from(["vote", "best_of", "weighted", "fuse"])),
        st.tuples(st.just("mirror"), inner, inner, st.sampled_from([0.5, 1.0])),
        st.tuples(st.just("split"), st.lists(inner, min_size=1, max_size=3), st.booleans()),
        st.tuples(st.just("classify"), inner, st.one_of(st.none(), inner)),
        st.tuples(st.just("cache"), inner),
    ),
    max_leaves=6,
)  # fmt: skip


def build(kit: Any, spec: tuple[Any, ...]) -> Any:
    match spec:
        case ("use", name, call):
            return kit.use(name, **call)
        case ("fallback", children, call):
            return kit.fallback(*(build(kit, child) for child in children), **call)
        case ("balance", children, rank, tries):
            node = kit.balance(*(build(kit, child) for child in children), rank=rank, tries=tries)
            return replace(node, rank="weight", sticky=Sticky(KEY, 9_000)) if rank == "sticky" else node
        case ("switch", count, then, otherwise):
            return kit.switch(kit.more_tokens_than(count), build(kit, then), build(kit, otherwise))
        case ("hedge", children, (ms, percentile)):
            return Hedge("r/hedge", Call(), made(kit, children), ms, percentile)
        case ("cascade", children, judge, deliver, word):
            return Cascade("r/cascade", Call(), made(kit, children), (check(kit, word, judge),), deliver)
        case ("ensemble", children, judge, merge):
            members = made(kit, children)
            return Ensemble("r/all", Call(), members, (1.0,) * len(members), merge, build(kit, judge))
        case ("mirror", node, to, share):
            return Mirror("r/mirror", Call(), build(kit, node), build(kit, to), share)
        case ("split", children, sticky):
            points = points_of([None] * len(children))
            arms = tuple(SplitArm(child.id, child) for child in made(kit, children))
            return Split(
                "r/split", Call(), arms, (Layout(0, points, lay_out(points)),), KEY if sticky else None
            )
        case ("classify", node, judge):
            asks = None if judge is None else build(kit, judge)
            via = "keywords" if judge is None else "model"
            return Classify("r/as", Call(), build(kit, node), "task", via, (Label("x", ("hi",)),), "y", asks)
        case ("cache", node):
            return Cache("r/cache", Call(), build(kit, node), KEY, within_org=True, exact_ms=9_000)
    raise AssertionError(spec)


def made(kit: Any, children: Any) -> tuple[Node, ...]:
    return tuple(build(kit, child) for child in children)


def check(kit: Any, word: str, judge: Any) -> Check:
    if word == "judge":
        return Check(judge=build(kit, judge), below=0.5)
    return Check(condition=SHORT) if word == "short" else Check(word=word)


def play(kit: Any, spec: tuple[Any, ...]) -> Any:
    if spec[0] == "fail":
        return kit.Fail(spec[1], after=spec[2], retry_after_ms=spec[3])
    return kit.Say(*spec[4], end=spec[1], first=spec[2], every=spec[3])


async def once(
    kit: Any,
    graph: Any,
    script: Any,
    stream: bool,
    leave_after: int | None,
    cancel_at: int | None,
    *,
    per_request: Ceilings,
    streaming: Streaming,
    limit: int | None,
    asked: bool,
) -> Any:
    """Three requests on one bench, at once; gives what can be compared between two runs."""
    plays = {name: [play(kit, p) for p in script[name]] for name in NAMES}
    narrow = {"b": Concurrent(most=1, queue=2, wait_ms=1_500), "c": Concurrent(most=1)}
    deployments = tuple(kit.deployment(name, concurrent=narrow.get(name)) for name in NAMES)
    start = build(kit, graph)
    more: dict[str, Any] = {}
    if limit is not None:
        start = Jumps("r/jumps", Call(), start, (Jump("d", kit.use("d"), "", True, True),))
        steps = (BudgetStep(0.5, use="d"), BudgetStep(1.0, use="d"))
        counted = Budget("b", "cost", limit, Window("rolling", 3_600_000), steps=steps)
        more = {"money": MoneySegment({"b": counted}), "budgets": ("b",)}
    if asked:
        more["ledger"] = kit.Asked
    bench = kit.Bench(
        start, plays, deployments=deployments, per_request=per_request, stream=streaming, **more
    )
    seen = await asyncio.gather(*(request(bench, stream, leave_after, cancel_at) for _ in range(3)))
    await bench.snapshot.drain()  # copies too
    bench.check()
    assert sum(record.aside_of is None for record in bench.records) == 3
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    ceiling, time_ms = per_request.calls, per_request.time_ms
    assert ceiling is not None
    assert time_ms is not None
    for record in bench.records:
        assert len(record.attempts) <= ceiling
        assert len({a.number for a in record.attempts}) == len(record.attempts)
        assert all(a.ended_ms is not None for a in record.attempts)
        assert record.cost == sum(a.cost.total for a in record.attempts)
        assert record.duration_ms <= time_ms + 1
        if per_request.cost is not None:
            assert record.cost <= per_request.cost
    if limit is not None:
        check_money(bench, limit)
    return seen, [as_json(record) for record in bench.records], bench.upstream.calls


def check_money(bench: Any, limit: int) -> None:
    """Every call was counted once, with what its record says, and no more was spent than there is."""
    uses = [use for record in bench.records for each in record.attempts for use in each.budgets]
    assert all(use.settled is not None and use.settled <= use.reserved for use in uses)
    calls = [each for record in bench.records for each in record.attempts]
    assert [use.settled for use in uses] == [each.cost.total for each in calls]
    total = sum(s.spent for _, s in bench.ledger.rows(int(bench.clock.wall() * 1000)))
    assert total == sum(use.settled for use in uses) <= limit


async def request(bench: Any, stream: bool, leave_after: int | None, cancel_at: int | None) -> list[str]:
    task = asyncio.ensure_future(bench.run(stream=stream))
    leaving = None if cancel_at is None else bench.clock.timer(cancel_at, task.cancel)
    try:
        answer = await task
    except EngineError as error:
        return [error.code]
    except asyncio.CancelledError:
        return ["left"]
    finally:
        if leaving is not None:
            leaving.cancel()
    if answer.flow is None:
        return ["reply"]
    kinds: list[str] = []
    async for chunk in answer.flow:
        kinds += [event["type"] for event in chunk.events]
        if leave_after is not None and len(kinds) >= leave_after:
            await answer.flow.close()
            assert [c async for c in answer.flow] == []
            return kinds
    # Nothing after the end: an error or the usage comes last, and only there.
    assert kinds[-1] in {"error", "usage"}
    assert not {"error", "usage"} & set(kinds[:-1])
    return kinds


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    graph=GRAPHS,
    script=st.fixed_dictionaries(dict.fromkeys(NAMES, PLAYS)),
    stream=st.booleans(),
    leave_after=st.sampled_from([None, None, 1, 3]),
    cancel_at=st.sampled_from([None, None, 0, 35, 60, 3_500]),
    calls=st.integers(1, 5),
    complete=st.booleans(),
    cost=st.sampled_from([None, None, WORST, 3 * WORST]),
    limit=st.sampled_from([None, 0, WORST, 3 * WORST, 20 * WORST]),
    asked=st.booleans(),
)
def test_whatever_happens(
    kit: Any,
    graph: Any,
    script: Any,
    stream: bool,
    leave_after: int | None,
    cancel_at: int | None,
    calls: int,
    complete: bool,
    cost: int | None,
    limit: int | None,
    asked: bool,
) -> None:
    route: dict[str, Any] = {
        "per_request": Ceilings(calls=calls, time_ms=20_000, cost=cost),
        "limit": limit,
        "asked": asked,
        "streaming": Streaming(switch_until="complete" if complete else "first_token"),
    }
    first = asyncio.run(once(kit, graph, script, stream, leave_after, cancel_at, **route))
    again = asyncio.run(once(kit, graph, script, stream, leave_after, cancel_at, **route))
    assert first == again


def test_the_check_can_fail(kit: Any) -> None:
    """A lease that nobody closes is seen."""

    async def leak() -> None:
        bench = kit.Bench(kit.use("a"), {"a": [kit.Say()]})
        answer = await bench.run(stream=True)
        with pytest.raises(AssertionError):
            bench.check()
        await answer.flow.close()
        bench.check()

    asyncio.run(leak())
