"""Streams: the commit point, the limits, cuts, clients that leave."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from engine.kinds.respond import Respond
from engine.plan.types import Call, Streaming
from engine.plan.vendors import Facts
from engine.runtime.tally import Tally
from engine.upstream.protocol import Chunk
from engine.wire.canonical import Event

Bench = Any
Kit = Any

COMPLETE = Streaming(switch_until="complete")


async def test_a_stream(bench: Callable[..., Bench], kit: Kit) -> None:
    b = bench(kit.use("a"), {"a": [kit.Say("one ", "two", first=100, every=50)]})
    answer = await b.run(stream=True)
    assert b.records == []  # not over yet
    text, events = await b.read(answer)
    assert text == "one two"
    assert [e["type"] for e in events] == ["start", "text", "text", "finish", "usage"]
    assert events[0]["model"] == "model-a"
    record = b.record
    assert (record.served_by, record.finish, record.failure, record.stream) == ("a", "stop", None, True)
    assert record.attempts[0].first_token_ms == 100
    assert record.committed_ms == 100
    assert record.duration_ms == 150
    assert record.cost == 50_000


async def test_the_cost_is_known_with_the_usage_event(bench: Callable[..., Bench], kit: Kit) -> None:
    b = bench(kit.use("a"), {"a": [kit.Say("one")]})
    answer = await b.run(stream=True)
    async for chunk in answer.flow:
        if chunk.events[0]["type"] == "usage":
            assert answer.record.cost == 50_000


@pytest.mark.parametrize("failure", ["server", "cut", "overloaded", "timeout"])
async def test_before_the_first_token_another_target_answers(
    bench: Callable[..., Bench], kit: Kit, failure: str
) -> None:
    b = bench(kit.fallback(kit.use("a"), kit.use("b")), {"a": [kit.Fail(failure)], "b": [kit.Say("fine")]})
    text, _ = await b.read(await b.run(stream=True))
    assert text == "fine"
    assert [a.failure for a in b.record.attempts] == [failure, None]


async def test_first_token_is_limited(bench: Callable[..., Bench], kit: Kit) -> None:
    """S07: headers at once, the first token after 20 s."""
    start = kit.fallback(kit.use("a", first_token_ms=8_000), kit.use("b"))
    b = bench(start, {"a": [kit.Say(first=20_000)], "b": [kit.Say("fine")]})
    text, _ = await b.read(await b.run(stream=True))
    assert text == "fine"
    assert b.record.attempts[0].ended_ms == 8_000
    assert b.record.attempts[0].message == "a did not answer within its first_token limit"


async def test_first_token_does_not_limit_what_follows(bench: Callable[..., Bench], kit: Kit) -> None:
    b = bench(kit.use("a", first_token_ms=100), {"a": [kit.Say("a", "b", "c", first=90, every=5_000)]})
    text, _ = await b.read(await b.run(stream=True))
    assert text == "abc"


@pytest.mark.parametrize(
    ("call", "limit", "ended"),
    [({"idle_ms": 3_000}, "idle", 3_010), ({"total_ms": 2_000}, "total", 2_000)],
)
async def test_silence_after_the_commit_point(
    bench: Callable[..., Bench], kit: Kit, call: dict[str, int], limit: str, ended: int
) -> None:
    start = kit.fallback(kit.use("a", **call), kit.use("b"))
    b = bench(start, {"a": [kit.Say("one", "two", first=10, every=60_000)], "b": [kit.Say()]})
    text, events = await b.read(await b.run(stream=True))
    assert text == "one"
    assert events[-1]["error"]["failure"] == "timeout"
    assert limit in events[-1]["error"]["message"]
    assert b.upstream.calls == ["a"]
    assert (b.record.failure, b.record.duration_ms) == ("timeout", ended)
    assert b.record.attempts[0].closed == "settled"
    assert b.record.attempts[0].estimated


async def test_a_slow_client_is_not_an_idle_upstream(bench: Callable[..., Bench], kit: Kit) -> None:
    b = bench(kit.use("a", idle_ms=500), {"a": [kit.Say("a", "b", "c", every=100)]})
    answer = await b.run(stream=True)
    texts = []
    async for chunk in answer.flow:
        texts += [e["text"] for e in chunk.events if e["type"] == "text"]
        await b.clock.sleep(2_000)
    assert texts == ["a", "b", "c"]


async def test_a_cut_is_told_and_ends(bench: Callable[..., Bench], kit: Kit) -> None:
    b = bench(kit.fallback(kit.use("a"), kit.use("b")), {"a": [kit.Say("x" * 40, end="cut")], "b": []})
    text, events = await b.read(await b.run(stream=True, text="y" * 80))
    assert text == "x" * 40
    assert [e["type"] for e in events] == ["start", "text", "error"]
    assert events[-1]["error"]["failure"] == "cut"
    assert b.upstream.calls == ["a"]
    record = b.record
    assert (record.failure, record.status) == ("cut", 200)
    assert record.attempts[0].failure == "cut"
    assert record.attempts[0].usage == {"input_tokens": 20, "output_tokens": 10, "estimated": True}


async def test_an_error_never_passes_as_the_vendors_bytes(bench: Callable[..., Bench], kit: Kit) -> None:
    b = bench(kit.use("a"), {"a": [kit.Say("one", end="cut", raw=True)]})
    answer = await b.run(stream=True)
    assert answer.flow.raw_ok
    chunks = [chunk async for chunk in answer.flow]
    assert [chunk.raw for chunk in chunks] == [b"raw", b"raw", None]


async def test_complete_gives_the_whole_text_or_another_targets(
    bench: Callable[..., Bench], kit: Kit
) -> None:
    """S08 and S09 with `switch_until: complete`."""
    script = {
        "a": [kit.Say("half", end="cut")],
        "b": [kit.Say("x", "y", every=40_000)],
        "c": [kit.Say("whole", " text", every=10)],
    }
    start = kit.fallback(kit.use("a"), kit.use("b", idle_ms=30_000), kit.use("c"))
    b = bench(start, script, stream=COMPLETE)
    text, _ = await b.read(await b.run(stream=True))
    assert text == "whole text"
    assert [a.failure for a in b.record.attempts] == ["cut", "timeout", None]
    # What had come of the first two was paid for, though nobody got it.
    assert [(a.closed, a.estimated) for a in b.record.attempts] == [
        ("settled", True),
        ("settled", True),
        ("settled", False),
    ]


async def test_a_stream_without_usage_ends_with_an_estimate(bench: Callable[..., Bench], kit: Kit) -> None:
    b = bench(kit.use("a"), {"a": [kit.Say("x" * 40, end="silent")]})
    _, events = await b.read(await b.run(stream=True, text="y" * 80))
    assert events[-1] == {
        "type": "usage",
        "usage": {"input_tokens": 20, "output_tokens": 10, "estimated": True},
        "served": {"cost": 0.0001, "deployment": "a", "calls": 1},
    }


async def test_an_empty_usage_is_filled(bench: Callable[..., Bench], kit: Kit) -> None:
    b = bench(kit.use("a"), {"a": [kit.Say("x" * 40, usage={})]})
    _, events = await b.read(await b.run(stream=True, text="y" * 80))
    assert events[-1]["usage"]["output_tokens"] == 10


async def test_a_stream_that_ends_before_it_began_is_cut(bench: Callable[..., Bench], kit: Kit) -> None:
    b = bench(kit.fallback(kit.use("a"), kit.use("b")), {"a": [kit.Say()], "b": [kit.Say("fine")]})
    empty = kit.Say()
    empty.texts, empty.end = (), "silent"
    b.upstream.script["a"] = [empty]
    text, _ = await b.read(await b.run(stream=True))
    assert text == "fine"
    assert b.record.attempts[0].failure == "cut"


@pytest.mark.parametrize("read", [0, 1, 2, 5])
async def test_a_client_that_leaves(bench: Callable[..., Bench], kit: Kit, read: int) -> None:
    b = bench(kit.use("a"), {"a": [kit.Say(*["xxxx"] * 20, every=10)]})
    answer = await b.run(stream=True)
    for _ in range(read):
        await anext(aiter(answer.flow))
    await answer.flow.close()
    await answer.flow.close()
    assert b.upstream.closed == 1
    assert (b.record.failure, b.record.status) == ("cancelled", 499)
    attempt = b.record.attempts[0]
    assert (attempt.closed, attempt.estimated) == ("settled", True)
    assert attempt.usage["output_tokens"] == max(1, read - 1)
    assert [chunk async for chunk in answer.flow] == []


async def test_leaving_after_the_usage_costs_what_was_told(bench: Callable[..., Bench], kit: Kit) -> None:
    b = bench(kit.use("a"), {"a": [kit.Say("one")]})
    answer = await b.run(stream=True)
    async for chunk in answer.flow:
        if chunk.events[0]["type"] == "usage":
            break
    await answer.flow.close()
    assert b.record.cost == 50_000
    assert not b.record.attempts[0].estimated


async def test_a_reader_that_is_cancelled(bench: Callable[..., Bench], kit: Kit, until: Any) -> None:
    b = bench(kit.use("a"), {"a": [kit.Say("one", "two", every=60_000)]})
    answer = await b.run(stream=True)
    got: list[Any] = []

    async def read() -> None:
        got.extend([chunk async for chunk in answer.flow])

    task = asyncio.create_task(read())
    for _ in range(20):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert b.upstream.closed == 1
    assert b.record.failure == "cancelled"


async def test_cancelled_before_the_first_token(bench: Callable[..., Bench], kit: Kit, until: Any) -> None:
    b = bench(kit.use("a"), {"a": [kit.Say("one", first=60_000)]})
    task = asyncio.create_task(b.run(stream=True))
    await until(lambda: b.upstream.opened == 1)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert b.record.attempts[0].closed == "released"


async def test_an_upstream_that_breaks_its_word(bench: Callable[..., Bench], kit: Kit) -> None:
    b = bench(kit.use("a"), {"a": [kit.Say("one", "two")]})
    answer = await b.run(stream=True)
    flow = aiter(answer.flow)
    await anext(flow)
    answer.flow._open.ready.clear()
    answer.flow._open.source = None  # reading on raises TypeError
    with pytest.raises(TypeError):
        await anext(flow)
    assert b.record.failure == "server"


async def test_an_upstream_that_cannot_stream(bench: Callable[..., Bench], kit: Kit) -> None:
    b = bench(kit.use("a"), {"a": [kit.Say("whole")]})
    b.upstream.flow = b.upstream.whole
    text, events = await b.read(await b.run(stream=True))
    assert text == "whole"
    assert [e["type"] for e in events] == ["start", "text", "finish", "usage"]
    assert b.record.served_by == "a"


@pytest.mark.parametrize("stream", [False, True])
async def test_respond(bench: Callable[..., Bench], kit: Kit, stream: bool) -> None:
    fixed = Respond(id="r", call=Call(), text="Closed until Monday.")
    b = bench(fixed, {"a": []})
    answer = await b.run(stream=stream)
    if stream:
        assert (await b.read(answer))[0] == "Closed until Monday."
    else:
        assert answer.reply["choices"][0]["message"]["content"][0]["text"] == "Closed until Monday."
    assert (answer.deployment, b.record.served_by, b.record.attempts) == (None, None, [])
    assert b.record.finish == "stop"


async def test_a_fixed_stream_that_nobody_reads(bench: Callable[..., Bench], kit: Kit) -> None:
    b = bench(Respond(id="r", call=Call(), text="hi"), {"a": []})
    answer = await b.run(stream=True)
    await answer.flow.close()
    await answer.flow.close()
    assert len(b.records) == 1


# --- streamed upstream, for a client that wants the answer whole ------------------------------------------


async def test_where_the_limits_are_written_a_whole_answer_is_collected(
    bench: Callable[..., Bench], kit: Kit
) -> None:
    b = bench(kit.use("a", collect=True), {"a": [kit.Say("one ", "two", first=100, every=50, raw=True)]})
    answer = await b.run()
    assert (answer.flow, answer.raw) == (None, None)
    assert [ask.stream for ask in b.upstream.asked] == [True]
    reply = answer.reply
    assert (reply["id"], reply["model"], reply["created"]) == ("x", "model-a", int(b.clock.wall()))
    assert reply["usage"] == {"input_tokens": 10, "output_tokens": 5}
    (choice,) = reply["choices"]
    assert choice["message"]["content"] == [{"type": "text", "text": "one two"}]
    assert choice["finish_reason"] == "stop"
    record = b.record
    assert (record.stream, record.finish, record.cost, record.duration_ms) == (False, "stop", 50_000, 150)
    assert record.attempts[0].first_token_ms == 100


@pytest.mark.parametrize(
    ("say", "failure", "ended", "why"),
    [
        ({"first": 20_000}, "timeout", 300, "first_token"),
        ({"every": 20_000}, "timeout", 2_000, "idle"),
        ({"every": 1_500}, "timeout", 4_000, "total"),
        ({"end": "cut"}, "cut", 0, ""),
        ({"end": "overloaded"}, "overloaded", 0, ""),
    ],
)
async def test_a_collected_answer_fails_over_wherever_it_breaks(
    bench: Callable[..., Bench], kit: Kit, say: dict[str, Any], failure: str, ended: int, why: str
) -> None:
    limits = {"first_token_ms": 300, "idle_ms": 2_000, "total_ms": 4_000, "collect": True}
    start = kit.fallback(kit.use("a", **limits), kit.use("b"))
    b = bench(start, {"a": [kit.Say("a", "b", "c", "d", "e", **say)], "b": [kit.Say("fine")]})
    answer = await b.run()
    assert answer.reply["choices"][0]["message"]["content"][0]["text"] == "fine"
    first = b.record.attempts[0]
    assert (first.failure, first.ended_ms) == (failure, ended)
    assert why in (first.message or "")
    # What had come was paid for, though nobody got it; silence costs nothing.
    assert first.closed == ("released" if why == "first_token" else "settled")


@pytest.mark.parametrize(
    "request_fields",
    [{"modalities": ["text", "audio"]}, {"tools": [{"hosted": {"type": "custom", "name": "f"}}]}],
)
async def test_what_a_stream_would_not_carry_is_asked_for_whole(
    bench: Callable[..., Bench], kit: Kit, request_fields: dict[str, Any]
) -> None:
    b = bench(kit.use("a", collect=True), {"a": [kit.Say("one")]})
    await b.run(**request_fields)
    assert [ask.stream for ask in b.upstream.asked] == [False]


async def test_a_model_that_cannot_stream_is_asked_for_whole(bench: Callable[..., Bench], kit: Kit) -> None:
    place = kit.deployment("a", facts=Facts(can=("tools",)))
    start = kit.use("a", collect=True, first_token_ms=300)
    b = bench(start, {"a": [kit.Say("one", first=20_000)]}, deployments=(place,))
    await b.run()
    assert [ask.stream for ask in b.upstream.asked] == [False]
    assert b.record.duration_ms == 20_000


async def test_a_cancelled_collecting_closes_the_stream(
    bench: Callable[..., Bench], kit: Kit, until: Any
) -> None:
    b = bench(kit.use("a", collect=True), {"a": [kit.Say("one", "two", every=60_000)]})
    task = asyncio.ensure_future(b.run())
    await until(lambda: b.upstream.opened == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (b.record.failure, b.upstream.closed) == ("cancelled", 1)


@pytest.mark.parametrize(
    ("told", "counted"),
    [
        ({"input_tokens": 7, "output_tokens": 12}, {"input_tokens": 7, "output_tokens": 12}),
        (
            {"input_tokens": 7, "cached_tokens": 2, "output_tokens": 1},
            {"input_tokens": 7, "cached_tokens": 2},
        ),
        ({}, {}),
    ],
    ids=["counts so far", "a count that only began: the output is estimated", "nothing"],
)
def test_a_broken_stream_is_billed_by_what_was_counted(told: Any, counted: Any) -> None:
    tally = Tally()
    tally.take(Chunk([Event(type="text", text="x" * 40)]))
    tally.take(Chunk([Event(type="error", error={"failure": "cut"}, usage=told)]))
    assert tally.usage == counted
