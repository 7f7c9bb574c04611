"""`on_cut: continue`: a stream that breaks is gone on with, or ends with an error event."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from engine.plan.types import Admit, Ceilings, Streaming
from engine.plan.vendors import Facts, PriceRow

Bench = Any
Kit = Any

CONTINUE = Streaming(on_cut="continue")
ABLE = ("stream", "prefill", "json_object")


@pytest.fixture
def made(bench: Callable[..., Bench], kit: Kit) -> Callable[..., Bench]:
    """A chain of deployments, each with its script; those in `unable` have no `prefill`."""

    def make(
        script: dict[str, list[Any]],
        *,
        unable: str = "",
        extra: int = 0,
        calls: int | None = None,
        **call: Any,
    ) -> Bench:
        prices = (PriceRow(input=2_000_000_000, output=6_000_000_000),)
        deployments = tuple(
            kit.deployment(
                name,
                facts=Facts(prices=prices, output=1_000, can=("stream",) if name in unable else ABLE),
            )
            for name in script
        )
        chain = kit.fallback(
            *(kit.use(name, retry_extra=extra, retry_backoff_ms=10, **call) for name in script)
        )
        ceilings = Ceilings(calls=calls)
        return bench(
            chain, script, deployments=deployments, stream=CONTINUE, per_request=ceilings, admit=Admit(n=2)
        )

    return make


def kinds(events: list[Any]) -> list[str]:
    return [event["type"] for event in events]


def said(ask: Any) -> list[tuple[str, str]]:
    return [(m["role"], "".join(p["text"] for p in m["content"])) for m in ask.request["messages"]]


async def test_the_same_deployment_goes_on(made: Callable[..., Bench], kit: Kit) -> None:
    """S08 and S14: the whole text, and whoever cannot go on is never asked."""
    b = made(
        {
            "a": [kit.Say("one ", "two ", end="cut"), kit.Say("three ", "four")],
            "b": [kit.Fail("bad_request")],
        },
        unable="b",
        extra=1,
    )
    answer = await b.run(stream=True, max_tokens=100)
    text, events = await b.read(answer)
    assert text == "one two three four"
    assert kinds(events) == ["start", "text", "text", "text", "text", "finish", "usage"]
    assert b.upstream.calls == ["a", "a"]
    assert said(b.upstream.asked[1]) == [("user", "hi"), ("assistant", "one two")]
    assert [ask.begun for ask in b.upstream.asked] == [False, True]
    assert b.upstream.asked[1].max_tokens == 98  # seven bytes were written
    record = b.record
    assert [(a.failure, a.role, a.closed) for a in record.attempts] == [
        ("cut", "answer", "settled"),
        (None, "continue", "settled"),
    ]
    assert (record.failure, record.status, record.finish, record.served_by) == (None, 200, "stop", "a")
    assert [step.what for step in record.path] == ["cut", "retried"]


async def test_usage_and_cost_are_of_both(made: Callable[..., Bench], kit: Kit) -> None:
    b = made({"a": [kit.Say("x" * 40, end="cut")], "b": [kit.Say("y")]})
    _, events = await b.read(await b.run(stream=True, text="y" * 80))
    # The first is estimated (20 and 10), the second says it itself.
    assert events[-1]["usage"] == {"input_tokens": 30, "output_tokens": 15, "estimated": True}
    assert b.record.cost == 20 * 2_000 + 10 * 6_000 + 50_000
    assert events[-1]["served"]["calls"] == 2


@pytest.mark.parametrize("failure", ["cut", "server", "overloaded", "timeout", "connect", "rate_limited"])
async def test_another_target_goes_on(made: Callable[..., Bench], kit: Kit, failure: str) -> None:
    b = made({"a": [kit.Say("one ", end=failure)], "b": [kit.Say("two")]})
    text, events = await b.read(await b.run(stream=True))
    assert text == "one two"
    assert events[0]["model"] == "model-a"
    assert kinds(events).count("start") == 1
    assert b.upstream.calls == ["a", "b"]


async def test_silence_is_a_break(made: Callable[..., Bench], kit: Kit) -> None:
    """S09: some tokens, and then nothing for a minute."""
    b = made({"a": [kit.Say("one ", "never", every=60_000)], "b": [kit.Say("two")]}, idle_ms=3_000)
    text, _ = await b.read(await b.run(stream=True))
    assert text == "one two"
    assert b.record.attempts[0].failure == "timeout"
    assert b.record.duration_ms == 3_000


async def test_nobody_can_go_on(made: Callable[..., Bench], kit: Kit) -> None:
    b = made({"a": [kit.Say("one", end="cut")], "b": [kit.Say("two")]}, unable="ab")
    text, events = await b.read(await b.run(stream=True))
    assert (text, events[-1]["error"]["failure"]) == ("one", "cut")
    assert b.upstream.calls == ["a"]
    assert b.record.failure == "cut"


async def test_a_refused_prefill_is_never_shown(made: Callable[..., Bench], kit: Kit) -> None:
    b = made({"a": [kit.Say("one", end="cut")], "b": [kit.Fail("bad_request")], "c": [kit.Fail("server")]})
    text, events = await b.read(await b.run(stream=True))
    assert text == "one"
    assert kinds(events) == ["start", "text", "error"]
    assert events[-1]["error"] == {"failure": "cut", "message": "it broke"}
    assert [a.failure for a in b.record.attempts] == ["cut", "bad_request", "server"]
    assert (b.record.failure, b.record.status) == ("cut", 200)


async def test_it_may_break_again(made: Callable[..., Bench], kit: Kit) -> None:
    b = made(
        {"a": [kit.Say("one ", end="cut"), kit.Say("two ", end="server")], "b": [kit.Say("three")]}, extra=1
    )
    text, events = await b.read(await b.run(stream=True))
    assert text == "one two three"
    assert said(b.upstream.asked[2])[-1] == ("assistant", "one two")
    assert [a.role for a in b.record.attempts] == ["answer", "continue", "continue"]
    assert kinds(events)[-1] == "usage"


async def test_calls_are_limited_over_all(made: Callable[..., Bench], kit: Kit) -> None:
    b = made(
        {"a": [kit.Say("one ", end="cut")], "b": [kit.Say("two ", end="cut")], "c": [kit.Say()]}, calls=2
    )
    text, events = await b.read(await b.run(stream=True))
    assert (text, events[-1]["type"], b.upstream.calls) == ("one two ", "error", ["a", "b"])


@pytest.mark.parametrize(
    "request_",
    [{"n": 2}, {"response_format": {"type": "json_object"}}],
    ids=["several choices", "an answer with a form"],
)
async def test_what_cannot_be_put_together(
    made: Callable[..., Bench], kit: Kit, request_: dict[str, Any]
) -> None:
    b = made({"a": [kit.Say("one", end="cut")], "b": [kit.Say("two")]})
    _, events = await b.read(await b.run(stream=True, **request_))
    assert events[-1]["type"] == "error"
    assert b.upstream.calls == ["a"]


async def test_no_time_is_left(made: Callable[..., Bench], kit: Kit) -> None:
    b = made({"a": [kit.Say("one", "two", every=60_000)], "b": [kit.Say("two")]})
    inbound = b.inbound(stream=True)
    inbound.deadline_ms = 2_000
    _, events = await b.read(await b.run(inbound))
    assert events[-1]["error"]["failure"] == "timeout"
    assert b.upstream.calls == ["a"]


async def test_bytes_pass_until_the_break(made: Callable[..., Bench], kit: Kit) -> None:
    """What is written after them is told what they said, once."""
    b = made({"a": [kit.Say("one ", "two ", end="cut", raw=True)], "b": [kit.Say("three", raw=True)]})
    answer = await b.run(stream=True)
    assert answer.flow.raw_ok
    chunks = [chunk async for chunk in answer.flow]
    assert [chunk.raw for chunk in chunks] == [b"raw"] * 3 + [None] * 3
    assert [bool(chunk.told) for chunk in chunks] == [False] * 3 + [True, False, False]
    assert [event.get("text") for event in chunks[3].told] == [None, "one two "]


@pytest.mark.parametrize("moment", ["while it waits", "while it asks", "while it goes on"])
async def test_a_client_that_leaves_meanwhile(made: Callable[..., Bench], kit: Kit, moment: str) -> None:
    second = kit.Say("two", "three", every=60_000, first=60_000 if moment == "while it asks" else 0)
    b = made({"a": [kit.Say("one ", end="cut"), second]}, extra=1)
    answer = await b.run(stream=True)
    got: list[str] = []

    async def read() -> None:
        async for chunk in answer.flow:
            got.extend(e["text"] for e in chunk.events if e["type"] == "text")

    reader = asyncio.ensure_future(read())
    done = {
        "while it waits": lambda: any(s.what == "cut" for s in answer.record.path),
        "while it asks": lambda: len(b.upstream.asked) == 2,
        "while it goes on": lambda: got[-1:] == ["two"],
    }[moment]
    for _ in range(2_000):
        if done():
            break
        await asyncio.sleep(0)
    assert done()
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    await answer.flow.close()
    assert b.upstream.opened == b.upstream.closed
    assert b.record.failure == "cancelled"
    assert b.record.attempts[0].failure == "cut"
