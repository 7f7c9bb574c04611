"""Embedding the engine for vectors, rankings and counts of tokens, over a mock transport."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from engine import Engine
from engine.errors import NoRoute, RequestError, UpstreamError

VENDOR = """
dialect: openai_chat
operations: [chat, embeddings, rerank]
auth: none
base_url: http://127.0.0.1:9
residency: on_prem
models:
  small: {input_price: $1/M}
  ranker: {request_price: $0.001}
  talker: {input_price: $1/M, output_price: $1/M}
"""

ROUTES = """
deployments:
  embedder: {provider: acme, model: small}
  ranker: {provider: acme, model: ranker}
  talker: {provider: acme, model: talker}
routes:
  embed: {match: {operations: [embeddings]}, start: embedder, retry: {extra: 0}}
  rank: {match: {operations: [rerank]}, start: ranker}
  chat: talker
"""


def answer(request: httpx.Request) -> httpx.Response:
    body = json.loads(request.content)
    if request.url.path == "/rerank":
        results = [{"index": 1, "relevance_score": 0.75}, {"index": 0, "relevance_score": 0.5}]
        return httpx.Response(200, json={"results": results})
    packed = "AAAAPwAAgL4="  # 0.5, -0.25
    data = [{"index": n, "embedding": packed} for n, _ in enumerate(body["input"])]
    return httpx.Response(200, json={"data": data, "usage": {"prompt_tokens": 1000}})


class Opened:
    """An engine, and the bodies that reached the vendor."""

    def __init__(self, root: Path, handler: Callable[[httpx.Request], httpx.Response]) -> None:
        for folder, name, text in (("routes", "r", ROUTES), ("providers.d", "acme", VENDOR)):
            (root / folder).mkdir()
            (root / folder / f"{name}.yaml").write_text(text)
        self.bodies: list[dict[str, Any]] = []

        def keep(request: httpx.Request) -> httpx.Response:
            self.bodies.append(json.loads(request.content))
            return handler(request)

        self.engine = Engine.open(root, transport=httpx.MockTransport(keep))


async def test_vectors(tmp_path: Path) -> None:
    opened = Opened(tmp_path, answer)
    async with opened.engine as engine:
        reply = await engine.embed(model="embed", input=["a", [1, 2], {"text": "b"}], dimensions=2)
        one = await engine.embed(model="embed", input="a")
        tokens = await engine.embed(model="embed", input=[1, 2])
    assert reply.vectors == [[0.5, -0.25]] * 3
    assert (len(one.vectors), len(tokens.vectors)) == (1, 1)
    assert opened.bodies[0] == {"model": "small", "input": ["a", [1, 2], "b"], "dimensions": 2}
    assert [body["input"] for body in opened.bodies[1:]] == [["a"], [[1, 2]]]
    assert reply.cost == pytest.approx(0.001)
    assert reply.usage == {"input_tokens": 1000, "output_tokens": 0}
    assert (reply.model, reply.record.operation, reply.record.served_by) == (
        "small",
        "embeddings",
        "embedder",
    )
    assert reply.record.input_tokens == 16 + 3 * 4 + 4


async def test_a_ranking(tmp_path: Path) -> None:
    opened = Opened(tmp_path, answer)
    async with opened.engine as engine:
        reply = await engine.rerank(
            model="rank", query="q", documents=["a", {"text": "b", "year": 1}], top_n=2
        )
    assert reply.order == [1, 0]
    assert reply.results[0]["score"] == 0.75
    assert reply.cost == pytest.approx(0.001)
    assert opened.bodies[0]["documents"] == ["a", {"text": "b", "year": 1}]


async def test_a_count(tmp_path: Path) -> None:
    opened = Opened(tmp_path, answer)
    async with opened.engine as engine:
        count = await engine.count_tokens(model="chat", messages=[{"role": "user", "content": "hello"}])
        with pytest.raises(NoRoute):
            await engine.count_tokens(model="embed", messages=[{"role": "user", "content": "hello"}])
    assert (count.input_tokens, count.counted) == (16 + 8 + 4 + 5, "bound")
    assert opened.bodies == []
    assert (count.record.cost, count.record.attempts[0].usage) == (0, {})


async def test_what_cannot_be_embedded(tmp_path: Path) -> None:
    opened = Opened(tmp_path, answer)
    async with opened.engine as engine:
        for given, param in (
            ([], "input"),
            (["a", 3], "input[1]"),
            ([{"txt": "a"}], "input[0]"),
            ([[1, "a"]], "input[0]"),
        ):
            with pytest.raises(RequestError) as refused:
                await engine.embed(model="embed", input=given)  # type: ignore[arg-type] # wrong on purpose
            assert refused.value.param == param
        with pytest.raises(RequestError, match="no field `dimension`; there is"):
            await engine.embed(model="embed", input="a", dimension=2)
        for documents in ([], "a", ["a", 3]):
            with pytest.raises(RequestError):
                await engine.rerank(model="rank", query="q", documents=documents)  # type: ignore[arg-type] # as above
        with pytest.raises(NoRoute, match="Models: rank"):
            await engine.rerank(model="embed", query="q", documents=["a"])
    assert opened.bodies == []


async def test_a_vendors_error(tmp_path: Path) -> None:
    opened = Opened(tmp_path, lambda _: httpx.Response(429, json={"error": {"message": "slow down"}}))
    async with opened.engine as engine:
        with pytest.raises(UpstreamError) as failed:
            await engine.embed(model="embed", input="a")
    assert failed.value.failure == "rate_limited"
    assert failed.value.record is not None
    assert failed.value.record.attempts[0].closed == "released"
