"""Whole answers: match, admit, attempts, costs, errors, the record."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from engine.errors import NoCandidate, NoRoute, NotAdmitted, UpstreamError
from engine.plan.types import Admit, Call, Ceilings, Concurrent, Credential, Match
from engine.plan.vendors import Facts, PriceRow
from engine.runtime.execute import Executor
from engine.runtime.views import Key

Bench = Any
Kit = Any


async def test_an_answer(bench: Callable[..., Bench], kit: Kit) -> None:
    b = bench(kit.use("a"), {"a": [kit.Say("hello", " world")]})
    answer = await b.run(text="hi there")
    assert answer.reply["choices"][0]["message"]["content"] == [{"type": "text", "text": "hello world"}]
    assert answer.reply["model"] == "model-a"
    assert (answer.deployment, answer.model) == ("a", "model-a")
    record = b.record
    assert record is answer.record
    assert (record.route, record.served_by, record.failure, record.status) == ("r", "a", None, 200)
    assert (record.finish, record.stream, record.revision) == ("stop", False, b.plan.revision)
    (attempt,) = record.attempts
    assert (attempt.number, attempt.node, attempt.closed) == (1, "r/a", "settled")
    assert attempt.cost.input == 10 * 2_000
    assert attempt.cost.output == 5 * 6_000
    assert record.cost == 50_000
    assert attempt.reserved >= record.cost


async def test_a_switch_and_a_fallback(bench: Callable[..., Bench], kit: Kit) -> None:
    start = kit.switch(kit.more_tokens_than(100), kit.use("big"), kit.fallback(kit.use("a"), kit.use("b")))
    b = bench(start, {"big": [kit.Say()], "a": [kit.Fail("server")], "b": [kit.Say()]})
    await b.run(text="short")
    assert b.upstream.calls == ["a", "b"]
    assert [a.closed for a in b.record.attempts] == ["released", "settled"]
    assert [a.failure for a in b.record.attempts] == ["server", None]
    assert [(s.node, s.what, s.why) for s in b.record.path] == [
        ("r/switch", "took", "else"),
        ("r/fallback", "moved_on", "server at a"),
    ]
    await b.run(text="x" * 200)
    assert b.upstream.calls == ["a", "b", "big"]


async def test_failed_attempts_are_not_billed(bench: Callable[..., Bench], kit: Kit) -> None:
    b = bench(kit.fallback(kit.use("a"), kit.use("b")), {"a": [kit.Fail("overloaded")], "b": [kit.Say()]})
    await b.run()
    assert [a.cost.total for a in b.record.attempts] == [0, 50_000]


@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        ("server", 502, "upstream_error"),
        ("timeout", 504, "upstream_timeout"),
        ("rate_limited", 429, "rate_limit_exceeded"),
        ("context_length", 400, "context_length_exceeded"),
        ("content_policy", 400, "content_policy_violation"),
        ("auth", 502, "upstream_auth"),
        ("bad_request", 400, "bad_request"),
    ],
)
async def test_the_last_failures_own_error(
    bench: Callable[..., Bench], kit: Kit, failure: str, status: int, code: str
) -> None:
    b = bench(kit.use("a"), {"a": [kit.Fail(failure)]})
    error = await b.fails()
    assert isinstance(error, UpstreamError)
    assert (error.status, error.code, error.failure) == (status, code, failure)
    assert b.record.failure == failure
    assert b.record.status == status


async def test_a_vendors_words_about_our_key_stay_here(bench: Callable[..., Bench], kit: Kit) -> None:
    b = bench(kit.use("a"), {"a": [kit.Fail("auth")]})
    assert "told:" not in (await b.fails()).message
    assert b.record.attempts[0].message is None


async def test_skipped_targets_are_no_candidate(bench: Callable[..., Bench], kit: Kit) -> None:
    b = bench(kit.fallback(kit.use("a"), kit.use("b")), {"a": [], "b": []},
              missing={"a": "not fetched", "b": "not fetched"})  # fmt: skip
    error = await b.fails()
    assert isinstance(error, NoCandidate)
    assert (error.status, error.code) == (503, "no_candidate")
    assert b.record.attempts == []
    assert [step.why for step in b.record.path if step.what == "skipped"] == [
        "a is not available here: not fetched",
        "b is not available here: not fetched",
    ]


async def test_a_model_that_is_missing_is_passed_over(bench: Callable[..., Bench], kit: Kit) -> None:
    b = bench(kit.fallback(kit.use("a"), kit.use("b")), {"a": [], "b": []}, missing={"a": "not fetched"})
    b.upstream.script = {}
    assert (await b.run()).deployment == "b"


@pytest.mark.parametrize(
    ("facts", "request_fields", "failure"),
    [
        (Facts(can=("tools",)), {"response_format": {"type": "json_schema", "schema": {}}}, "unsupported"),
        (Facts(can=()), {"tools": [{"name": "f"}]}, "unsupported"),
        (Facts(output=100), {"max_tokens": 101}, "unsupported"),
        (Facts(context=10), {"text": "x" * 400}, "context_length"),
    ],
)
async def test_what_a_target_cannot_hold_or_do(
    bench: Callable[..., Bench], kit: Kit, facts: Facts, request_fields: dict[str, Any], failure: str
) -> None:
    small, large = kit.deployment("small", facts=facts), kit.deployment("large", facts=Facts())
    b = bench(kit.fallback(kit.use("small"), kit.use("large")), {}, deployments=(small, large))
    await b.run(**request_fields)
    assert b.upstream.calls == ["large"]
    alone = bench(kit.use("small"), {}, deployments=(small,))
    error = await alone.fails(**request_fields)
    assert (error.status, error.failure) == (400, failure)
    assert alone.upstream.calls == []


async def test_a_bound_that_might_be_too_high_skips_nobody(bench: Callable[..., Bench], kit: Kit) -> None:
    """400 letters are at most 400 tokens, but surely fewer than 100: the vendor is asked."""
    b = bench(kit.use("a"), {}, deployments=(kit.deployment("a", facts=Facts(context=100)),))
    await b.run(text="x" * 400)
    assert b.upstream.calls == ["a"]


@pytest.mark.parametrize(
    ("admit", "fields", "status", "param"),
    [
        (Admit(input=50), {"text": "x" * 100}, 413, "messages"),
        (Admit(output=100), {"max_tokens": 101}, 400, "max_tokens"),
        (Admit(), {"n": 2}, 400, "n"),
        (Admit(tools=False), {"tools": [{"name": "f"}]}, 400, "tools"),
        (Admit(hosted_tools=()), {"tools": [{"hosted": {"type": "web_search"}}]}, 400, "tools"),
        (Admit(json_schema=False), {"response_format": {"type": "json_schema"}}, 400, "response_format"),
    ],
)
async def test_what_the_route_does_not_let_in(
    bench: Callable[..., Bench], kit: Kit, admit: Admit, fields: dict[str, Any], status: int, param: str
) -> None:
    b = bench(kit.use("a"), {"a": []}, admit=admit)
    error = await b.fails(**fields)
    assert isinstance(error, NotAdmitted)
    assert (error.status, error.param) == (status, param)
    assert b.upstream.calls == []


@pytest.mark.parametrize("kind", ["image", "audio", "file"])
async def test_media(bench: Callable[..., Bench], kit: Kit, kind: str) -> None:
    b = bench(kit.use("a"), {"a": [kit.Say()]}, admit=Admit(images=1, audio=1, files=1))
    inbound = b.inbound()
    inbound.request["messages"][0]["content"].append({"type": kind})
    await b.run(inbound)
    inbound = b.inbound()
    inbound.request["messages"][0]["content"] += [{"type": kind}, {"type": kind}]
    assert (await b.fails(inbound)).status == 400


async def test_hosted_tools_that_are_let_in(bench: Callable[..., Bench], kit: Kit) -> None:
    b = bench(kit.use("a"), {"a": [kit.Say()]}, admit=Admit(hosted_tools=("web_search",)))
    await b.run(tools=[{"hosted": {"type": "web_search"}}, {"name": "f"}])


@pytest.mark.parametrize(
    ("admit", "facts", "asked", "sent"),
    [
        (Admit(output=500), Facts(), None, 500),
        (Admit(output=500), Facts(), 20, 20),
        (Admit(), Facts(output=300), None, None),
        (Admit(output=500), Facts(output=300), None, 300),
        (Admit(), Facts(), None, None),
    ],
)
async def test_the_output_limit(
    bench: Callable[..., Bench], kit: Kit, admit: Admit, facts: Facts, asked: int | None, sent: int | None
) -> None:
    b = bench(kit.use("a"), {}, deployments=(kit.deployment("a", facts=facts),), admit=admit)
    await b.run(**({} if asked is None else {"max_tokens": asked}))
    assert b.upstream.asked[0].max_tokens == sent


async def test_the_ask_carries_what_the_target_says(bench: Callable[..., Bench], kit: Kit) -> None:
    start = kit.fallback(kit.use("a", params={"x": 1, "y": None}), failures=("server",))
    b = bench(start, {"a": [kit.Say()]}, call=Call(connect_ms=700, params={"y": 2, "z": 3}))
    await b.run()
    ask = b.upstream.asked[0]
    assert ask.params == {"x": 1, "z": 3}
    assert (ask.connect_ms, ask.stream, ask.attempt, ask.request_id) == (700, False, 1, "req-1")


async def test_no_route(bench: Callable[..., Bench], kit: Kit) -> None:
    b = bench(kit.use("a"), {"a": []})
    inbound = b.inbound()
    inbound.request["model"] = "rr"
    error = await b.fails(inbound)
    assert isinstance(error, NoRoute)
    assert error.status == 404
    assert "did you mean 'r'?" in error.message
    assert b.record.route is None


async def test_calls_are_a_ceiling(bench: Callable[..., Bench], kit: Kit) -> None:
    start = kit.fallback(kit.use("a", retry_extra=5), kit.use("b", retry_extra=5))
    script = {"a": [kit.Fail("server")], "b": [kit.Fail("server")]}
    b = bench(start, script, per_request=Ceilings(calls=4))
    assert (await b.fails()).failure == "server"
    assert len(b.upstream.calls) == 4


async def test_the_deadline_ends_a_call(bench: Callable[..., Bench], kit: Kit) -> None:
    start = kit.fallback(kit.use("a"), kit.use("b"))
    b = bench(start, {"a": [kit.Say(first=60_000)], "b": [kit.Say()]}, per_request=Ceilings(time_ms=2_000))
    error = await b.fails()
    assert error.failure == "timeout"
    assert b.upstream.calls == ["a"]
    assert b.record.duration_ms == pytest.approx(2_000)


async def test_the_clients_deadline_counts_too(bench: Callable[..., Bench], kit: Kit) -> None:
    b = bench(kit.use("a"), {"a": [kit.Say(first=60_000)]}, per_request=Ceilings(time_ms=9_000))
    inbound = b.inbound()
    inbound.deadline_ms = 300
    assert (await b.fails(inbound)).failure == "timeout"
    assert b.record.duration_ms == pytest.approx(300)


async def test_no_time_left_at_all(bench: Callable[..., Bench], kit: Kit) -> None:
    b = bench(kit.use("a"), {"a": [kit.Say()]})
    inbound = b.inbound()
    inbound.deadline_ms = 0
    error = await b.fails(inbound)
    assert (error.status, b.upstream.calls) == (504, [])


async def test_total_ends_a_call_and_moves_on(bench: Callable[..., Bench], kit: Kit) -> None:
    start = kit.fallback(kit.use("a", total_ms=500, retry_extra=1), kit.use("b"))
    b = bench(start, {"a": [kit.Say(first=60_000)], "b": [kit.Say()]})
    assert (await b.run()).deployment == "b"
    first, second = b.record.attempts
    assert (first.failure, first.ended_ms, second.started_ms) == ("timeout", 500, 500)
    assert first.message == "a did not answer within its total limit"


async def test_the_vendors_delay_is_waited_out(bench: Callable[..., Bench], kit: Kit) -> None:
    b = bench(kit.use("a", retry_extra=1), {"a": [kit.Fail("rate_limited", retry_after_ms=2_000), kit.Say()]})
    await b.run()
    assert [a.started_ms for a in b.record.attempts] == [0, 2_000]


@pytest.mark.parametrize("limit", [{"per_request": Ceilings(time_ms=1_500)}, {"call": Call(total_ms=1_500)}])
async def test_a_delay_that_does_not_fit_moves_on(
    bench: Callable[..., Bench], kit: Kit, limit: dict[str, Any]
) -> None:
    start = kit.fallback(kit.use("a", retry_extra=1), kit.use("b"))
    script = {"a": [kit.Fail("rate_limited", retry_after_ms=2_000)], "b": [kit.Say()]}
    b = bench(start, script, **limit)
    assert (await b.run()).deployment == "b"
    assert b.record.duration_ms == 0


async def test_concurrent_calls_are_capped(bench: Callable[..., Bench], kit: Kit) -> None:
    capped = kit.deployment("a", concurrent=Concurrent(1))
    start = kit.fallback(kit.use("a"), kit.use("b"))
    b = bench(start, {"a": [kit.Say(first=1_000)]}, deployments=(capped, kit.deployment("b")))
    answers = await asyncio.gather(b.run(), b.run())
    assert [a.deployment for a in answers] == ["a", "b"]


async def test_full_everywhere_says_when_to_come_back(
    bench: Callable[..., Bench], kit: Kit, until: Any
) -> None:
    capped = kit.deployment("a", concurrent=Concurrent(1))
    b = bench(kit.use("a"), {"a": [kit.Say(first=1_000)]}, deployments=(capped,))
    first = asyncio.create_task(b.run())
    await until(lambda: b.upstream.calls == ["a"])
    error = await b.fails()
    assert (error.status, error.code, error.retry_after_ms) == (503, "no_candidate", 1_000)
    await first


async def test_usage_that_was_not_told_is_estimated(bench: Callable[..., Bench], kit: Kit) -> None:
    b = bench(kit.use("a"), {"a": [kit.Say("x" * 40, end="silent")]})
    answer = await b.run(text="y" * 80)
    usage = answer.reply["usage"]
    assert usage == {"input_tokens": 20, "output_tokens": 10, "estimated": True}
    assert b.record.attempts[0].estimated


async def test_half_a_usage_is_completed(bench: Callable[..., Bench], kit: Kit) -> None:
    b = bench(kit.use("a"), {"a": [kit.Say("x" * 40, usage={"output_tokens": 7})]})
    answer = await b.run(text="y" * 80)
    assert answer.reply["usage"] == {"input_tokens": 20, "output_tokens": 7, "estimated": True}


async def test_a_vendors_own_bill_wins(bench: Callable[..., Bench], kit: Kit) -> None:
    b = bench(
        kit.use("a"), {"a": [kit.Say(usage={"input_tokens": 10, "output_tokens": 5, "cost": 0.000123})]}
    )
    await b.run()
    assert b.record.attempts[0].cost.reported == 123_000
    assert b.record.cost == 123_000


async def test_a_call_costs_what_it_costs_at_its_time(bench: Callable[..., Bench], kit: Kit) -> None:
    change = 1_764_583_200 + 60
    facts = Facts(prices=(PriceRow(10**9, 10**9), PriceRow(3 * 10**9, 3 * 10**9, since=change)), output=100)
    say = kit.Say("", usage={"input_tokens": 10, "output_tokens": 0})
    b = bench(kit.use("a"), {"a": [say, say]}, deployments=(kit.deployment("a", facts=facts),))
    await b.run()
    assert b.record.cost == 10 * 1000
    before = b.record.attempts[0].reserved
    b.clock.advance(60_000)
    await b.run()
    assert b.record.cost == 10 * 3000
    assert b.record.attempts[0].reserved == before  # the hour's dearest was reserved from the start


async def test_the_model_can_be_hidden(bench: Callable[..., Bench], kit: Kit) -> None:
    b = bench(kit.use("a"), {"a": [kit.Say()]}, reply_model="requested")
    answer = await b.run()
    assert answer.reply["model"] == "r"
    assert answer.model == "r"


async def test_raw_bytes_are_handed_on(bench: Callable[..., Bench], kit: Kit) -> None:
    b = bench(kit.use("a"), {"a": [kit.Say(raw=True)]})
    assert (await b.run()).raw == b"raw"


async def test_a_client_that_leaves(bench: Callable[..., Bench], kit: Kit, until: Any) -> None:
    b = bench(kit.use("a"), {"a": [kit.Say(first=60_000)]})
    task = asyncio.create_task(b.run())
    await until(lambda: b.upstream.calls == ["a"])
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (b.record.failure, b.record.status) == ("cancelled", 499)
    assert b.record.attempts[0].closed == "released"


async def test_a_fault_of_an_upstream_is_not_swallowed(bench: Callable[..., Bench], kit: Kit) -> None:
    b = bench(kit.use("a"), {"a": [kit.Say()]})

    async def broken(ask: Any) -> Any:
        raise RuntimeError("a bug")

    b.upstream.whole = broken
    with pytest.raises(RuntimeError, match="a bug"):
        await b.run()
    assert (b.record.failure, b.record.status) == ("server", 500)


async def test_a_sink_that_fails_costs_nobody_an_answer(
    bench: Callable[..., Bench], kit: Kit, caplog: pytest.LogCaptureFixture
) -> None:
    b = bench(kit.use("a"), {"a": [kit.Say()]})

    def broken(_: Any) -> None:
        raise OSError("disk full")

    b.executor.sinks.append(broken)
    assert (await b.run()).reply is not None
    assert "decision record" in caplog.text


async def test_a_store_that_must_be_awaited(bench: Callable[..., Bench], kit: Kit) -> None:
    class Remote:
        """The memory store behind a network."""

        def __init__(self, inner: Any) -> None:
            self.inner = inner

        def __getattr__(self, name: str) -> Any:
            return getattr(self.inner, name)

        async def reserve(self, *args: Any) -> Any:
            await asyncio.sleep(0)
            return self.inner.reserve(*args)

        async def settle(self, *args: Any) -> None:
            await asyncio.sleep(0)
            self.inner.settle(*args)

        async def release(self, *args: Any) -> None:
            await asyncio.sleep(0)
            self.inner.release(*args)

    b = bench(kit.fallback(kit.use("a"), kit.use("b")), {"a": [kit.Fail("server")], "b": [kit.Say()]})
    from random import Random

    b.executor = Executor(Remote(b.state), b.clock, Random(1), [b.records.append])
    assert (await b.run()).deployment == "b"


@pytest.mark.parametrize("rank", ["weight", "round_robin", "in_flight", "latency", "cost"])
async def test_balance_by_every_rank(bench: Callable[..., Bench], kit: Kit, rank: str) -> None:
    names = ["a", "b", "c"]
    b = bench(kit.balance(*(kit.use(n) for n in names), rank=rank), {n: [kit.Fail("server")] for n in names})
    await b.fails()
    assert sorted(b.upstream.calls) == names


async def test_latency_prefers_the_quick_one(bench: Callable[..., Bench], kit: Kit) -> None:
    start = kit.balance(kit.use("slow"), kit.use("quick"), rank="latency")
    b = bench(start, {"slow": [kit.Say(first=900)], "quick": [kit.Say(first=10)]})
    for _ in range(8):
        await b.run()
    assert b.upstream.calls.count("quick") > b.upstream.calls.count("slow")


@pytest.mark.parametrize(("org", "route"), [("acme", "vip"), ("globex", "plain")])
async def test_a_route_for_some_keys(bench: Callable[..., Bench], kit: Kit, org: str, route: str) -> None:
    acme = kit.when_org("acme")
    routes = (
        kit.route(kit.use("a"), "vip", match=Match(models=("m",), when=acme)),
        kit.route(kit.use("b"), "plain", match=Match(models=("m*",))),
    )
    b = bench(kit.use("a"), {"a": [kit.Say()], "b": [kit.Say()]}, routes=routes)
    inbound = b.inbound()
    inbound.request["model"] = "m"
    inbound.key = Key(id="k1", org=org, tags={"tier": "gold"})
    await b.run(inbound)
    assert b.record.route == route
    assert (b.record.key, b.record.tags) == ("k1", {"tier": "gold"})


def credential(name: str, only: Any = None) -> Credential:
    return Credential(name=name, provider="fake", secrets={}, settings={}, only=only)


async def test_credentials_take_turns(bench: Callable[..., Bench], kit: Kit) -> None:
    both = kit.deployment("a", credentials=(credential("one"), credential("two")))
    b = bench(kit.use("a"), {"a": [kit.Say()]}, deployments=(both,))
    for _ in range(3):
        await b.run()
    assert [ask.credential.name for ask in b.upstream.asked] == ["one", "two", "one"]


async def test_a_credential_for_some_keys(bench: Callable[..., Bench], kit: Kit) -> None:
    acme = kit.deployment("a", credentials=(credential("acmes", kit.when_org("acme")),))
    start = kit.fallback(kit.use("a"), kit.use("b"))
    b = bench(start, {"a": [], "b": []}, deployments=(acme, kit.deployment("b")))
    b.upstream.script = {}
    assert (await b.run()).deployment == "b"
    assert b.record.path[0].why == "a has no credential for this client key"
    inbound = b.inbound()
    inbound.key = Key(org="acme")
    assert (await b.run(inbound)).deployment == "a"


async def test_a_deployment_that_passes_names_on(bench: Callable[..., Bench], kit: Kit) -> None:
    b = bench(kit.use("any"), {}, deployments=(kit.deployment("any", model="*", wire_model="*"),))
    assert (await b.run()).reply["model"] == "r"


@pytest.mark.parametrize(("counts", "exact", "told"), [({"a": 7, "b": 9}, True, 9), ({"a": 7}, False, None)])
async def test_tokens_are_exact_where_all_can_count(
    bench: Callable[..., Bench], kit: Kit, counts: dict[str, int], exact: bool, told: int | None
) -> None:
    b = bench(kit.fallback(kit.use("a"), kit.use("b")), {"a": [kit.Say()], "b": [kit.Say()]})

    async def count(request: Any, deployment: Any) -> int | None:
        return counts.get(deployment.name)

    b.upstream.count = count
    await b.run(text="x" * 100)
    assert b.record.input_exact is exact
    assert b.record.input_tokens == told or (told is None and b.record.input_tokens > 100)


async def test_an_exact_count_skips_what_is_too_small(bench: Callable[..., Bench], kit: Kit) -> None:
    b = bench(kit.use("a"), {}, deployments=(kit.deployment("a", facts=Facts(context=100)),))

    async def count(request: Any, deployment: Any) -> int:
        return 101

    b.upstream.count = count
    assert (await b.fails()).code == "context_length_exceeded"
