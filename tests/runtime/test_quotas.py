"""Limits of clients' requests: what they hold, what is counted at the end, and what happens beyond them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from engine.errors import EngineError, NotAdmitted, Overloaded, RateLimited
from engine.kinds.jumps import Jump, Jumps
from engine.plan.money import Limit, Rate
from engine.plan.types import Admit, Call, Concurrent
from engine.plan.values import Expr
from engine.runtime.views import Key
from engine.state.ledger import Refused
from engine.state.open import open_ledger

Bench = Any
Kit = Any
Until = Any
Make = Callable[..., Bench]

MINUTE = 60_000
PER_KEY = Expr(source="key.id", scope="route", type="string", ir=["a", ["p", 1], "id"])
PER_USER = Expr(source="request.user", scope="route", type="string", ir=["a", ["p", 0], "user"])


def a_minute(amount: int, burst: int | None = None, shape: Any = "bucket") -> Rate:
    return Rate(amount, MINUTE, amount if burst is None else burst, shape)


@pytest.fixture
def limited(bench: Make, kit: Kit) -> Callable[..., Bench]:
    """Makes a bench whose one route has these limits."""

    def make(*limits: Limit, start: Any = None, script: Any = None, **changes: Any) -> Bench:
        return bench(
            start or kit.use("a"),
            script or {"a": [kit.Say()]},
            money=kit.Money(limits={limit.name: limit for limit in limits}),
            limits=tuple(limit.name for limit in limits),
            **changes,
        )

    return make


def asked_by(b: Bench, key: str, **request: Any) -> Any:
    inbound = b.inbound(**request)
    inbound.key = Key(id=key)
    return inbound


def told(inbound: Any) -> dict[str, tuple[int, int | None]]:
    """`LIMIT MEASURE` -> (left, seconds until it is whole)."""
    return {
        f"{each.policy.name} {each.policy.measure}": (each.left, each.resets_s)
        for each in inbound.quota.told()
    }


# --- what is counted ----------------------------------------------------------------------------------


async def test_requests_are_counted_by_partition(limited: Any) -> None:
    b = limited(Limit("per-key", per=PER_KEY, requests=a_minute(2), told=True))
    for key in ("x", "x", "y"):
        await b.run(asked_by(b, key))
    error = await b.fails(asked_by(b, "x"))
    assert isinstance(error, RateLimited)
    assert (error.status, error.code, error.failure) == (429, "rate_limit_exceeded", "rate_limited")
    assert error.retry_after_ms == MINUTE // 2
    assert error.message == (
        "the limit `per-key` of 'x' has no room now: 2/min requests; come back in 30s "
        "(2025-12-01T10:00:30+00:00)"
    )
    assert not b.record.attempts
    await b.run(asked_by(b, "y"))
    b.clock.advance(MINUTE // 2)
    await b.run(asked_by(b, "x"))


@pytest.mark.parametrize(
    ("rate", "gaps", "passed"),
    [
        # After a minute a bucket is whole again; and then so many pass at once as it holds.
        (a_minute(6, burst=2), [0, 0, 0, 10_000, 0], [1, 1, 0, 1, 0]),
        (a_minute(2), [0, 0, 0, 31_000, 0], [1, 1, 0, 1, 0]),
        # A sliding window gives nothing back before it has passed.
        (a_minute(2, shape="sliding"), [0, 0, 0, 31_000, 31_000, 0, 0], [1, 1, 0, 0, 1, 1, 0]),
    ],
    ids=["burst", "bucket", "sliding"],
)
async def test_how_a_time_is_counted(limited: Any, rate: Rate, gaps: list[int], passed: list[int]) -> None:
    b = limited(Limit("l", requests=rate))
    seen = []
    for gap in gaps:
        b.clock.advance(gap)
        try:
            await b.run()
            seen.append(1)
        except RateLimited:
            seen.append(0)
    assert seen == passed


@pytest.mark.parametrize(
    ("ends", "used"),
    [
        ("whole", 15),
        ("stream", 15),
        ("left", 2),  # what had come before the client left is estimated
        ("failed", 0),
        ("retried", 15),
        ("cancelled", 0),
    ],
)
async def test_tokens_are_settled_with_what_was_used(
    limited: Any, kit: Kit, until: Until, ends: str, used: int
) -> None:
    script = {"a": [kit.Say("one ", "two", first=100, every=1_000)]}
    if ends in {"failed", "retried"}:
        script = {"a": [kit.Fail("server"), kit.Say() if ends == "retried" else kit.Fail("server")]}
    b = limited(
        Limit("l", tokens=a_minute(1_000, shape="sliding"), told=True),
        script=script,
        start=kit.use("a", retry_extra=int(ends == "retried"), retry_failures=("server",)),
    )
    inbound = b.inbound(max_tokens=200, stream=ends in {"stream", "left"})
    if ends == "failed":
        await b.fails(inbound)
    elif ends == "cancelled":
        task = asyncio.create_task(b.run(inbound))
        await until(lambda: bool(b.upstream.asked))
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    else:
        answer = await b.run(inbound)
        if ends in {"stream", "left"}:
            held = 200 + answer.record.input_tokens
            assert told(inbound)["l tokens"][0] == 1_000 - held, "the stream is still open"
        if ends == "stream":
            await b.read(answer)
        elif ends == "left":
            await answer.flow.close()
    assert told(inbound)["l tokens"][0] == 1_000 - used


async def test_a_counting_of_tokens_uses_none(limited: Any) -> None:
    b = limited(Limit("l", tokens=a_minute(1), requests=a_minute(5), told=True))
    inbound = b.inbound()
    inbound.operation = "count_tokens"
    with contextlib.suppress(EngineError):
        await b.run(inbound)
    assert told(inbound)["l tokens"] == (1, 0)


async def test_places_are_given_back_when_the_stream_is_closed(limited: Any) -> None:
    b = limited(Limit("l", per=PER_KEY, concurrent=1, told=True))
    answer = await b.run(asked_by(b, "x", stream=True))
    error = await b.fails(asked_by(b, "x"))
    assert (error.status, error.retry_after_ms) == (429, 1_000)
    assert "1 requests at a time" in error.message
    await b.run(asked_by(b, "y"))
    await answer.flow.close()
    await b.run(asked_by(b, "x"))


async def test_all_limits_or_none(limited: Any) -> None:
    """What one limit refuses is held in no other."""
    b = limited(
        Limit("wide", requests=a_minute(100), told=True),
        Limit("narrow", requests=a_minute(1), told=True),
    )
    first = b.inbound()
    await b.run(first)
    for _ in range(3):
        assert "`narrow`" in (await b.fails()).message
    assert told(first)["wide requests"][0] == 99


async def test_the_one_that_has_room_last_is_told(limited: Any) -> None:
    b = limited(
        Limit("minute", requests=a_minute(1), told=True),
        Limit("hour", requests=Rate(1, 3_600_000, 1), told=True),
    )
    await b.run()
    error = await b.fails()
    assert "`hour`" in error.message
    assert error.retry_after_ms == 3_600_000


@pytest.mark.parametrize("counted", [True, False], ids=["called", "nobody was called"])
async def test_a_failed_request_counts_where_somebody_was_called(
    limited: Any, kit: Kit, counted: bool
) -> None:
    missing = None if counted else {"a": "no credential"}
    b = limited(Limit("l", requests=a_minute(5)), script={"a": [kit.Fail("server")]}, missing=missing)
    for _ in range(2):
        await b.fails()
    (_, standing) = next(iter(b.executor.ledger.rows(0)))
    assert standing.left == (3 if counted else 5)


# --- what is larger than a limit ----------------------------------------------------------------------


async def test_more_than_a_limit_ever_has(limited: Any) -> None:
    b = limited(Limit("l", per=PER_KEY, tokens=a_minute(1_000, burst=100), told=True))
    error = await b.fails(asked_by(b, "x", max_tokens=5_000))
    assert isinstance(error, NotAdmitted)
    assert (error.status, error.code, error.param) == (413, "request_too_large", "max_tokens")
    assert "never has room for more than 100" in error.message
    assert error.retry_after_ms is None


async def test_the_longest_output_is_the_targets_where_nobody_says_less(limited: Any, kit: Kit) -> None:
    b = limited(Limit("l", tokens=a_minute(2_000), told=True), script={"a": [kit.Say(first=1_000)]})
    inbound = b.inbound()  # the deployment gives at most 1000 tokens
    answer = await b.run(b.inbound(stream=True))
    error = await b.fails(inbound)
    assert error.status == 429, "two of them may use more than 2000"
    await b.read(answer)
    await b.run(b.inbound())


async def test_the_routes_output_goes_before_the_models(limited: Any) -> None:
    b = limited(Limit("l", tokens=a_minute(500)), admit=Admit(output=300))
    await b.run()
    assert (await b.fails(max_tokens=301)).status == 400, "admitted first, counted then"


# --- waiting ------------------------------------------------------------------------------------------


def queueing(wait_ms: int = 10_000, queue: int = 10, **what: Any) -> Limit:
    return Limit("l", on_exceed="queue", wait_ms=wait_ms, queue=queue, told=True, **what)


async def started(b: Bench, until: Until, *keys: str) -> list[asyncio.Task[Any]]:
    """Requests one after the other, each let in or in line before the next comes."""
    tasks: list[asyncio.Task[Any]] = []
    for key in keys:
        inbound = asked_by(b, key)
        tasks.append(asyncio.create_task(b.run(inbound)))
        await until(lambda inbound=inbound: inbound.quota is not None)
    return tasks


async def test_who_waits_goes_in_turn(limited: Any, until: Until) -> None:
    b = limited(queueing(requests=a_minute(60, burst=1)))
    tasks = await started(b, until, "x", "y", "z")
    await asyncio.gather(*tasks)
    assert [(r.key, r.duration_ms) for r in b.records] == [("x", 0), ("y", 1_000), ("z", 2_000)]
    assert [(s.node, s.what, s.why) for s in b.records[1].path] == [("l", "queued", "1000 ms for room")]


async def test_nobody_overtakes_those_who_wait(limited: Any, until: Until) -> None:
    """Another partition does not wait for it; one of the same stands behind."""
    b = limited(queueing(per=PER_KEY, requests=a_minute(60, burst=1)))
    tasks = await started(b, until, "x", "x", "y")
    await until(lambda: len(b.records) == 2)
    b.clock.advance(999)
    late = await started(b, until, "x")
    await asyncio.gather(*tasks, *late)
    assert [(r.key, r.duration_ms) for r in b.records] == [("x", 0), ("y", 0), ("x", 1_000), ("x", 1_001)]


async def test_a_place_wakes_the_first(limited: Any, kit: Kit, until: Until) -> None:
    b = limited(queueing(concurrent=1), script={"a": [kit.Say(first=4_000)]})
    tasks = await started(b, until, "x", "y", "z")
    await asyncio.gather(*tasks)
    assert [r.duration_ms for r in b.records] == [4_000, 8_000, 12_000]


async def test_a_wait_ends(limited: Any, kit: Kit, until: Until) -> None:
    b = limited(queueing(1_500, concurrent=1), script={"a": [kit.Say(first=4_000)]})
    (task,) = await started(b, until, "x")
    error = await b.fails(asked_by(b, "y"))
    assert (error.status, b.record.duration_ms) == (429, 1_500)
    assert (b.record.path[0].what, b.record.attempts) == ("queued", [])
    await task


async def test_the_deadline_ends_a_wait(limited: Any, kit: Kit, until: Until) -> None:
    b = limited(queueing(9_000, concurrent=1), script={"a": [kit.Say(first=4_000)]})
    (task,) = await started(b, until, "x")
    inbound = asked_by(b, "y")
    inbound.deadline_ms = 300
    assert (await b.fails(inbound)).status == 429
    assert b.record.duration_ms == 300
    await task


async def test_a_full_line_turns_away(limited: Any, kit: Kit, until: Until) -> None:
    b = limited(queueing(9_000, queue=1, concurrent=1), script={"a": [kit.Say(first=4_000)]})
    tasks = await started(b, until, "x", "y")
    error = await b.fails(asked_by(b, "z"))
    assert (error.status, b.record.duration_ms) == (429, 0)
    assert "others wait for it" in error.message
    await asyncio.gather(*tasks)


async def test_who_leaves_gives_up_its_turn(limited: Any, kit: Kit, until: Until) -> None:
    b = limited(queueing(9_000, concurrent=1), script={"a": [kit.Say(first=4_000)]})
    first, gone, last = await started(b, until, "x", "y", "z")
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert (b.record.status, b.record.failure) == (499, "cancelled")
    await asyncio.gather(first, last)
    assert [r.duration_ms for r in b.records if r.status == 200] == [4_000, 8_000]


async def test_limits_come_before_the_routes_places(limited: Any, kit: Kit, until: Until) -> None:
    """Who has no room in its limit takes no place; who has no place gives its limit back."""
    b = limited(
        Limit("l", per=PER_KEY, requests=a_minute(1), told=True),
        script={"a": [kit.Say(first=4_000)]},
        concurrent=Concurrent(1),
    )
    (task,) = await started(b, until, "x")
    assert (await b.fails(asked_by(b, "x"))).status == 429
    refused = asked_by(b, "y")
    assert isinstance(await b.fails(refused), Overloaded)
    assert told(refused)["l requests"] == (1, 0)
    await task


# --- what clients are told ----------------------------------------------------------------------------


async def test_only_a_clients_own_limits_are_told(limited: Any) -> None:
    b = limited(
        Limit("own", per=PER_KEY, requests=a_minute(100), tokens=a_minute(10_000), concurrent=5, told=True),
        Limit("all", requests=a_minute(1)),
    )
    inbound = asked_by(b, "x")
    await b.run(inbound)
    assert [(*each.policy, each.left, each.resets_s) for each in inbound.quota.told()] == [
        ("own", "requests", 100, 60, 99, 1),
        ("own", "tokens", 10_000, 60, 9_985, 1),
        ("own", "concurrent", 5, None, 5, None),
    ]
    error = await b.fails(asked_by(b, "y"))
    assert error.message.startswith("the limit `all` has no room now; come back in 1m (")


async def test_a_request_without_limits_holds_nothing(limited: Any) -> None:
    b = limited()
    inbound = b.inbound()
    await b.run(inbound)
    assert inbound.quota is None


# --- partitions and stores ----------------------------------------------------------------------------


async def test_a_partition_may_be_anything(limited: Any) -> None:
    b = limited(Limit("l", per=PER_USER, requests=a_minute(1), told=True))
    long = "u" * 100_000
    for user in ("", "a/b", "a", "b", "\ud800", "☃" * 300, long, long + "x"):
        request = {"user": user} if user else {}
        await b.run(**request)
        error = await b.fails(**request)
        assert error.status == 429
        assert len(error.message) < 500


class Away:
    """A ledger that is not there, as far as reserving goes."""

    def __init__(self, ledger: Any) -> None:
        self._ledger = ledger

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    async def reserve(self, hold: str, asks: Any, now_ms: int) -> Refused:
        return Refused(asks[0].account, "store", retry_after_ms=5_000)


async def test_a_store_that_is_away(limited: Any) -> None:
    b = limited(Limit("l", requests=a_minute(1), on_state_loss="reject"))
    b.executor.quotas.ledger = Away(b.executor.ledger)
    error = await b.fails()
    assert (error.status, error.code, error.retry_after_ms) == (503, "overloaded", 5_000)
    assert "the limit `l` cannot be counted now" in error.message


async def test_many_at_once_get_exactly_what_there_is(limited: Any, kit: Kit) -> None:
    b = limited(Limit("l", requests=a_minute(37)), script={"a": [kit.Say(first=50)]})
    ended = await asyncio.gather(*(b.run() for _ in range(100)), return_exceptions=True)
    assert sum(not isinstance(each, RateLimited) for each in ended) == 37


# --- going elsewhere ----------------------------------------------------------------------------------


def with_jump(kit: Kit, *branches: str) -> Any:
    made = tuple(Jump(name, kit.use(name), "beyond a limit", before=True) for name in branches)
    return Jumps("r/jumps", Call(), kit.use("a"), made)


async def test_beyond_a_limit_it_goes_elsewhere(limited: Any, kit: Kit) -> None:
    b = limited(
        Limit("l", requests=a_minute(1), on_exceed="use", use="b", told=True),
        Limit("m", requests=a_minute(3), told=True),
        start=with_jump(kit, "b"),
        script={"a": [kit.Say()], "b": [kit.Say()]},
    )
    served = [(await b.run()).deployment for _ in range(3)]
    assert served == ["a", "b", "b"], "what goes elsewhere counts in the other limits"
    (step,) = [step for step in b.record.path if step.what == "jumped"]
    assert step.why == "to b: the limit `l` has no room now: 1/min requests"
    error = await b.fails()
    assert (error.status, "`m`" in error.message) == (429, True)


async def test_two_limits_lead_to_the_first(limited: Any, kit: Kit) -> None:
    b = limited(
        Limit("l", requests=a_minute(1), on_exceed="use", use="b"),
        Limit("m", requests=a_minute(1), on_exceed="use", use="c"),
        start=with_jump(kit, "b", "c"),
        script={"a": [kit.Say()], "b": [kit.Fail("server")], "c": [kit.Say()]},
    )
    assert (await b.run()).deployment == "a"
    assert (await b.fails()).status == 502, "no limit leads anywhere once somebody was asked"
    assert b.upstream.calls == ["a", "b"]


async def test_a_request_larger_than_a_limit_goes_elsewhere(limited: Any, kit: Kit) -> None:
    b = limited(
        Limit("l", tokens=a_minute(100), on_exceed="use", use="b"),
        start=with_jump(kit, "b"),
        script={"a": [kit.Say()], "b": [kit.Say()]},
    )
    assert (await b.run(max_tokens=500)).deployment == "b"
    assert (await b.run(max_tokens=50)).deployment == "a"


async def test_a_route_that_has_no_such_branch_turns_away(limited: Any, kit: Kit) -> None:
    """A key that the state store keeps may name a limit whose jump no file puts into this route."""
    b = limited(Limit("l", requests=a_minute(1), on_exceed="use", use="b"))
    await b.run()
    assert (await b.fails()).status == 429


# --- the vendor's quota -------------------------------------------------------------------------------


@pytest.fixture
def quoted(bench: Make, kit: Kit) -> Callable[..., Bench]:
    """Makes a bench whose deployment `a` has these limits, and `b` none."""

    def make(*limits: Limit, start: Any = None, script: Any = None, **changes: Any) -> Bench:
        names = tuple(limit.name for limit in limits)
        return bench(
            start or kit.fallback(kit.use("a"), kit.use("b")),
            script or {"a": [kit.Say()], "b": [kit.Say()]},
            deployments=(kit.deployment("a", limits=names), kit.deployment("b")),
            money=kit.Money(limits={limit.name: limit for limit in limits}),
            **changes,
        )

    return make


async def test_a_target_without_room_is_skipped(quoted: Any) -> None:
    b = quoted(Limit("rpm", requests=a_minute(2)))
    assert [(await b.run()).deployment for _ in range(4)] == ["a", "a", "b", "b"]
    assert b.record.path[0].why == "a: its limit rpm has no room for 1 requests now"
    b.clock.advance(MINUTE // 2)
    assert (await b.run()).deployment == "a"


async def test_nobody_with_room_says_when(quoted: Any, kit: Kit) -> None:
    b = quoted(Limit("rpm", requests=a_minute(2)), start=kit.use("a"))
    await b.run()
    await b.run()
    error = await b.fails()
    assert (error.status, error.code, error.retry_after_ms) == (503, "no_candidate", MINUTE // 2)


@pytest.mark.parametrize(
    ("limit", "served"),
    [
        (Limit("tpm", tokens=a_minute(1_100)), ["a", "b"]),  # two of them may use more
        (Limit("tpm", tokens=a_minute(999)), ["b", "b"]),  # one of them may
        (Limit("open", concurrent=1), ["a", "b"]),
        (Limit("user", per=PER_USER, concurrent=1), ["a", "a"]),
    ],
    ids=["tokens", "too many tokens", "places", "of each user"],
)
async def test_what_is_open_holds_its_quota(quoted: Any, limit: Limit, served: list[str]) -> None:
    b = quoted(limit)
    answers = [await b.run(stream=True, user=user) for user in ("x", "y")]
    assert [each.deployment for each in answers] == served
    for each in answers:
        await each.flow.close()
    assert (await b.run()).deployment == served[0], "and gives it back"


async def test_every_call_counts_in_the_vendors_quota(quoted: Any, kit: Kit) -> None:
    """Retries and calls that fail, too."""
    start = kit.use("a", retry_extra=2, retry_failures=("server",))
    script = {"a": [kit.Fail("server"), kit.Fail("server"), kit.Say()], "b": [kit.Say()]}
    b = quoted(Limit("rpm", requests=a_minute(5)), start=start, script=script)
    await b.run()
    await b.run()
    await b.run()
    assert (await b.fails()).status == 503


@pytest.mark.parametrize("failure", ["timeout", "cut", "connect"])
async def test_a_failed_call_costs_nothing_where_no_money_is_counted(
    quoted: Any, kit: Kit, failure: str
) -> None:
    limit = Limit("tpm", tokens=a_minute(5_000), told=True)
    b = quoted(limit, script={"a": [kit.Fail(failure)], "b": [kit.Say()]})
    await b.run()
    first = b.record.attempts[0]
    assert (first.deployment, first.failure, first.closed, first.cost.total) == ("a", failure, "released", 0)


@pytest.mark.parametrize("told", [0.9, 0.1, None], ids=["vendor has more", "vendor has less", "says nothing"])
async def test_headroom_is_the_tightest(quoted: Any, kit: Kit, told: float | None) -> None:
    """Half of its own limit is left of `a`; the other is half empty by the vendor's word."""
    start = kit.balance(kit.use("a"), kit.use("b"), rank="headroom")
    b = quoted(Limit("rpm", requests=a_minute(4)), start=start)
    seen = {"a": math.nan if told is None else told, "b": 0.3}
    b.upstream.headroom = SimpleNamespace(share=seen.__getitem__)
    served = [(await b.run()).deployment for _ in range(3)]
    assert served == (["b", "b", "b"] if told == 0.1 else ["a", "a", "a"])
    assert (await b.run()).deployment == "b", "a quarter is left"


