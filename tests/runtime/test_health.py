"""Health through the executor: who is skipped, what counts, and that every trial's place comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from engine.errors import EngineError
from engine.plan.types import Breaker, Ceilings, Credential
from engine.runtime.gate import PATIENCE_MS

Bench = Any
Kit = Any

QUICK = Breaker(open_at=0.5, calls=4, window_ms=30_000, pause_ms=1_000)
KEYS = tuple(Credential(name, "fake", {}, {}) for name in ("k", "l"))


def health(b: Bench, name: str = "a") -> dict[str, Any]:
    told: dict[str, Any] = b.executor.health.told(name, int(b.clock.now_ms()))
    return told


async def test_an_open_breaker_makes_no_call_until_one_trial_goes_well(
    bench: Callable[..., Bench], kit: Kit
) -> None:
    b = bench(
        kit.use("a"),
        {"a": [kit.Fail("server")] * 4 + [kit.Say()]},
        deployments=(kit.deployment("a", breaker=QUICK),),
    )
    for _ in range(4):
        assert (await b.fails()).failure == "server"
    error = await b.fails()
    assert (error.failure, error.status) == ("full", 503)
    assert 800 <= (error.retry_after_ms or 0) <= 1_000
    assert b.record.path[-1].why == "the breaker of a is open"
    assert len(b.upstream.asked) == 4
    b.clock.advance(1_000)
    asked = await asyncio.gather(*(b.run() for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(each, EngineError) for each in asked) == 4
    assert len(b.upstream.asked) == 5
    assert health(b)["breaker"] == "closed"
    await b.run()


async def test_a_cancelled_trial_gives_its_place_back(
    bench: Callable[..., Bench], kit: Kit, until: Any
) -> None:
    b = bench(
        kit.use("a"),
        {"a": [kit.Fail("server")] * 4 + [kit.Say(first=10_000), kit.Say()]},
        deployments=(kit.deployment("a", breaker=QUICK),),
    )
    for _ in range(4):
        await b.fails()
    b.clock.advance(1_000)
    trial = asyncio.create_task(b.run())
    await until(lambda: len(b.upstream.asked) == 5)
    assert (await b.fails()).failure == "full"
    trial.cancel()
    await asyncio.wait([trial])
    assert health(b)["breaker"] == "half_open"
    await b.run()
    assert health(b)["breaker"] == "closed"


async def test_a_trial_whose_lease_is_refused_gives_its_place_back(
    bench: Callable[..., Bench], kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine.state.protocol import Granted

    b = bench(
        kit.use("a"),
        {"a": [kit.Fail("server")] * 4 + [kit.Say()]},
        deployments=(kit.deployment("a", breaker=QUICK),),
    )
    for _ in range(4):
        await b.fails()
    b.clock.advance(1_000)
    with monkeypatch.context() as patched:
        patched.setattr(b.state, "reserve", lambda hold, now: Granted(None, "full", 1))
        await b.fails()
    await b.run()


async def test_a_stream_is_a_good_trial_once_it_begins(bench: Callable[..., Bench], kit: Kit) -> None:
    b = bench(
        kit.use("a"),
        {"a": [kit.Fail("server")] * 4 + [kit.Say("one", "two", every=60_000, end="cut")]},
        deployments=(kit.deployment("a", breaker=QUICK),),
    )
    for _ in range(4):
        await b.fails()
    b.clock.advance(1_000)
    answer = await b.run(stream=True)
    assert health(b)["breaker"] == "closed"
    await b.read(answer)
    assert (health(b)["calls"], health(b)["failed"]) == (1, 1), "it broke later"


async def test_streams_that_break_count_as_failures_and_once(bench: Callable[..., Bench], kit: Kit) -> None:
    b = bench(
        kit.use("a"), {"a": [kit.Say("half", end="cut")]}, deployments=(kit.deployment("a", breaker=QUICK),)
    )
    for calls in range(1, 5):
        await b.read(await b.run(stream=True))
        assert health(b)["failed"] == health(b)["calls"] == calls
    assert health(b)["breaker"] == "open"


async def test_clients_that_leave_say_nothing_of_the_vendor(bench: Callable[..., Bench], kit: Kit) -> None:
    b = bench(kit.use("a"), {"a": [kit.Say("one", "two", first=50, every=50)]})
    answer = await b.run(stream=True)
    await answer.flow.close()
    early = asyncio.create_task(b.run())
    await asyncio.sleep(0)
    early.cancel()
    await asyncio.wait([early])
    assert health(b)["calls"] == 0


@pytest.mark.parametrize(("time_ms", "counted"), [(PATIENCE_MS - 1, 0), (PATIENCE_MS, 1)])
async def test_a_request_without_time_says_nothing_of_the_vendor(
    bench: Callable[..., Bench], kit: Kit, time_ms: int, counted: int
) -> None:
    b = bench(kit.use("a"), {"a": [kit.Say(first=60_000)]}, per_request=Ceilings(time_ms=time_ms))
    assert (await b.fails()).failure == "timeout"
    assert health(b)["failed"] == counted


# --- credentials ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("failure", ["auth", "permission", "quota_exhausted", "rate_limited"])
async def test_another_credential_is_shown_at_once(
    bench: Callable[..., Bench], kit: Kit, failure: str
) -> None:
    b = bench(
        kit.use("a", retry_extra=1),
        {"a": [kit.Fail(failure, retry_after_ms=60_000), kit.Say()]},
        deployments=(kit.deployment("a", credentials=KEYS),),
    )
    await b.run()
    assert [ask.credential.name for ask in b.upstream.asked] == ["k", "l"]
    assert [attempt.credential for attempt in b.record.attempts] == ["k", "l"]
    assert b.record.duration_ms == 0
    assert b.record.path[0].why == f"{failure}, with another credential"
    await b.run()
    assert b.upstream.asked[-1].credential.name == "l"


async def test_no_more_calls_than_retry_allows(bench: Callable[..., Bench], kit: Kit) -> None:
    b = bench(
        kit.use("a", retry_extra=0),
        {"a": [kit.Fail("auth"), kit.Say()]},
        deployments=(kit.deployment("a", credentials=KEYS),),
    )
    assert (await b.fails()).failure == "auth"


async def test_a_deployment_without_a_good_key_is_skipped(bench: Callable[..., Bench], kit: Kit) -> None:
    b = bench(
        kit.fallback(kit.use("a"), kit.use("b")),
        {"a": [kit.Fail("auth")], "b": [kit.Say()]},
        deployments=(kit.deployment("a", credentials=KEYS[:1]), kit.deployment("b")),
    )
    for _ in range(5):
        await b.run()
    assert b.upstream.calls.count("a") == 2
    assert b.record.path[0].why == "a is not asked while the credential k is refused (auth)"


async def test_no_client_is_told_the_name_of_a_credential(bench: Callable[..., Bench], kit: Kit) -> None:
    b = bench(
        kit.use("a"),
        {"a": [kit.Fail("auth")]},
        deployments=(kit.deployment("a", credentials=KEYS[:1]),),
    )
    for _ in range(3):
        told = await b.fails()
    assert "the credential k" in b.record.path[0].why
    assert "a cannot be asked now: auth" in told.message
    assert "credential k" not in told.message


# --- retries --------------------------------------------------------------------------------------------


async def test_a_rate_limit_pauses_the_deployment_for_everybody(
    bench: Callable[..., Bench], kit: Kit
) -> None:
    limited = kit.Fail("rate_limited", retry_after_ms=2_000)
    b = bench(
        kit.fallback(kit.use("a", retry_extra=0), kit.use("b")),
        {"a": [limited, kit.Say()], "b": [kit.Say()]},
    )
    for _ in range(3):
        await b.run()
    assert b.upstream.calls == ["a", "b", "b", "b"]
    b.clock.advance(2_000)
    await b.run()
    assert b.upstream.calls[-1] == "a"


async def test_who_waits_as_the_vendor_said_is_let_in(bench: Callable[..., Bench], kit: Kit) -> None:
    b = bench(kit.use("a", retry_extra=1), {"a": [kit.Fail("rate_limited", retry_after_ms=2_000), kit.Say()]})
    await b.run()
    assert b.record.attempts[1].started_ms == 2_000


async def test_an_outage_uses_the_budget_up_and_first_attempts_go_on(
    bench: Callable[..., Bench], kit: Kit
) -> None:
    never = Breaker(calls=10**6)
    b = bench(
        kit.use("a", retry_extra=2, retry_backoff_ms=0),
        {"a": [kit.Fail("server")]},
        deployments=(kit.deployment("a", breaker=never),),
    )
    for _ in range(500):
        await b.fails()
    assert len(b.upstream.asked) == 600, "half of the budget: the rest is for moving on"
    assert b.record.failure == "server"


async def test_what_a_fallback_leads_to_is_not_cut_off_by_retries(
    bench: Callable[..., Bench], kit: Kit
) -> None:
    never = Breaker(calls=10**6)
    b = bench(
        kit.fallback(kit.use("a", retry_extra=2, retry_backoff_ms=0), kit.use("b")),
        {"a": [kit.Fail("server")], "b": [kit.Say()]},
        deployments=(kit.deployment("a", breaker=never), kit.deployment("b")),
    )
    for _ in range(500):
        await b.run()
    assert b.upstream.calls.count("b") == 500


async def test_an_attempt_that_was_not_made_is_not_paid_for(bench: Callable[..., Bench], kit: Kit) -> None:
    b = bench(
        kit.fallback(kit.use("a", retry_extra=0), kit.use("b")),
        {"a": [kit.Fail("context_length")], "b": [kit.Fail("quota_exhausted"), kit.Say()]},
        deployments=(kit.deployment("a"), kit.deployment("b", credentials=KEYS[:1])),
    )
    for _ in range(300):
        assert (await b.fails()).failure in {"context_length", "quota_exhausted"}
    assert b.upstream.calls.count("b") == 1
    assert b.executor.health.retries.of_routes(0)["r"] > 190


@pytest.mark.parametrize(
    ("told", "calls"), [({"should_retry": False}, 1), ({"should_retry": True}, 2), ({}, 2)]
)
async def test_the_vendor_may_say_that_it_is_not_worth_repeating(
    bench: Callable[..., Bench], kit: Kit, told: dict[str, bool], calls: int
) -> None:
    fail = kit.Fail("server")
    fail.error.update(told)
    b = bench(kit.use("a", retry_extra=1), {"a": [fail]})
    await b.fails()
    assert len(b.upstream.asked) == calls


@pytest.mark.parametrize(("delay_ms", "calls"), [(120_000, 2), (120_001, 1)])
async def test_nobody_waits_for_more_than_two_minutes(
    bench: Callable[..., Bench], kit: Kit, delay_ms: int, calls: int
) -> None:
    b = bench(kit.use("a", retry_extra=1), {"a": [kit.Fail("rate_limited", retry_after_ms=delay_ms)]})
    await b.fails()
    assert len(b.upstream.asked) == calls


async def test_where_all_are_bad_those_at_which_something_goes_well_are_asked(
    bench: Callable[..., Bench], kit: Kit
) -> None:
    half = [kit.Say(), *[kit.Fail("server")] * 4] * 3
    b = bench(
        kit.fallback(kit.use("a", retry_extra=0), kit.use("b", retry_extra=0)),
        {"a": [*half, kit.Say()], "b": [*half, kit.Say()]},
        deployments=tuple(kit.deployment(name, breaker=Breaker(0.5, 8, 30_000, 60_000)) for name in "ab"),
    )
    while not all(health(b, name)["breaker"] == "open" for name in "ab"):
        await asyncio.gather(b.run(), return_exceptions=True)
    calls = len(b.upstream.asked)
    await asyncio.gather(*(b.run() for _ in range(3)), return_exceptions=True)
    assert len(b.upstream.asked) > calls


async def test_a_pause_is_waited_out_where_nobody_else_is_left(bench: Callable[..., Bench], kit: Kit) -> None:
    b = bench(kit.use("a", retry_extra=1), {"a": [kit.Fail("rate_limited", retry_after_ms=2_000), kit.Say()]})
    answers = await asyncio.gather(*(b.run() for _ in range(2)), _later(b, 500))
    assert len(answers) == 3
    waited = [each for each in b.records if any(step.what == "waited" for step in each.path)]
    assert [step.why for each in waited for step in each.path] == ["a said to slow down, for 1500 ms"]
    assert 1_500 <= waited[0].duration_ms <= 1_650


async def _later(b: Bench, ms: int) -> Any:
    await b.clock.sleep(ms)
    return await b.run()


@pytest.mark.parametrize(("extra", "delay_ms"), [(0, 2_000), (1, 120_001), (1, 60_000)])
async def test_a_pause_that_is_not_waited_out(
    bench: Callable[..., Bench], kit: Kit, extra: int, delay_ms: int
) -> None:
    """Without retries, for more than two minutes, beyond the request's own time."""
    b = bench(
        kit.use("a", retry_extra=extra),
        {"a": [kit.Fail("rate_limited", retry_after_ms=delay_ms), kit.Say()]},
        per_request=Ceilings(time_ms=30_000),
    )
    await b.fails()
    error = await b.fails()
    assert (error.failure, error.retry_after_ms) == ("full", delay_ms)
    assert len(b.upstream.asked) == 1


async def test_a_pause_is_not_waited_for_without_end(bench: Callable[..., Bench], kit: Kit) -> None:
    b = bench(kit.use("a", retry_extra=1), {"a": [kit.Fail("rate_limited", retry_after_ms=1_000)]})
    await asyncio.gather(*(b.fails() for _ in range(30)))
    assert max(record.duration_ms for record in b.records) < 10_000


async def test_of_skipped_targets_the_soonest_says_when_to_come_back(
    bench: Callable[..., Bench], kit: Kit
) -> None:
    b = bench(
        kit.fallback(kit.use("a"), kit.use("b")),
        {
            "a": [kit.Fail("rate_limited", retry_after_ms=9_000)],
            "b": [kit.Fail("quota_exhausted", retry_after_ms=7_000)],
        },
        deployments=(kit.deployment("a"), kit.deployment("b", credentials=KEYS[:1])),
    )
    await b.fails()
    error = await b.fails()
    assert (error.failure, error.retry_after_ms) == ("full", 7_000)
