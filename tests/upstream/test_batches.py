"""A request for more inputs than a call takes: cut, sent a few at a time, put together."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from engine.plan.types import Call, Deployment
from engine.plan.vendors import Facts
from engine.upstream import batches
from engine.upstream.protocol import Ask, Whole
from engine.wire.canonical import Error, Request
from engine.wire.operations import EmbeddingReply, EmbeddingRequest


def ask(count: int, operation: str = "embeddings", **more: Any) -> Ask:
    request = {"model": "m", "input": [{"text": str(n)} for n in range(count)], **more}
    place = Deployment("d", "p", "m", "m", "r", "http://x", "unknown", (), Facts(), Call())
    return Ask(
        cast(Request, request),
        place,
        {},
        None,
        operation=operation,
        body={"input": []},
        dialect="openai_chat",
    )


def texts(piece: Ask) -> list[str]:
    return [each["text"] for each in cast(EmbeddingRequest, piece.request)["input"]]


@pytest.mark.parametrize(
    ("count", "most", "sizes"), [(3, None, [3]), (3, 3, [3]), (4, 3, [3, 1]), (7, 1, [1] * 7), (0, 1, [0])]
)
def test_it_is_cut(count: int, most: int | None, sizes: list[int]) -> None:
    whole = ask(count, user="u")
    pieces = batches.cut(whole, most)
    assert [len(texts(piece)) for piece in pieces] == sizes
    assert [text for piece in pieces for text in texts(piece)] == [str(n) for n in range(count)]
    if len(pieces) == 1:
        assert pieces == [whole]
    else:
        assert all(piece.body is None and piece.request["user"] == "u" for piece in pieces)


def test_only_what_is_answered_one_by_one() -> None:
    ranking = ask(9, "rerank")
    assert batches.cut(ranking, 2) == [ranking]


async def test_order_usage_and_what_was_dropped() -> None:
    opened: list[int] = []
    most = 0

    async def send(piece: Ask) -> Whole:
        nonlocal most
        opened.append(int(texts(piece)[0]))
        most = max(most, len(opened))
        await asyncio.sleep(0.02 if texts(piece)[0] == "0" else 0.001)
        opened.pop()
        vectors = [{"index": place, "vector": [float(text)]} for place, text in enumerate(texts(piece))]
        usage = {"input_tokens": len(vectors), **({"cost": 1.0} if texts(piece)[0] == "0" else {})}
        reply = cast(EmbeddingReply, {"id": texts(piece)[0], "embeddings": vectors, "usage": usage})
        return Whole(reply, dropped=("user",))

    answer = await batches.together(batches.cut(ask(20), 2), send)
    reply = cast(EmbeddingReply, answer.reply)
    assert [each["vector"] for each in reply["embeddings"]] == [[float(n)] for n in range(20)]
    assert [each["index"] for each in reply["embeddings"]] == list(range(20))
    assert reply["usage"] == {"input_tokens": 20}  # a cost that one piece tells is not that of all
    assert (reply["id"], answer.dropped) == ("0", ("user",))
    assert most == batches.AT_ONCE


async def test_the_first_failure_ends_the_others() -> None:
    ended: list[str] = []

    async def send(piece: Ask) -> Whole:
        first = texts(piece)[0]
        if first == "1":
            return Whole(None, Error(failure="rate_limited", message="slow down"))
        try:
            await asyncio.sleep(30)
        finally:
            ended.append(first)
        raise AssertionError("nobody waits for it")

    answer = await asyncio.wait_for(batches.together(batches.cut(ask(9), 1), send), 30)
    assert answer.error == {"failure": "rate_limited", "message": "slow down"}
    assert {"0", "2", "3"} <= set(ended) <= {"0", "2", "3", "4"}  # those that had begun, and none after


async def test_cancelling_it_cancels_all() -> None:
    begun = ended = 0

    async def send(piece: Ask) -> Whole:
        nonlocal begun, ended
        begun += 1
        try:
            await asyncio.sleep(30)
        finally:
            ended += 1
        raise AssertionError("nobody waits for it")

    task = asyncio.ensure_future(batches.together(batches.cut(ask(3), 1), send))
    while begun < 3:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == 3
