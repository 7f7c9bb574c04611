"""`classify` through the executor: labels below it, and a judge's call in the record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from engine.kinds.classify import Classify, Label
from engine.kinds.switch import Arm, Switch
from engine.plan.types import Call, Ceilings
from engine.plan.values import Expr

IS_CODE = Expr(
    source='label.task == "code"', scope="route", type="bool",
    ir=["cmp", "==", ["f", ["p", 3], "task"], ["c", "code"], "plain"],
)  # fmt: skip


def labelled(kit: Any, via: str, asks: str | None = None) -> Classify:
    below = Switch("r/switch", Call(), (Arm(IS_CODE, kit.use("coder")),), kit.use("writer"))
    labels = (Label("code", ("traceback",)),)
    return Classify("r", Call(), below, "task", via, labels, "prose", None if asks is None else kit.use(asks))


@pytest.mark.parametrize(("text", "served"), [("a Traceback", "coder"), ("a poem", "writer")])
@pytest.mark.parametrize("stream", [False, True])
async def test_keywords(kit: Any, bench: Callable[..., Any], text: str, served: str, stream: bool) -> None:
    one = bench(labelled(kit, "keywords"), {"coder": [kit.Say()], "writer": [kit.Say()]})
    answer = await one.run(one.inbound(text, stream=stream))
    if stream:
        await one.read(answer)
    assert one.record.served_by == served
    assert [step.what for step in one.record.path] == ["labelled", "took"]


async def test_a_judge_is_a_call_of_the_request(kit: Any, bench: Callable[..., Any]) -> None:
    script = {"judge": [kit.Say('{"label": "code"}')], "coder": [kit.Say()], "writer": [kit.Say()]}
    one = bench(labelled(kit, "model", "judge"), script)
    answer = await one.run(one.inbound("anything", stream=True))
    await one.read(answer)
    assert one.record.served_by == "coder"
    assert [(each.deployment, each.role) for each in one.record.attempts] == [
        ("judge", "classify"),
        ("coder", "answer"),
    ]
    assert one.record.cost == sum(each.cost.total for each in one.record.attempts) > 0


async def test_a_judge_without_calls_left_is_not_asked(kit: Any, bench: Callable[..., Any]) -> None:
    """The judge takes the one call that is allowed: nobody is left to answer."""
    script = {"judge": [kit.Say('{"label": "code"}')], "coder": [kit.Say()], "writer": [kit.Say()]}
    one = bench(labelled(kit, "model", "judge"), script, per_request=Ceilings(calls=1))
    error = await one.fails()
    assert error.status == 503
    assert one.upstream.calls == ["judge"]


async def test_a_judge_that_fails_leaves_the_rest(kit: Any, bench: Callable[..., Any]) -> None:
    script = {"judge": [kit.Fail("server")], "coder": [kit.Say()], "writer": [kit.Say()]}
    one = bench(labelled(kit, "model", "judge"), script)
    await one.run()
    assert one.record.served_by == "writer"
