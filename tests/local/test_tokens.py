"""Chat templates learnt from their output, and counts that say whether they are exact."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
import pytest
from asking import ask

from engine.local.template import ChatShape, apply, learn
from engine.local.tokens import OFF_LOOP_BYTES, Count, TokenCounter

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{{ '<|im_start|>assistant\n' }}"
)
DEFAULT_SYSTEM = (
    "{% if messages[0].role != 'system' %}<|im_start|>system\nBe kind<|im_end|>\n{% endif %}" + CHATML
)


def render(template: str) -> Callable[[Any], str]:
    compiled = jinja2.Environment(autoescape=False).from_string(template)
    return lambda messages: compiled.render(messages=messages)


@pytest.mark.parametrize(
    ("template", "plain"),
    [
        (CHATML, True),
        (DEFAULT_SYSTEM, True),
        (CHATML.replace("m.content", "m.content|trim"), False),  # strips
        (CHATML.replace("m.content", "m.content.split('</think>')[-1]"), False),  # hides earlier thoughts
        (CHATML.replace("m.role", "m.role + loop.index|string"), False),  # numbers the turns
        ("{{ raise_exception('no system here') }}", False),
        ("nothing of what was said", False),
    ],
)
def test_a_shape_is_learnt_only_where_it_is_exact(template: str, plain: bool) -> None:
    shape = learn(render(template))
    assert (shape is not None) is plain
    if shape is None:
        return
    for roles in (["user"], ["system", "user"], ["user", "assistant", "user", "assistant", "user"]):
        messages = [{"role": role, "content": f" {role} 🦀\n"} for role in roles]
        assert apply(shape, messages) == render(template)(messages)


def test_what_was_not_learnt_is_not_guessed() -> None:
    shape = learn(render(CHATML))
    assert shape is not None
    assert apply(shape, []) is None
    for roles in (["tool"], ["user", "user"], ["user", "assistant"], ["assistant", "user"]):
        assert apply(shape, [{"role": role, "content": ""} for role in roles]) is None
    assert apply(shape, [{"role": "user", "content": "", "tool_calls": []}]) is None


@pytest.fixture
def shape() -> ChatShape:
    found = learn(render(CHATML))
    assert found is not None
    return found


async def test_exact_with_the_shape_and_a_bound_without(canned_model: Path, shape: ChatShape) -> None:
    counter = TokenCounter(canned_model)
    request = ask("hi", system="be brief")
    exact = await counter.count(request, shape)
    assert exact == Count((1 + 7 + 8 + 2) + (1 + 5 + 2 + 2) + (1 + 10), exact=True)
    bound = await counter.count(request)
    assert bound.tokens > exact.tokens
    assert not bound.exact
    image = {"messages": [{"role": "user", "content": [{"type": "image", "data": "A" * 500}]}]}
    assert (await counter.count(image, shape)).tokens > 500
    tools = [{"name": "f", "description": "d" * 400}]
    with_tools = await counter.count(ask(tools=tools), shape)
    assert with_tools.tokens > 400
    assert not with_tools.exact


async def test_without_the_package_a_byte_is_a_token(
    canned_model: Path, shape: ChatShape, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "tokenizers" else real(name)
    )
    counted = await TokenCounter(canned_model).count(ask("hé"), shape)
    assert counted == Count(
        len("<|im_start|>user\nhé<|im_end|>\n<|im_start|>assistant\n".encode()), exact=False
    )


async def test_long_texts_are_counted_off_the_loop(
    canned_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter, threads = TokenCounter(canned_model), []
    real = counter._encode
    monkeypatch.setattr(
        counter, "_encode", lambda text: threads.append(threading.current_thread()) or real(text)
    )
    assert (await counter.count_text("a" * 100)).tokens == 100
    assert (await counter.count_text("a" * (OFF_LOOP_BYTES + 1))).tokens == OFF_LOOP_BYTES + 1
    assert [thread is threading.main_thread() for thread in threads] == [True, False]


async def test_a_lone_surrogate_has_a_size(canned_model: Path) -> None:
    assert (await TokenCounter(canned_model).count_text("a\ud800b")).tokens == 3
