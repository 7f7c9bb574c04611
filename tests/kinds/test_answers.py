"""Answers as kinds read them: as expressions do, compared, and what judges say of them."""

from __future__ import annotations

from typing import Any

import pytest

from engine.kinds.answers import AnswerView, data_of, essence, text_of, views
from engine.kinds.asking import choice, conversation, score
from engine.kinds.effects import Outcome
from engine.upstream.protocol import Whole


def answered(*parts: Any, finish: str = "stop", **reply: Any) -> Outcome:
    content = [{"type": "text", "text": part} if isinstance(part, str) else part for part in parts]
    choices = [{"index": 0, "message": {"content": content}, "finish_reason": finish}]
    return Outcome(ok=True, reply=Whole({"choices": choices, **reply}))  # type: ignore[typeddict-item] # a test's shorthand


def call(name: str, arguments: str) -> dict[str, str]:
    return {"type": "tool_call", "name": name, "arguments": arguments}


def test_what_expressions_see() -> None:
    (view,) = views(answered("ab", call("f", "{}"), "c", finish="tool_calls", usage={"output_tokens": 7}))
    assert (view.text, view.length, view.finish, view.tool_calls, view.output_tokens) == (
        "abc",
        3,
        "tool_calls",
        1,
        7,
    )
    assert not view.refused


@pytest.mark.parametrize(
    ("outcome", "refused"),
    [
        (answered("no"), False),
        (answered({"type": "refusal", "text": "no"}), True),
        (answered("", finish="content_filter"), True),
        (Outcome(ok=True, final=True, reply="a fixed text"), False),
        (Outcome(ok=True, reply=Whole({"choices": []})), False),
    ],
)
def test_refused(outcome: Outcome, refused: bool) -> None:
    assert views(outcome)[0].refused is refused


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (answered("Paris."), answered("  paris"), True),
        (answered("Paris"), answered("Rome"), False),
        (answered('{"a": 1, "b": [2]}'), answered('```json\n{"b":[2],"a":1}\n```'), True),
        (answered('{"a": 1}'), answered('{"a": 2}'), False),
        (answered(call("f", '{"x": 1}')), answered(call("f", '{ "x":1 }')), True),
        (answered(call("f", "{}")), answered(call("g", "{}")), False),
        (answered("x", call("f", "{}")), answered("x"), False),
    ],
)
def test_the_same(one: Outcome, other: Outcome, same: bool) -> None:
    assert (essence(one) == essence(other)) is same


def test_as_text() -> None:
    assert text_of(
        answered("a", call("f", "{}"), {"type": "reasoning", "text": "hm"}, {"type": "image"})
    ) == ("a\n[calls f with {}]\n[image]")
    result = {"type": "tool_result", "content": [{"type": "text", "text": "42"}]}
    assert conversation({"messages": [{"role": "tool", "content": [result]}]}) == [  # type: ignore[list-item]
        {"role": "tool", "text": "[result of a tool: 42]"}
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [("[1]", [1]), ("```\n[1]\n```", [1]), ("see: [1]", None), ("", None), ("[" * 100_000, None)],
)
def test_json_of_a_text(text: str, found: Any) -> None:
    assert data_of(text) == found


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ('{"score": 0.5}', 0.5),
        ('{"score": 1}', 1.0),
        ('```json\n{"score": 0}\n```', 0.0),
        ('{"score": 1.01}', None),
        ('{"score": -1}', None),
        ('{"score": true}', None),
        ('{"score": "0.9"}', None),
        ('{"score": NaN}', None),
        ("0.9", None),
        ('I would say {"score": 0.9}', None),
        ('{"rating": 0.9}', None),
    ],
)
def test_a_score(said: str, expected: float | None) -> None:
    assert score(answered(said)) == expected


def test_a_judge_that_fails_says_nothing() -> None:
    failed = Outcome(ok=False, failure="server")
    assert score(failed) is None
    assert choice(failed, 3) is None


@pytest.mark.parametrize(
    ("said", "expected"),
    [('{"best": 1}', 0), ('{"best": 3}', 2), ('{"best": 4}', None), ('{"best": 0}', None),
     ('{"best": true}', None), ('{"best": 1.0}', None), ('{"best": "1"}', None)],
)  # fmt: skip
def test_a_choice(said: str, expected: int | None) -> None:
    assert choice(answered(said), 3) == expected


def test_the_view_of_nothing() -> None:
    assert AnswerView({}, {}).text == ""
