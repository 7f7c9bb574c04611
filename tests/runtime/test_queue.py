"""Places of deployments and routes, and waiting for them: order, fairness, and every way a wait ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from engine.errors import EngineError, NoCandidate, Overloaded, UpstreamError
from engine.plan.types import Ceilings, Concurrent
from engine.plan.values import Expr
from engine.runtime.clock import VirtualClock
from engine.runtime.queue import Lines
from engine.runtime.views import Key

Bench = Any
Kit = Any
Until = Any

#: 4 seconds an answer.
SLOW = 4_000

BY_TIER = Expr(
    source='request.header("x-tier")',
    scope="route",
    type="string",
    ir=["or", [["m", ["p", 0], "header", [["c", "x-tier"]]], ["c", ""]]],
)


def limited(kit: Kit, *, most: int = 1, queue: int = 0, wait_ms: int = 60_000) -> Any:
    return kit.deployment("a", concurrent=Concurrent(most, queue, wait_ms))


def asked_by(b: Bench, key: str, **request: Any) -> Any:
    inbound = b.inbound(**request)
    inbound.key = Key(id=key)
    return inbound


async def started(b: Bench, until: Until, *keys: str) -> list[asyncio.Task[Any]]:
    """Requests one after the other, each at its place or in the queue before the next comes."""
    tasks: list[asyncio.Task[Any]] = []
    queues = b.executor.queues

    def arrived() -> bool:
        lines = ((queues.deployments, "a"), (queues.routes, "r"))
        return len(tasks) in {line.open(name) + line.waiting(name) for line, name in lines}

    for key in keys:
        tasks.append(asyncio.create_task(b.run(asked_by(b, key))))
        await until(arrived)
    return tasks


async def test_who_waits_is_served_in_turn(bench: Callable[..., Bench], kit: Kit, until: Until) -> None:
    b = bench(kit.use("a"), {"a": [kit.Say(first=SLOW)]}, deployments=(limited(kit, queue=9),))
    tasks = await started(b, until, "x", "x", "x", "y")
    await asyncio.gather(*tasks)
    assert [record.key for record in b.records] == ["x", "x", "y", "x"], "the keys take turns"
    assert [record.duration_ms for record in b.records] == [SLOW, 2 * SLOW, 3 * SLOW, 4 * SLOW]
    assert [(s.what, s.why) for s in b.records[1].path] == [("queued", "4000 ms for a place at a")]
    seen = b.executor.queues.deployments.seen()["a"]
    assert (seen.waits, seen.waited_s, seen.refused) == (3, 4 + 8 + 12, {})


async def test_a_full_queue_moves_on(bench: Callable[..., Bench], kit: Kit, until: Until) -> None:
    start = kit.fallback(kit.use("a"), kit.use("b"))
    b = bench(start, {"a": [kit.Say(first=SLOW)]}, deployments=(limited(kit, queue=1), kit.deployment("b")))
    tasks = await started(b, until, "x", "x")
    answer = await b.run(asked_by(b, "x"))
    assert answer.deployment == "b"
    assert b.record.path[0].why == "a: all 1 places are taken and 1 wait"
    assert [task.result().deployment for task in tasks if await task] == ["a", "a"]


async def test_full_everywhere(bench: Callable[..., Bench], kit: Kit, until: Until) -> None:
    b = bench(kit.use("a"), {"a": [kit.Say(first=SLOW)]}, deployments=(limited(kit, queue=1),))
    tasks = await started(b, until, "x", "x")
    error = await b.fails(asked_by(b, "x"))
    assert isinstance(error, NoCandidate)
    assert (error.status, error.retry_after_ms) == (503, 1_000)
    await asyncio.gather(*tasks)


async def test_a_wait_ends(bench: Callable[..., Bench], kit: Kit, until: Until) -> None:
    b = bench(kit.use("a"), {"a": [kit.Say(first=SLOW)]}, deployments=(limited(kit, queue=5, wait_ms=1_500),))
    (task,) = await started(b, until, "x")
    error = await b.fails(asked_by(b, "x"))
    assert (error.status, b.record.duration_ms) == (503, 1_500)
    assert "no place within 1500 ms" in error.message
    assert not b.record.attempts
    await task


async def test_the_deadline_ends_a_wait(bench: Callable[..., Bench], kit: Kit, until: Until) -> None:
    b = bench(
        kit.use("a"),
        {"a": [kit.Say(first=SLOW)]},
        deployments=(limited(kit, queue=5),),
        per_request=Ceilings(time_ms=3 * SLOW),
    )
    tasks = await started(b, until, "x", "x")
    inbound = asked_by(b, "x")
    inbound.deadline_ms = 300
    error = await b.fails(inbound)
    assert isinstance(error, UpstreamError)
    assert (error.status, b.record.duration_ms) == (504, 300)
    await asyncio.gather(*tasks)


@pytest.mark.parametrize("where", ["deployment", "route"])
async def test_who_leaves_gives_up_its_place_in_the_queue(
    bench: Callable[..., Bench], kit: Kit, until: Until, where: str
) -> None:
    bounds = Concurrent(1, 5, 60_000)
    changes: Any = {"deployments": (kit.deployment("a", concurrent=bounds),)}
    if where == "route":
        changes = {"concurrent": bounds}
    b = bench(kit.use("a"), {"a": [kit.Say(first=SLOW)]}, **changes)
    first, gone, last = await started(b, until, "x", "x", "x")
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert (b.record.status, b.record.failure) == (499, "cancelled")
    await asyncio.gather(first, last)
    assert b.upstream.calls == ["a", "a"]


async def test_a_place_given_to_one_who_has_just_left_goes_on(
    bench: Callable[..., Bench], kit: Kit, until: Until
) -> None:
    b = bench(kit.use("a"), {"a": [kit.Say(first=SLOW)]}, deployments=(limited(kit, queue=9),))
    first, *rest, last = await started(b, until, *"xxxxx")
    for task in (first, *rest):  # in one turn of the loop: the place is handed to the cancelled, one by one
        task.cancel()
    ended = await asyncio.gather(first, *rest, return_exceptions=True)
    assert all(isinstance(each, asyncio.CancelledError) for each in ended)
    assert (await last).deployment == "a"
    assert b.upstream.calls == ["a", "a"]


async def test_a_place_handed_over_and_not_taken_goes_on(until: Until) -> None:
    lines, bounds = Lines(VirtualClock()), Concurrent(1, 5, 60_000)

    async def enter() -> Any:
        return None if lines.take("a", bounds) else await lines.wait("a", lambda: (5, ""), None)

    assert await enter() is None
    second, third = asyncio.create_task(enter()), asyncio.create_task(enter())
    await until(lambda: lines.waiting("a") == 2)
    lines.leave("a")  # the second has the place, and is cancelled before it can know
    second.cancel()
    assert await third is None
    assert second.cancelled()
    lines.leave("a")
    assert (lines.open("a"), lines.waiting("a")) == (0, 0)


async def test_a_route_that_is_full(bench: Callable[..., Bench], kit: Kit, until: Until) -> None:
    b = bench(kit.use("a"), {"a": [kit.Say(first=SLOW)]}, concurrent=Concurrent(1, 1, 60_000))
    tasks = await started(b, until, "x", "x")
    error = await b.fails(asked_by(b, "x"))
    assert isinstance(error, Overloaded)
    assert (error.status, error.code, error.retry_after_ms) == (503, "overloaded", 1_000)
    assert b.record.attempts == []
    await asyncio.gather(*tasks)


async def test_a_greedy_key_makes_room(bench: Callable[..., Bench], kit: Kit, until: Until) -> None:
    b = bench(kit.use("a"), {"a": [kit.Say(first=SLOW)]}, concurrent=Concurrent(1, 3, 60_000))
    tasks = await started(b, until, "x", "x", "x", "x")
    other = asyncio.create_task(b.run(asked_by(b, "y")))
    results = await asyncio.gather(*tasks, other, return_exceptions=True)
    refused = [each for each in results if isinstance(each, EngineError)]
    assert [(e.status, e.message) for e in refused] == [(503, "r: the queue is full, and others go first")]
    assert results[3] is refused[0], "the newest of the greedy key"
    assert [record.key for record in b.records if record.status == 200] == ["x", "x", "y", "x"]


async def test_a_stream_has_its_route_s_place_to_its_end(
    bench: Callable[..., Bench], kit: Kit, until: Until
) -> None:
    b = bench(kit.use("a"), {"a": [kit.Say(first=SLOW)]}, concurrent=Concurrent(1))
    answer = await b.run(b.inbound(stream=True))
    assert (await b.fails()).code == "overloaded"
    await b.read(answer)
    assert (await b.run()).deployment == "a"


async def test_priority_and_fairness_by_expression(
    bench: Callable[..., Bench], kit: Kit, until: Until
) -> None:
    gold = Expr(
        source='9 if request.header("x-tier") == "gold" else 5',
        scope="route",
        type="number",
        ir=["?", ["cmp", "==", BY_TIER.ir, ["c", "gold"], "plain"], ["c", 9], ["c", 5]],
    )
    b = bench(
        kit.use("a"),
        {"a": [kit.Say(first=SLOW)]},
        concurrent=Concurrent(1, 9, 60_000),
        priority=gold,
        fair_by=BY_TIER,
    )
    tasks = []
    for number, tier in enumerate(["silver", "silver", "silver", "bronze", "gold"]):
        inbound = asked_by(b, f"{tier}{number}")
        inbound.headers = {"x-tier": tier}
        tasks.append(asyncio.create_task(b.run(inbound)))
        await until(lambda: b.executor.queues.routes.waiting("r") == len(tasks) - 1)
    await asyncio.gather(*tasks)
    assert [record.key for record in b.records] == ["silver0", "gold4", "silver1", "bronze3", "silver2"]


async def test_other_bounds_apply_when_the_next_one_comes(
    bench: Callable[..., Bench], kit: Kit, until: Until
) -> None:
    b = bench(kit.use("a"), {"a": [kit.Say(first=SLOW)]}, deployments=(limited(kit, queue=5),))
    tasks = await started(b, until, "x", "x", "x")
    lines = b.executor.queues.deployments
    assert lines.take("a", Concurrent(4, 5, 60_000))
    assert (lines.open("a"), lines.waiting("a")) == (4, 0)
    lines.leave("a")
    await asyncio.gather(*tasks)
    assert {record.duration_ms for record in b.records} == {SLOW}


async def test_who_waited_for_a_deployment_that_was_paused_goes_elsewhere(
    bench: Callable[..., Bench], kit: Kit, until: Until
) -> None:
    """Its health is asked again once there is a place: a rate limit holds for those in the queue too."""
    start = kit.fallback(kit.use("a"), kit.use("b"))
    limited = kit.Fail("rate_limited", after=1_000, retry_after_ms=60_000)
    deployments = (kit.deployment("a", concurrent=Concurrent(1, 9, 60_000)), kit.deployment("b"))
    b = bench(start, {"a": [limited], "b": [kit.Say()]}, deployments=deployments)
    tasks = await started(b, until, *"xxxx")
    answers = await asyncio.gather(*tasks)
    assert {answer.deployment for answer in answers} == {"b"}
    assert b.upstream.calls.count("a") == 1
    lines = b.executor.queues.deployments
    assert (lines.open("a"), lines.waiting("a")) == (0, 0)