# --- stores that others count in ----------------------------------------------------------------------


async def test_two_processes_admit_together_what_there_is(limited: Any, kit: Kit, tmp_path: Path) -> None:
    """Each with a connection of its own to one file, and both at once."""
    limits = (
        Limit("l", requests=a_minute(37), concurrent=30),
        Limit("apart", per=PER_KEY, requests=a_minute(1_000), scope="host"),
    )
    ledgers = [await open_ledger("sqlite:state.db", tmp_path) for _ in range(2)]
    benches = [
        limited(*limits, script={"a": [kit.Say(first=50)]}, ledger=lambda _, made=ledger: made)
        for ledger in ledgers
    ]
    benches[1]._ids = itertools.count(1_000)  # the ids of requests are nobody else's
    ended = await asyncio.gather(*(b.run() for _ in range(50) for b in benches), return_exceptions=True)
    assert sum(not isinstance(each, RateLimited) for each in ended) == 30
    ended = await asyncio.gather(*(b.run() for _ in range(50) for b in benches), return_exceptions=True)
    assert sum(not isinstance(each, RateLimited) for each in ended) == 7
    for ledger in ledgers:
        await ledger.close()


class Asked:
    """A ledger that has to be asked, and answers after a while."""

    def __init__(self, ledger: Any) -> None:
        self._ledger = ledger

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._ledger, name)
        if name in {"once", "open_holds", "close"}:
            return found

        async def later(*args: Any) -> Any:
            for _ in range(3):
                await asyncio.sleep(0)
            answer = found(*args)
            for _ in range(3):
                await asyncio.sleep(0)
            return answer

        return later


