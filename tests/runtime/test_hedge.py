"""`hedge` through the executor: who wins, what becomes of the others, and what they cost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from engine.kinds.cascade import Cascade, Check
from engine.kinds.hedge import Hedge
from engine.plan.types import Call, Ceilings, Concurrent, Node, Streaming

Bench = Any
Kit = Any


def hedge(*children: Node, after_ms: int | None = 100, percentile: int | None = None) -> Hedge:
    return Hedge("r/hedge", Call(), children, after_ms, percentile)


def ends(bench: Bench) -> list[tuple[str, str | None, str, float]]:
    return [(a.deployment, a.failure, a.role, a.started_ms) for a in bench.record.attempts]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_quick_first_races_nobody(bench: Callable[..., Bench], kit: Kit, stream: bool) -> None:
    b = bench(hedge(kit.use("a"), kit.use("b")), {"a": [kit.Say(first=50)], "b": [kit.Say()]})
    answer = await b.run(stream=stream)
    if stream:
        await b.read(answer)
    assert ends(b) == [("a", None, "answer", 0)]


async def test_a_slow_first_loses(bench: Callable[..., Bench], kit: Kit) -> None:
    b = bench(
        hedge(kit.use("a"), kit.use("b")), {"a": [kit.Say(first=900)], "b": [kit.Say("quick", first=50)]}
    )
    answer = await b.run(text="x" * 400)
    assert answer.reply["choices"][0]["message"]["content"][0]["text"] == "quick"
    assert ends(b) == [("a", "cancelled", "answer", 0), ("b", None, "hedge", 100)]
    lost, won = b.record.attempts
    # The vendor had the whole input: it is paid for, as an estimate.
    assert (lost.closed, lost.estimated, lost.usage["input_tokens"]) == ("settled", True, 100)
    assert lost.cost.total > 0
    assert b.record.cost == lost.cost.total + won.cost.total
    assert b.record.served_by == "b"
    assert b.clock.now_ms() < 900
    # It would have taken longer still: its time is known as its latency.
    assert b.state.latency("a", int(b.clock.now_ms())) == pytest.approx(150, abs=2)


async def test_the_losers_stream_is_closed_before_the_winners_is_read(
    bench: Callable[..., Bench], kit: Kit
) -> None:
    b = bench(
        hedge(kit.use("a"), kit.use("b")),
        {"a": [kit.Say(first=900)], "b": [kit.Say("quick", first=50)]},
    )
    answer = await b.run(stream=True)
    assert (b.upstream.opened, b.upstream.closed) == (2, 1)
    assert b.state.open_leases() == 1
    assert await b.read(answer)
    assert [a.failure for a in b.record.attempts] == ["cancelled", None]


async def test_a_first_that_fails_makes_the_next_start_at_once(bench: Callable[..., Bench], kit: Kit) -> None:
    b = bench(
        hedge(kit.use("a", retry_extra=0), kit.use("b"), after_ms=5_000),
        {"a": [kit.Fail("bad_request", after=30)], "b": [kit.Say()]},
    )
    await b.run()
    assert ends(b) == [("a", "bad_request", "answer", 0), ("b", None, "hedge", 30)]


async def test_the_first_that_still_wins(bench: Callable[..., Bench], kit: Kit) -> None:
    b = bench(hedge(kit.use("a"), kit.use("b")), {"a": [kit.Say(first=150)], "b": [kit.Say(first=900)]})
    await b.run()
    assert [(a.deployment, a.failure) for a in b.record.attempts] == [("a", None), ("b", "cancelled")]


async def test_all_fail(bench: Callable[..., Bench], kit: Kit) -> None:
    b = bench(
        hedge(kit.use("a"), kit.use("b")), {"a": [kit.Fail("server")], "b": [kit.Fail("overloaded", after=9)]}
    )
    error = await b.fails()
    assert error.failure == "overloaded"
    assert len(b.record.attempts) == 2


async def test_ceilings_hold_over_branches(bench: Callable[..., Bench], kit: Kit) -> None:
    """The third is never called: `per_request.calls` are handed out."""
    b = bench(
        hedge(kit.use("a"), kit.use("b"), kit.use("c"), after_ms=10),
        {"a": [kit.Say(first=900)], "b": [kit.Say(first=500)], "c": [kit.Say()]},
        per_request=Ceilings(calls=2),
    )
    await b.run()
    assert b.upstream.calls == ["a", "b"]
    assert [a.number for a in b.record.attempts] == [1, 2]
    assert any(step.what == "skipped" for step in b.record.path)


async def test_what_is_not_reserved_gives_its_call_back(bench: Callable[..., Bench], kit: Kit) -> None:
    full = kit.deployment("b", concurrent=Concurrent(0))
    b = bench(
        hedge(kit.use("a"), kit.use("b"), kit.use("c"), after_ms=10),
        {"a": [kit.Say(first=900)], "b": [kit.Say()], "c": [kit.Say()]},
        deployments=(kit.deployment("a"), full, kit.deployment("c")),
        per_request=Ceilings(calls=2),
    )
    await b.run()
    assert b.upstream.calls == ["a", "c"]


async def test_the_deadline_ends_all(bench: Callable[..., Bench], kit: Kit) -> None:
    b = bench(
        hedge(kit.use("a"), kit.use("b")),
        {"a": [kit.Say(first=9_000)], "b": [kit.Say(first=9_000)]},
        per_request=Ceilings(time_ms=500),
    )
    error = await b.fails()
    assert error.failure == "timeout"
    assert b.clock.now_ms() == pytest.approx(500, abs=2)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("switch_until", ["first_token", "complete"])
async def test_a_client_that_leaves_ends_all(
    bench: Callable[..., Bench],
    kit: Kit,
    until: Callable[[Callable[[], bool]], Awaitable[None]],
    stream: bool,
    switch_until: Any,
) -> None:
    b = bench(
        hedge(kit.use("a"), kit.use("b"), after_ms=0),
        {"a": [kit.Say(first=900)], "b": [kit.Say(first=900)]},
        stream=Streaming(switch_until=switch_until),
    )
    task = asyncio.create_task(b.run(stream=stream))
    await until(lambda: len(b.upstream.asked) == 2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert b.record.status == 499
    # Who leaves is not billed for what had not come.
    assert [(a.failure, a.closed) for a in b.record.attempts] == [("cancelled", "released")] * 2
    assert not [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]


async def test_a_race_in_a_race(bench: Callable[..., Bench], kit: Kit) -> None:
    inner = hedge(kit.use("a"), kit.use("b"), after_ms=20)
    b = bench(
        hedge(inner, kit.use("c"), after_ms=50),
        {"a": [kit.Say(first=900)], "b": [kit.Say(first=900)], "c": [kit.Say(first=10)]},
    )
    await b.run()
    assert [(a.deployment, a.failure, a.closed) for a in b.record.attempts] == [
        ("a", "cancelled", "settled"),
        ("b", "cancelled", "settled"),
        ("c", None, "settled"),
    ]


async def test_a_judge_in_a_lost_branch_is_paid_for(bench: Callable[..., Bench], kit: Kit) -> None:
    judged = Cascade(
        "r/cascade", Call(), (kit.use("a"), kit.use("b")), (Check(judge=kit.use("j"), below=0.5),)
    )
    b = bench(
        hedge(judged, kit.use("c"), after_ms=50),
        {"a": [kit.Say()], "b": [kit.Say()], "j": [kit.Say(first=900)], "c": [kit.Say(first=10)]},
    )
    await b.run()
    assert [(a.deployment, a.role, a.failure, a.closed) for a in b.record.attempts] == [
        ("a", "answer", None, "settled"),
        ("j", "judge", "cancelled", "settled"),
        ("c", "hedge", None, "settled"),
    ]


async def test_after_a_percentile_of_what_was_seen(bench: Callable[..., Bench], kit: Kit) -> None:
    script = {"a": [kit.Say(first=100) for _ in range(20)] + [kit.Say(first=2_500)], "b": [kit.Say(first=5)]}
    b = bench(hedge(kit.use("a"), kit.use("b"), after_ms=None, percentile=95), script)
    for _ in range(20):
        await b.run()  # nothing is known: the next one would begin after a second
    assert "b" not in b.upstream.calls
    await b.run()
    assert ends(b)[1] == ("b", None, "hedge", 100)


async def test_two_that_commit_at_once(bench: Callable[..., Bench], kit: Kit) -> None:
    """Both streams have begun when the race looks: the second is closed, and its beginning is paid for."""
    b = bench(hedge(kit.use("a"), kit.use("b"), after_ms=0), {"a": [kit.Say("x")], "b": [kit.Say("y")]})
    text, _ = await b.read(await b.run(stream=True))
    assert text in {"x", "y"}
    assert sorted(str(a.failure) for a in b.record.attempts) == ["None", "cancelled"]
    assert len(b.records) == 1
