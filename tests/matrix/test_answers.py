"""The fakes' answers, judged by the vendors' own types and parsers: no fake is our own belief."""

from __future__ import annotations

import pytest
from fakes import ARGUMENTS, DIALECTS, TEXT, answers, encoded, has
from judges import SAID, answer_faults, request_faults, stream_faults

JUDGED = [*SAID, "bedrock_converse"]
STREAMS = ("text_stream", "call_stream", "stream_error")


def test_every_chat_dialect_has_answers() -> None:
    from engine.builtin import builtin

    shipped = {path.stem for path in builtin("providers.d").glob("dialects/*.yaml")}
    assert set(DIALECTS) == shipped - {"jina", "voyage"}  # those have no chat


@pytest.mark.parametrize("dialect", DIALECTS)
def test_nothing_is_missing(dialect: str) -> None:
    said = answers(dialect)
    want = {"model", "base", "asked", "usage", "text", "text_stream", "stream_error", "errors"}
    assert said.keys() >= want | ({"call", "call_stream"} if has(dialect, "tools") else set())
    classes = {"auth", "not_found", "rate_limited", "context_length", "server", "overloaded"}
    assert set(said["errors"]) == classes
    assert (dialect in JUDGED) is ("takes" not in said)


@pytest.mark.parametrize("dialect", JUDGED)
def test_whole_answers_are_the_vendors(dialect: str) -> None:
    said = answers(dialect)
    for kind in ("text", "call"):
        if kind in said:
            assert answer_faults(dialect, said[kind]) == [], kind


@pytest.mark.parametrize("dialect", JUDGED)
def test_streams_are_the_vendors(dialect: str) -> None:
    said = answers(dialect)
    for kind in STREAMS:
        if kind in said and not (dialect == "bedrock_converse" and kind == "stream_error"):
            assert stream_faults(dialect, said[kind], encoded(dialect, said[kind])) == [], kind


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_judges_judge(dialect: str) -> None:
    assert request_faults(dialect, {"nonsense": 1}, answers(dialect)) != []
    if dialect in JUDGED:
        assert answer_faults(dialect, {**answers(dialect)["text"], "nonsense": []}) != []


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_answers_say_what_the_tests_expect(dialect: str) -> None:
    told = str(answers(dialect)["text"])
    assert TEXT in told.replace("', '", "")
    if has(dialect, "tools"):
        told = str(answers(dialect)["call"])
        assert all(f"{value}" in told for value in ("weather", *ARGUMENTS.values()))
