"""`cache` through the executor: what is kept and what never, hits in the record, edits, streams."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, cast

import pytest

from engine.kinds.cache import Cache
from engine.kinds.switch import Arm, Switch
from engine.plan.types import Call
from engine.plan.values import Expr
from engine.runtime.shared import Shared
from engine.runtime.snapshot import Snapshot
from engine.runtime.views import Key

ORG = Expr(source="key.org", scope="route", type="string", ir=["a", ["p", 1], "org"])


def cached(node: Any, exact_ms: int = 60_000, within: bool = True) -> Cache:
    return Cache("r", Call(), node, ORG, within, exact_ms)


async def told(one: Any, inbound: Any = None, **request: Any) -> tuple[str, str]:
    """The text that a request gets, and what the cache did."""
    answer = await one.run(inbound or one.inbound(**request))
    if answer.flow is not None:
        text, _ = await one.read(answer)
    else:
        message = cast(Any, answer.reply)["choices"][0]["message"]
        text = "".join(part["text"] for part in message["content"])
    return text, one.record.cache


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("second", [False, True])
async def test_whole_and_streamed_answers_stand_for_each_other(
    kit: Any, bench: Callable[..., Any], first: bool, second: bool
) -> None:
    one = bench(cached(kit.use("a")), {"a": [kit.Say("hel", "lo"), kit.Say("other")]})
    assert await told(one, stream=first) == ("hello", "miss")
    assert await told(one, stream=second) == ("hello", "hit")
    record = one.record
    assert (record.attempts, record.cost, record.served_by, record.status) == ([], 0, "a", 200)
    assert record.finish == "stop"
    assert [step.what for step in record.path] == ["hit"]


async def test_a_replayed_stream_is_whole(kit: Any, bench: Callable[..., Any]) -> None:
    one = bench(cached(kit.use("a")), {"a": [kit.Say("hel", "lo")]})
    await told(one)
    answer = await one.run(one.inbound(stream=True))
    _, events = await one.read(answer)
    kinds = [event["type"] for event in events]
    assert (kinds[0], kinds[-2:]) == ("start", ["finish", "usage"])
    assert events[-1]["usage"] == {"input_tokens": 10, "output_tokens": 5}
    assert (events[-1]["served"]["cost"], events[-1]["served"]["calls"]) == (0.0, 0)
    assert events[0]["model"] == "model-a"


async def test_each_answer_is_the_requests_own(kit: Any, bench: Callable[..., Any]) -> None:
    one = bench(cached(kit.use("a")), {"a": [kit.Say()]})
    replies = [cast(Any, (await one.run()).reply) for _ in range(3)]
    assert len({reply["id"] for reply in replies}) == 3
    replies[1]["choices"].clear()
    assert replies[2]["choices"]


BREAKS = ["cut", "server", "timeout"]


@pytest.mark.parametrize("end", BREAKS)
async def test_a_stream_that_breaks_is_not_kept(kit: Any, bench: Callable[..., Any], end: str) -> None:
    one = bench(cached(kit.use("a")), {"a": [kit.Say("hel", end=end), kit.Say("hello")]})
    await told(one, stream=True)
    assert await told(one, stream=True) == ("hello", "miss")


async def test_a_stream_that_nobody_read_to_its_end_is_not_kept(kit: Any, bench: Callable[..., Any]) -> None:
    one = bench(cached(kit.use("a")), {"a": [kit.Say("hel", "lo"), kit.Say("again")]})
    answer = await one.run(one.inbound(stream=True))
    await anext(answer.flow)
    await anext(answer.flow)
    await answer.flow.close()
    assert await told(one, stream=True) == ("again", "miss")


async def test_errors_are_not_kept(kit: Any, bench: Callable[..., Any]) -> None:
    one = bench(cached(kit.use("a", retry_extra=0)), {"a": [kit.Fail("server"), kit.Say("hello")]})
    await one.fails()
    assert one.record.cache == "miss"
    assert await told(one) == ("hello", "miss")
    assert await told(one) == ("hello", "hit")


async def test_nothing_goes_across_organisations(kit: Any, bench: Callable[..., Any]) -> None:
    one = bench(cached(kit.use("a")), {"a": [kit.Say("one"), kit.Say("two")]})
    found = []
    for org in ("acme", "globex", "acme", "globex"):
        inbound = one.inbound()
        inbound.key = Key(id="k", org=org)
        found.append(await told(one, inbound))
    assert found == [("one", "miss"), ("two", "miss"), ("one", "hit"), ("two", "hit")]


SAME = [
    {"user": "u1"}, {"metadata": {"trace": "1"}}, {"stream": True, "include_usage": True}, {"store": True},
    {"service_tier": "flex"}, {"conversation": "c1"},
]  # fmt: skip
OTHER = [
    {"temperature": 0.7}, {"seed": 1}, {"max_tokens": 5}, {"stop": ["x"]}, {"top_p": 0.2},
    {"response_format": {"type": "json_object"}}, {"tools": [{"name": "f"}]}, {"extra": {"vendor": 1}},
]  # fmt: skip


@pytest.mark.parametrize("request_", SAME, ids=lambda each: next(iter(each)))
async def test_what_shapes_no_answer(kit: Any, bench: Callable[..., Any], request_: dict[str, Any]) -> None:
    one = bench(cached(kit.use("a")), {"a": [kit.Say()]})
    await told(one)
    assert (await told(one, **request_))[1] == "hit"


@pytest.mark.parametrize("request_", OTHER, ids=lambda each: next(iter(each)))
async def test_what_shapes_the_answer(kit: Any, bench: Callable[..., Any], request_: dict[str, Any]) -> None:
    one = bench(cached(kit.use("a")), {"a": [kit.Say()]})
    await told(one)
    assert (await told(one, **request_))[1] == "miss"
    assert (await told(one, **request_))[1] == "hit"


@pytest.mark.parametrize(
    ("request_", "headers"),
    [
        ({"tools": [{"hosted": {"type": "web_search"}}]}, {}),
        ({}, {"cache-control": "no-store"}),
        ({"extra": {"blob": "x" * (4 << 20)}}, {}),
    ],
)
async def test_what_passes_by(
    kit: Any, bench: Callable[..., Any], request_: dict[str, Any], headers: dict[str, str]
) -> None:
    one = bench(cached(kit.use("a")), {"a": [kit.Say()]})
    for _ in range(2):
        inbound = one.inbound(**request_)
        inbound.headers = headers
        assert (await told(one, inbound))[1] == "bypass"
    assert one.state.kept.count("answers") == 0


async def test_time_passes(kit: Any, bench: Callable[..., Any]) -> None:
    one = bench(cached(kit.use("a"), 60_000), {"a": [kit.Say()]})
    await told(one)
    await one.clock.sleep(59_999)
    assert (await told(one))[1] == "hit"
    await one.clock.sleep(1)
    assert (await told(one))[1] == "miss"


# --- reloads


def edited(one: Any, kit: Any, start: Any, **changes: Any) -> None:
    """Publish the same route with another graph or another deployment `a`."""
    plan = kit.plan(kit.route(start), deployments=(kit.deployment("a", **changes), kit.deployment("b")))
    one.snapshot = Snapshot(plan, {"fake": Shared(one.upstream).hold()})


async def test_answers_outlive_a_reload(kit: Any, bench: Callable[..., Any]) -> None:
    made = (kit.deployment("a"), kit.deployment("b"))
    one = bench(cached(kit.use("a")), {"a": [kit.Say()]}, deployments=made)
    await told(one)
    priced = dataclasses.replace(kit.deployment("a").facts, prices=())
    for start, changes in (
        (cached(kit.use("a")), {}),
        (cached(kit.use("a", retry_extra=3, total_ms=5_000)), {"facts": priced}),
        (kit.fallback(cached(kit.use("a")), kit.use("b")), {}),
    ):
        edited(one, kit, start, **changes)
        assert (await told(one))[1] == "hit"


@pytest.mark.parametrize(
    "changes",
    [
        {"wire_model": "model-a-2"}, {"model": "model-a-2"}, {"base_url": "http://other.invalid"},
        {"region": "there"}, {"settings": {"resource": "x"}},
    ],
    ids=lambda each: next(iter(each)),
)  # fmt: skip
async def test_an_edited_target_serves_no_old_answers(
    kit: Any, bench: Callable[..., Any], changes: dict[str, Any]
) -> None:
    made = (kit.deployment("a"), kit.deployment("b"))
    one = bench(cached(kit.use("a")), {"a": [kit.Say("old"), kit.Say("new")]}, deployments=made)
    await told(one)
    edited(one, kit, cached(kit.use("a")), **changes)
    assert await told(one) == ("new", "miss")
    edited(one, kit, cached(kit.use("a")))
    assert await told(one) == ("old", "hit")


async def test_an_edited_graph_serves_no_old_answers(kit: Any, bench: Callable[..., Any]) -> None:
    made = (kit.deployment("a"), kit.deployment("b"))
    script = {"a": [kit.Say("a")], "b": [kit.Say("b")]}
    one = bench(cached(kit.use("a")), script, deployments=made)
    await told(one)
    for start in (
        cached(kit.use("b")),
        cached(kit.use("a", params={"reasoning_effort": "low"})),
        cached(kit.fallback(kit.use("b"), kit.use("a"))),
        cached(Switch("s", Call(), (Arm(kit.more_tokens_than(10_000), kit.use("a")),), kit.use("b"))),
    ):
        edited(one, kit, start)
        assert (await told(one))[1] == "miss"


async def test_a_cache_in_a_chain(kit: Any, bench: Callable[..., Any]) -> None:
    """Its failure moves on; what another target answered is not kept as its own."""
    chain = kit.fallback(cached(kit.use("a", retry_extra=0)), kit.use("b"))
    one = bench(chain, {"a": [kit.Fail("server"), kit.Say("a")], "b": [kit.Say("b")]})
    assert await told(one) == ("b", "miss")
    assert await told(one) == ("a", "miss")
    assert await told(one) == ("a", "hit")
