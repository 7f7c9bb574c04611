"""Events into a reply and back."""

from __future__ import annotations

from typing import Any

import pytest

from engine.wire.whole import Collector, events_of

TEXT = {"type": "text", "text": "hello"}
CALL = {"type": "tool_call", "id": "c1", "name": "f", "arguments": '{"x":1}'}
OTHER = {"type": "tool_call", "id": "c2", "name": "g", "arguments": "{}"}
THOUGHT = {"type": "reasoning", "text": "hm", "signature": "s"}
HIDDEN = {"type": "reasoning", "redacted": "xx", "origin": "maker"}
SIGNED = {"type": "text", "text": "so", "signature": "s2", "origin": "maker", "citations": [{"url": "u"}]}
OWN = {"type": "native", "origin": "maker", "provider_data": {"type": "server_tool_use", "id": "s1"}}
SEALED_CALL = {**CALL, "signature": "s3", "origin": "maker", "provider_data": {"type": "custom"}}
CITED = {"type": "text", "text": "so it is", "citations": [{"url": "https://example.org"}]}


def reply(*contents: list[dict[str, Any]]) -> Any:
    return {
        "id": "x",
        "created": 7,
        "model": "m",
        "choices": [
            {
                "index": index,
                "message": {"role": "assistant", "content": content},
                "finish_reason": "stop",
                "native_finish_reason": "end_turn",
            }
            for index, content in enumerate(contents)
        ],
        "usage": {"input_tokens": 3, "output_tokens": 4},
    }


@pytest.mark.parametrize(
    "contents",
    [
        ([TEXT],),
        ([THOUGHT, TEXT, CALL, OTHER],),
        ([CITED],),
        ([THOUGHT, HIDDEN, THOUGHT, HIDDEN, HIDDEN, TEXT],),
        ([SIGNED, TEXT, OWN, OWN, SEALED_CALL, SIGNED],),
        ([TEXT], [{"type": "refusal", "text": "no"}]),
        ([CALL], [OTHER]),
    ],
)
def test_a_reply_survives_being_a_stream(contents: tuple[list[dict[str, Any]], ...]) -> None:
    collector = Collector()
    for event in events_of(reply(*contents)):
        collector.add([event])
    assert collector.reply(created=99) == reply(*contents)
    assert collector.error is None


def test_pieces_run_on() -> None:
    collector = Collector()
    collector.add(
        [
            {"type": "start", "id": "x"},
            {"type": "text", "text": "a"},
            {"type": "text", "text": "b"},
            {"type": "tool_call", "index": 0, "id": "c", "name": "f"},
            {"type": "tool_arguments", "index": 0, "arguments": '{"x"'},
            {"type": "tool_arguments", "index": 0, "arguments": ":1}"},
            {"type": "logprobs", "logprobs": {"content": [1]}},
            {"type": "logprobs", "logprobs": {"content": [2]}},
            {"type": "finish", "finish_reason": "tool_calls"},
            {"type": "usage", "usage": {"output_tokens": 2}},
        ]
    )
    made = collector.reply(created=5)
    (choice,) = made["choices"]
    assert made["created"] == 5
    assert choice["message"]["content"] == [
        {"type": "text", "text": "ab"},
        {"type": "tool_call", "id": "c", "name": "f", "arguments": '{"x":1}'},
    ]
    assert choice["logprobs"] == {"content": [1, 2]}


def test_audio_and_other_shapes_of_log_probabilities() -> None:
    collector = Collector()
    collector.add(
        [
            {"type": "audio", "audio": {"data": "AA", "format": "wav"}},
            {"type": "logprobs", "logprobs": None},
            {"type": "logprobs", "logprobs": {"content": [1], "refusal": None}},
            {"type": "logprobs", "logprobs": {"refusal": [2]}},
        ]
    )
    (choice,) = collector.reply(0)["choices"]
    assert choice["message"]["content"] == [{"type": "audio", "data": "AA", "format": "wav"}]
    assert choice["logprobs"] == {"content": [1], "refusal": [2]}


def test_an_error_is_kept() -> None:
    collector = Collector()
    collector.add([{"type": "error", "error": {"failure": "cut", "message": "it broke"}}])
    assert collector.error == {"failure": "cut", "message": "it broke"}


def test_log_probabilities_come_with_the_text() -> None:
    answer = reply([TEXT, CALL])
    answer["choices"][0]["logprobs"] = {"content": [{"token": "hello", "logprob": -0.5}]}
    events = events_of(answer)
    assert [event["type"] for event in events][1:4] == ["text", "logprobs", "tool_call"]
    collector = Collector()
    collector.add(events)
    assert collector.reply(created=99) == answer
