"""`cascade`, `ensemble` and `mirror` through the executor: who is asked what, who answers, what it costs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from engine.kinds.cascade import Cascade, Check
from engine.kinds.classify import Classify, Label
from engine.kinds.ensemble import Ensemble
from engine.kinds.hedge import Hedge
from engine.kinds.mirror import Mirror
from engine.plan.types import Call, Ceilings, Node
from engine.plan.values import Expr

Bench = Any
Kit = Any

GOOD = '{"score": 0.9}'
POOR = '{"score": 0.1}'
SHORT = Expr(
    source="answer.length < 5",
    scope="answer",
    type="bool",
    ir=["cmp", "<", ["a", ["p", 4], "length"], ["c", 5], "plain"],
)


def cascade(*children: Node, checks: tuple[Check, ...], deliver: bool = True, **call: Any) -> Cascade:
    return Cascade("r/cascade", Call(**call), children, checks, deliver)


def ensemble(
    *children: Node, merge: Any = "vote", judge: Node | None = None, weights: tuple[float, ...] = ()
) -> Ensemble:
    return Ensemble("r/ensemble", Call(), children, weights or (1.0,) * len(children), merge, judge)


def text(reply: Any) -> str:
    return str(reply["choices"][0]["message"]["content"][0]["text"])


def called(b: Bench) -> list[tuple[str, str, str | None]]:
    return [(a.deployment, a.role, a.failure) for a in b.record.attempts]


async def test_a_judge_passes_the_first(bench: Callable[..., Bench], kit: Kit) -> None:
    b = bench(
        cascade(kit.use("a"), kit.use("b"), checks=(Check(judge=kit.use("j"), below=0.5),)),
        {"a": [kit.Say("cheap")], "b": [kit.Say("dear")], "j": [kit.Say(GOOD)]},
    )
    inbound = b.inbound(
        text="what?",
        tools=[{"name": "f"}],
        response_format={"type": "json_object"},
        stop=["x"],
        temperature=1.5,
        max_tokens=77,
    )
    inbound.body, inbound.headers = {"model": "r"}, {"x-client": "1"}
    answer = await b.run(inbound)
    assert text(answer.reply) == "cheap"
    assert called(b) == [("a", "answer", None), ("j", "judge", None)]
    assert b.record.served_by == "a"
    # The judge gets words alone: nothing of how the client wants its own answer.
    asked = b.upstream.asked[1]
    assert set(asked.request) == {"operation", "model", "messages"}
    assert (asked.body, asked.dialect, dict(asked.headers), asked.params) == (None, None, {}, {})
    assert asked.max_tokens == 1_000  # all that the deployment gives
    told = asked.request["messages"][1]["content"][0]["text"]
    assert told == '{"conversation": [{"role": "user", "text": "what?"}], "answer": "cheap"}'


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("verdict", [POOR, "excellent!", "", None])
async def test_a_judge_that_does_not_vouch_goes_on(
    bench: Callable[..., Bench], kit: Kit, verdict: str | None, stream: bool
) -> None:
    said = kit.Fail("server") if verdict is None else kit.Say(verdict)
    b = bench(
        cascade(kit.use("a"), kit.use("b"), checks=(Check(judge=kit.use("j", retry_extra=0), below=0.5),)),
        {"a": [kit.Say("cheap")], "b": [kit.Say("dear")], "j": [said]},
    )
    answer = await b.run(stream=stream)
    if stream:
        found, events = await b.read(answer)
        assert events[-1]["type"] == "usage"
        # The last stage is not looked at: it flows.
        assert [ask.stream for ask in b.upstream.asked] == [False, False, True]
    else:
        found = text(answer.reply)
    assert found == "dear"
    assert b.record.served_by == "b"
    assert [step.what for step in b.record.path if step.node == "r/cascade"] == ["escalated"]


async def test_a_stage_that_passes_is_replayed_as_a_stream(bench: Callable[..., Bench], kit: Kit) -> None:
    b = bench(
        cascade(kit.use("a"), kit.use("b"), checks=(Check(condition=SHORT),)),
        {"a": [kit.Say("long", " enough")], "b": [kit.Say("dear")]},
    )
    found, events = await b.read(await b.run(stream=True))
    assert found == "long enough"
    assert [event["type"] for event in events] == ["start", "text", "finish", "usage"]
    assert b.upstream.calls == ["a"]


@pytest.mark.parametrize(
    ("deliver", "second", "found"),
    [
        (True, "Say", "no"),
        (True, "Fail", "ja"),
        (False, "Say", "invalid_output"),
        (False, "Fail", "server"),
    ],
)
async def test_the_last_does_not_pass_either(
    bench: Callable[..., Bench], kit: Kit, deliver: bool, second: str, found: str
) -> None:
    last = kit.Say("no") if second == "Say" else kit.Fail("server")
    b = bench(
        cascade(kit.use("a"), kit.use("b", retry_extra=0), checks=(Check(condition=SHORT),), deliver=deliver),
        {"a": [kit.Say("ja")], "b": [last]},
    )
    if deliver:
        assert text((await b.run()).reply) == found
    else:
        assert (await b.fails()).failure == found


@pytest.mark.parametrize(("failures", "calls"), [(None, ["a", "b"]), (("overloaded",), ["a"])])
async def test_failures_move_on_where_they_are_listed(
    bench: Callable[..., Bench], kit: Kit, failures: Any, calls: list[str]
) -> None:
    b = bench(
        cascade(
            kit.use("a", retry_extra=0), kit.use("b"), checks=(Check(word="refusal"),), failures=failures
        ),
        {"a": [kit.Fail("server")], "b": [kit.Say("x")]},
    )
    if failures is None:
        await b.run()
    else:
        await b.fails()
    assert b.upstream.calls == calls


async def test_the_clients_schema(bench: Callable[..., Bench], kit: Kit) -> None:
    b = bench(
        cascade(kit.use("a"), kit.use("b"), checks=(Check(word="schema"),)),
        {"a": [kit.Say("{}"), kit.Say('{"n": 1}')], "b": [kit.Say("dear")]},
    )
    schema = {"type": "object", "required": ["n"]}
    wanted = {"response_format": {"type": "json_schema", "schema": schema}}
    await b.run(**wanted)
    assert b.record.served_by == "b"
    await b.run(**wanted)
    assert b.record.served_by == "a"


@pytest.mark.parametrize(
    ("said", "merge", "weights", "found"),
    [
        (("x", "Y", " y. "), "vote", (), "Y"),
        (("x", "y", "z"), "vote", (), "x"),
        (("x", "y", "y"), "weighted", (3.0, 1.0, 1.0), "x"),
        (("x", "y", "y"), "weighted", (1.5, 1.0, 1.0), "y"),
        ((None, "y", "z"), "vote", (), "y"),
    ],
)
async def test_votes(
    bench: Callable[..., Bench], kit: Kit, said: tuple[str | None, ...], merge: str, weights: Any, found: str
) -> None:
    script = {
        name: [kit.Fail("server") if each is None else kit.Say(each)]
        for name, each in zip("abc", said, strict=True)
    }
    members = [kit.use(name, retry_extra=0) for name in "abc"]
    b = bench(ensemble(*members, merge=merge, weights=weights), script)
    assert text((await b.run()).reply) == found
    assert len(b.record.attempts) == 3


async def test_members_are_asked_at_once(bench: Callable[..., Bench], kit: Kit) -> None:
    b = bench(
        ensemble(kit.use("a"), kit.use("b"), merge="best_of", judge=kit.use("j")),
        {"a": [kit.Say("x", first=300)], "b": [kit.Say("y", first=400)], "j": [kit.Say('{"best": 2}')]},
    )
    found, events = await b.read(await b.run(stream=True))
    assert found == "y"
    assert b.clock.now_ms() == pytest.approx(400, abs=5)
    assert called(b) == [("a", "answer", None), ("b", "answer", None), ("j", "judge", None)]
    assert b.record.cost == sum(attempt.cost.total for attempt in b.record.attempts) > 0
    assert events[-1]["served"]["calls"] == 3


@pytest.mark.parametrize("verdict", ["Say", "Nonsense", "Fail"])
async def test_best_of(bench: Callable[..., Bench], kit: Kit, verdict: str) -> None:
    said = {
        "Say": kit.Say('{"best": 2}'), "Nonsense": kit.Say('{"best": 9}'), "Fail": kit.Fail("bad_request")
    }  # fmt: skip
    b = bench(
        ensemble(kit.use("a"), kit.use("b"), merge="best_of", judge=kit.use("j")),
        {"a": [kit.Say("x")], "b": [kit.Say("y")], "j": [said[verdict]]},
    )
    assert text((await b.run()).reply) == ("y" if verdict == "Say" else "x")


async def test_fused(bench: Callable[..., Bench], kit: Kit) -> None:
    b = bench(
        ensemble(kit.use("a"), kit.use("b"), merge="fuse", judge=kit.use("j")),
        {"a": [kit.Say("x")], "b": [kit.Say("y")], "j": [kit.Say("x and y")]},
    )
    form = {"type": "json_object"}
    answer = await b.run(max_tokens=50, response_format=form, tools=[{"name": "f"}])
    assert text(answer.reply) == "x and y"
    assert (answer.deployment, answer.model) == ("j", "model-j")
    asked = b.upstream.asked[2]
    assert (asked.max_tokens, asked.request["response_format"]) == (50, form)
    assert "tools" not in asked.request


async def test_all_fail(bench: Callable[..., Bench], kit: Kit) -> None:
    b = bench(
        ensemble(kit.use("a", retry_extra=0), kit.use("b", retry_extra=0)),
        {"a": [kit.Fail("server")], "b": [kit.Fail("auth")]},
    )
    assert (await b.fails()).failure == "auth"


async def test_ceilings_hold_over_members_and_judges(bench: Callable[..., Bench], kit: Kit) -> None:
    b = bench(
        ensemble(kit.use("a"), kit.use("b"), merge="best_of", judge=kit.use("j")),
        {"a": [kit.Say("x")], "b": [kit.Say("y")], "j": [kit.Say('{"best": 2}')]},
        per_request=Ceilings(calls=2),
    )
    assert text((await b.run()).reply) == "x"
    assert b.upstream.calls == ["a", "b"]


async def test_who_leaves_ends_all_members(
    bench: Callable[..., Bench], kit: Kit, until: Callable[[Callable[[], bool]], Awaitable[None]]
) -> None:
    b = bench(
        ensemble(kit.use("a"), kit.use("b")),
        {"a": [kit.Say("x", first=10)], "b": [kit.Say("y", first=900)]},
    )
    task = asyncio.create_task(b.run())
    await until(lambda: len(b.upstream.asked) == 2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert {a.failure for a in b.record.attempts} == {"cancelled"}


# --- mirror


def mirror(node: Node, to: Node, share: float = 1.0) -> Mirror:
    return Mirror("r/mirror", Call(), node, to, share)


async def test_a_mirror_never_delays(bench: Callable[..., Bench], kit: Kit) -> None:
    b = bench(
        mirror(kit.use("a"), kit.use("m")),
        {"a": [kit.Say("x", first=10)], "m": [kit.Say("copy", first=5_000)]},
        per_request=Ceilings(calls=1),
    )
    assert text((await b.run()).reply) == "x"
    assert b.clock.now_ms() == pytest.approx(10, abs=2)
    (record,) = b.records
    assert called(b) == [("a", "answer", None)]
    assert (len(b.executor.asides), b.snapshot.users) == (1, 1)
    await b.snapshot.drain()  # waits for the copy
    _, copy = b.records
    assert (copy.aside_of, copy.failure, copy.served_by) == (record.id, None, "m")
    assert [(a.deployment, a.role, a.closed) for a in copy.attempts] == [("m", "mirror", "settled")]
    assert copy.id != record.id
    await asyncio.sleep(0)
    assert len(b.executor.asides) == 0


@pytest.mark.parametrize("stream", [False, True])
async def test_a_mirror_fails_alone(bench: Callable[..., Bench], kit: Kit, stream: bool) -> None:
    b = bench(
        mirror(kit.use("a"), kit.use("m", retry_extra=0)), {"a": [kit.Say("x")], "m": [kit.Fail("server")]}
    )
    answer = await b.run(stream=stream)
    if stream:
        assert (await b.read(answer))[0] == "x"
    await b.snapshot.drain()
    # Whichever ends first: the client's own is good, the copy's is not.
    assert {record.aside_of is None: record.failure for record in b.records} == {True: None, False: "server"}


async def test_a_mirror_outlives_its_client(
    bench: Callable[..., Bench], kit: Kit, until: Callable[[Callable[[], bool]], Awaitable[None]]
) -> None:
    b = bench(
        mirror(kit.use("a"), kit.use("m")), {"a": [kit.Say(first=900)], "m": [kit.Say("copy", first=500)]}
    )
    task = asyncio.create_task(b.run())
    await until(lambda: len(b.upstream.asked) == 2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await b.snapshot.drain()
    assert [(r.aside_of is None, r.failure) for r in b.records] == [(True, "cancelled"), (False, None)]


async def test_a_fault_of_the_engine_is_told(
    bench: Callable[..., Bench], kit: Kit, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    b = bench(mirror(kit.use("a"), kit.use("m")), {"a": [kit.Say("x")], "m": [kit.Say("y")]})
    whole = b.upstream.whole

    async def breaks(ask: Any) -> Any:
        if ask.deployment.name == "m":
            raise ZeroDivisionError
        return await whole(ask)

    monkeypatch.setattr(b.upstream, "whole", breaks)
    assert text((await b.run()).reply) == "x"
    await b.snapshot.drain()
    assert {(r.aside_of is None, r.failure, r.status) for r in b.records} == {
        (True, None, 200),
        (False, "server", 500),
    }
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("make", [ensemble, lambda *nodes: Hedge("r/hedge", Call(), nodes, 0)])
async def test_a_fault_in_a_branch_ends_the_request(
    bench: Callable[..., Bench], kit: Kit, monkeypatch: pytest.MonkeyPatch, make: Any
) -> None:
    """It is a bug of the engine: 500, and nothing of the other branches stays."""
    b = bench(make(kit.use("a"), kit.use("b")), {"a": [kit.Say("x", first=900)], "b": [kit.Say("y")]})
    whole = b.upstream.whole

    async def breaks(ask: Any) -> Any:
        if ask.deployment.name == "b":
            raise ZeroDivisionError
        return await whole(ask)

    monkeypatch.setattr(b.upstream, "whole", breaks)
    with pytest.raises(ZeroDivisionError):
        await b.run()
    assert b.record.status == 500
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_labels_hold_in_the_copy_too(bench: Callable[..., Bench], kit: Kit) -> None:
    labelled = Expr(
        source='label.task == "code"',
        scope="route",
        type="bool",
        ir=["cmp", "==", ["f", ["p", 3], "task"], ["c", "code"], "plain"],
    )
    below = mirror(kit.use("a"), kit.switch(labelled, kit.use("m"), kit.use("n")))
    node = Classify("r/classify", Call(), below, "task", "keywords", (Label("code", ("def ",)),), "prose")
    b = bench(node, {"a": [kit.Say()], "m": [kit.Say()], "n": [kit.Say()]})
    for text in ("def f", "hello"):
        await b.run(text=text)
        await asyncio.sleep(0)
    await b.snapshot.drain()
    assert sorted(b.upstream.calls) == ["a", "a", "m", "n"]


async def test_an_end_cancels_copies(
    bench: Callable[..., Bench], kit: Kit, until: Callable[[Callable[[], bool]], Awaitable[None]]
) -> None:
    b = bench(mirror(kit.use("a"), kit.use("m")), {"a": [kit.Say("x")], "m": [kit.Say(first=9_000)]})
    await b.run()
    await until(lambda: "m" in b.upstream.calls)
    await b.executor.asides.close()
    assert [(r.failure, r.status) for r in b.records] == [(None, 200), ("cancelled", 499)]


async def test_a_share_of_the_traffic(bench: Callable[..., Bench], kit: Kit) -> None:
    b = bench(mirror(kit.use("a"), kit.use("m"), share=0.25), {"a": [kit.Say("x")], "m": [kit.Say("y")]})
    for _ in range(400):
        await b.run()
    await b.snapshot.drain()
    assert 70 <= b.upstream.calls.count("m") <= 130


async def test_too_many_copies_are_left_out(
    bench: Callable[..., Bench], kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.runtime.asides.MOST", 2)
    b = bench(mirror(kit.use("a"), kit.use("m")), {"a": [kit.Say("x")], "m": [kit.Say(first=9_000)]})
    for _ in range(3):
        await b.run()
    assert [step.why for step in b.record.path if step.what == "skipped"] == [
        "left out: 2 mirror copies are under way"
    ]
    await b.snapshot.drain()
    assert b.upstream.calls.count("m") == 2
