"""Embeddings, rankings and counts on their way through the executor: sizes, routes, what a count is."""

from __future__ import annotations

from typing import Any, cast

import pytest

from engine.errors import NoRoute, UpstreamError
from engine.plan.types import Match
from engine.runtime import tokens
from engine.runtime.match import Matcher
from engine.runtime.views import RequestView
from engine.wire.operations import AnyRequest

TEXT = {"type": "text", "text": "ab"}
IMAGE = {"type": "image", "data": "AAAA"}


@pytest.mark.parametrize(
    ("request_", "bound", "size"),
    [
        ({"operation": "embeddings", "input": [{"text": "abc"}, {"text": "é"}]}, 16 + 2 * 4 + 5, 5),
        ({"operation": "embeddings", "input": [{"tokens": [1, 2, 3]}]}, 16 + 4 + 3, 12),
        ({"operation": "embeddings", "input": [{"content": [TEXT, IMAGE]}]}, 30 + tokens.IMAGE.most, 2),
        ({"operation": "rerank", "query": "ab", "documents": [{"text": "abc"}, {}]}, 16 + 2 * (8 + 2) + 3, 7),
        ({"operation": "rerank", "query": "a", "documents": [{"fields": {"k": "v"}}]}, 16 + 8 + 1 + 10, 11),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]}, 16 + 8 + 4 + 2, 2),
    ],
)  # fmt: skip
def test_sizes(request_: Any, bound: int, size: int) -> None:
    assert tokens.bound(cast(AnyRequest, request_)) == bound
    assert tokens.text_bytes(cast(AnyRequest, request_)) == size


def test_what_routes_read_of_them() -> None:
    inputs = [{"text": "a"}, {"content": [IMAGE, TEXT]}]
    embedding: Any = {"operation": "embeddings", "model": "m", "input": inputs}
    view = RequestView(embedding, "embeddings", None, {}, tokens.bound)
    assert (view.text, view.has("image"), view.operation) == ("a\nab", True, "embeddings")
    ranking: Any = {"operation": "rerank", "model": "m", "query": "q", "documents": [{"text": "d"}]}
    assert RequestView(ranking, "rerank", None, {}, tokens.bound).text == "q"


def never(_: str, __: Any) -> bool:
    raise AssertionError("no match here has a condition")


def test_who_chats_counts() -> None:
    matcher = Matcher(
        [
            ("chats", Match(("a", "b*"))),
            ("vectors", Match(("v",), ("embeddings",))),
            ("counts", Match(("b2",), ("count_tokens",))),
        ]
    )
    assert matcher.find("a", "count_tokens", never) == "chats"
    assert matcher.find("b1", "count_tokens", never) == "chats"
    assert matcher.find("b2", "count_tokens", never) == "counts"  # written for it
    assert matcher.find("v", "embeddings", never) == "vectors"
    for model, operation in (("v", "chat"), ("v", "count_tokens"), ("a", "embeddings"), ("v", "rerank")):
        with pytest.raises(NoRoute):
            matcher.find(model, operation, never)
    with pytest.raises(NoRoute, match=r"operations here: chat, count_tokens, embeddings"):
        matcher.find("v", "rerank", never)


async def test_a_count_is_exact_where_the_tokenizer_is_here(kit: Any, bench: Any) -> None:
    made = bench(kit.use("a"), {"a": [kit.Say("x")]})
    made.upstream.count = lambda request, deployment: counted(7)
    inbound = made.inbound("hello")
    inbound.operation = "count_tokens"
    answer = await made.run(inbound)
    assert (answer.reply["input_tokens"], answer.reply["counted"]) == (7, "exact")
    assert made.upstream.calls == []
    assert (made.record.cost, made.record.operation) == (0, "count_tokens")
    assert made.record.attempts[0].closed == "settled"


async def counted(number: int) -> int:
    return number


async def test_a_count_is_a_bound_elsewhere(kit: Any, bench: Any) -> None:
    made = bench(kit.fallback(kit.use("a"), kit.use("b")), {"a": [kit.Fail("server")], "b": [kit.Say("x")]})
    inbound = made.inbound("hello")
    inbound.operation = "count_tokens"
    answer = await made.run(inbound)
    assert (answer.reply["input_tokens"], answer.reply["counted"]) == (16 + 8 + 4 + 5, "bound")
    assert answer.reply["model"] == "model-a"


async def test_a_model_that_only_chats_embeds_nothing(kit: Any, bench: Any) -> None:
    made = bench(kit.use("a"), {"a": [kit.Say("x")]}, match=Match(("r",), ("embeddings",)))
    inbound = made.inbound()
    inbound.request = cast(AnyRequest, {"operation": "embeddings", "model": "r", "input": [{"text": "a"}]})
    inbound.operation = "embeddings"
    error = await made.fails(inbound)
    assert isinstance(error, UpstreamError)
    assert (error.failure, error.message) == ("unsupported", "a does not do embeddings")
    assert made.upstream.calls == []