async def test_a_store_that_has_to_be_asked(limited: Any, kit: Kit, until: Until) -> None:
    b = limited(queueing(per=PER_KEY, requests=a_minute(60, burst=1), concurrent=9), ledger=Asked)
    tasks = await started(b, until, "x", "x", "y")
    inbound = asked_by(b, "y")
    inbound.deadline_ms = 300
    assert (await b.fails(inbound)).status == 429
    await asyncio.gather(*tasks)
    told = await inbound.quota.told()
    assert [each.left for each in told] == [1, 9], "it is two seconds later"


@pytest.mark.parametrize("after", range(0, 24, 2))
async def test_a_client_that_leaves_while_a_store_is_asked(
    limited: Any, kit: Kit, until: Until, after: int
) -> None:
    """Whether the store holds it already or not: nothing stays held."""
    b = limited(Limit("l", concurrent=1), ledger=Asked)
    task = asyncio.create_task(b.run())
    for _ in range(after):
        await asyncio.sleep(0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await until(lambda: b.ledger.open_holds() == 0)
    await b.run()


async def test_a_count_beyond_all_bounds_is_no_fault_of_ours(bench: Make, kit: Kit) -> None:
    limit = Limit("wide", tokens=Rate(1, 30 * 86_400_000, 10_000))
    say = kit.Say(usage={"input_tokens": 10, "output_tokens": 10**9})
    b = bench(kit.use("a"), {"a": [say]}, money=kit.Money({}, {"wide": limit}), limits=("wide",))
    await b.run()
    error = await b.fails()
    assert (error.status, error.retry_after_ms) == (429, 366 * 86_400_000)
