"""The judges judge: what an SDK's own types would let through, `strict` refuses."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from typing import Any

import corpus
import pytest
from anthropic.types import Message, message_create_params
from openai.types.chat import ChatCompletionChunk, completion_create_params
from openai.types.responses import response_create_params
from strict import Judge, faults, strict, strict_model

from engine.wire.canonical import Request

ANTHROPIC = strict(message_create_params.MessageCreateParamsNonStreaming, "anthropic.types")
CHAT = strict(completion_create_params.CompletionCreateParamsNonStreaming, "openai.types")
RESPONSES = strict(response_create_params.ResponseCreateParamsNonStreaming, "openai.types")

HI = {"role": "user", "content": "hi"}
CALL = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
CHUNK = {"id": "x", "choices": [], "created": 1, "model": "m", "object": "chat.completion.chunk"}


@pytest.mark.parametrize(
    ("judge", "body", "good"),
    [
        (ANTHROPIC, {"model": "m", "max_tokens": 1, "messages": [HI]}, True),
        (ANTHROPIC, {"model": "m", "messages": [HI]}, False),
        (ANTHROPIC, {"model": "m", "max_tokens": 1, "messages": [{"role": "tool", "content": "x"}]}, False),
        (ANTHROPIC, {"model": "m", "max_tokens": 1, "messages": [HI], "n": 1}, False),
        (
            ANTHROPIC,
            {
                "model": "m",
                "max_tokens": 1,
                "messages": [{"role": "user", "content": [{"type": "image_url"}]}],
            },
            False,
        ),
        (CHAT, {"model": "m", "messages": [HI]}, True),
        (CHAT, {"model": "m", "messages": [HI], "top_k": 1}, False),
        (CHAT, {"model": "m", "messages": [{"role": "usr", "content": "hi"}]}, False),
        (RESPONSES, {"model": "m", "input": [HI, CALL]}, True),
        (RESPONSES, {"model": "m", "input": [{"type": "function_call", "name": "f"}]}, False),
        (RESPONSES, {"model": "m", "messages": []}, False),
    ],
)
def test_a_request_is_judged_at_every_depth(judge: Judge, body: dict[str, Any], good: bool) -> None:
    assert (faults(judge, body) == []) is good


@pytest.mark.parametrize(
    ("model", "body", "good"),
    [
        (ChatCompletionChunk, CHUNK, True),
        (ChatCompletionChunk, {**CHUNK, "oops": 1}, False),
        (ChatCompletionChunk, {**CHUNK, "created": "soon"}, False),
        (Message, {"id": "m", "type": "message"}, False),
    ],
)
def test_an_answer_is_judged_at_every_depth(model: Any, body: dict[str, Any], good: bool) -> None:
    assert (faults(strict_model(model), body) == []) is good


@pytest.mark.parametrize("name", corpus.names())
def test_the_corpus_is_canonical(name: str) -> None:
    assert list(_unnamed(corpus.request(name), Request)) == []


def _unnamed(value: Any, hint: Any, at: str = "request") -> Iterator[str]:
    """Keys that the canonical types do not name."""
    if typing.is_typeddict(hint):
        hints = typing.get_type_hints(hint)
        for key, item in value.items():
            yield from _unnamed(item, hints[key], f"{at}.{key}") if key in hints else (f"{at}.{key}",)
    elif typing.get_origin(hint) is list:
        for number, item in enumerate(value):
            yield from _unnamed(item, *typing.get_args(hint), f"{at}[{number}]")
    elif typing.get_origin(hint) is typing.Literal and value not in typing.get_args(hint):
        yield f"{at}: {value}"
