"""Random graphs under random outcomes: what must hold whatever is written and whatever happens."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.errors import EngineError
from engine.plan.types import Ceilings, Streaming
from engine.runtime.sinks import as_json

NAMES = "abcd"
FAILURES = ["rate_limited", "overloaded", "timeout", "connect", "server", "auth", "context_length",
            "content_policy", "bad_request", "cut"]  # fmt: skip
RANKS = ["weight", "round_robin", "in_flight", "latency", "cost"]

PLAYS = st.lists(
    st.one_of(
        st.tuples(st.just("fail"), st.sampled_from(FAILURES), st.sampled_from([0, 50, 5_000]),
                  st.sampled_from([None, 0, 700, 90_000])),
        st.tuples(st.just("say"), st.sampled_from(["usage", "silent", "cut", "server"]),
                  st.sampled_from([0, 30, 4_000]), st.sampled_from([0, 20, 3_000])),
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
            return kit.balance(*(build(kit, child) for child in children), rank=rank, tries=tries)
        case ("switch", count, then, otherwise):
            return kit.switch(kit.more_tokens_than(count), build(kit, then), build(kit, otherwise))
    raise AssertionError(spec)


def play(kit: Any, spec: tuple[Any, ...]) -> Any:
    if spec[0] == "fail":
        return kit.Fail(spec[1], after=spec[2], retry_after_ms=spec[3])
    return kit.Say("one", "two", "three", end=spec[1], first=spec[2], every=spec[3])


async def once(
    kit: Any,
    graph: Any,
    script: Any,
    stream: bool,
    leave_after: int | None,
    *,
    per_request: Ceilings,
    streaming: Streaming,
) -> Any:
    """Three requests on one bench, at once; gives what can be compared between two runs."""
    plays = {name: [play(kit, p) for p in script[name]] for name in NAMES}
    bench = kit.Bench(build(kit, graph), plays, per_request=per_request, stream=streaming)
    seen = await asyncio.gather(*(request(bench, stream, leave_after) for _ in range(3)))
    bench.check()
    assert len(bench.records) == 3
    ceiling, time_ms = per_request.calls, per_request.time_ms
    assert ceiling is not None
    assert time_ms is not None
    for record in bench.records:
        assert len(record.attempts) <= ceiling
        assert [a.number for a in record.attempts] == list(range(1, len(record.attempts) + 1))
        assert record.duration_ms <= time_ms + 1
    return seen, [as_json(record) for record in bench.records], bench.upstream.calls


async def request(bench: Any, stream: bool, leave_after: int | None) -> list[str]:
    try:
        answer = await bench.run(stream=stream)
    except EngineError as error:
        return [error.code]
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


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    graph=GRAPHS,
    script=st.fixed_dictionaries(dict.fromkeys(NAMES, PLAYS)),
    stream=st.booleans(),
    leave_after=st.sampled_from([None, None, 1, 3]),
    calls=st.integers(1, 5),
    complete=st.booleans(),
)
def test_whatever_happens(
    kit: Any, graph: Any, script: Any, stream: bool, leave_after: int | None, calls: int, complete: bool
) -> None:
    route = {
        "per_request": Ceilings(calls=calls, time_ms=20_000),
        "streaming": Streaming(switch_until="complete" if complete else "first_token"),
    }
    first = asyncio.run(once(kit, graph, script, stream, leave_after, **route))
    again = asyncio.run(once(kit, graph, script, stream, leave_after, **route))
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
