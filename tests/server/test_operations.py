"""Embeddings, rankings and counts through the sidecar: real sockets, the openai SDK as a client."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
import pytest_asyncio
from ports import free_port
from running import HELLO, Running, running, write_workspace
from scripted import Connection, whole
from vendor import Vendor, answers

#: One sidecar for all tests: compiling it takes most of their time.
pytestmark = pytest.mark.asyncio(loop_scope="module")

EMBED, RERANK, COUNT = "/v1/embeddings", "/v1/rerank", "/v1/test/count_tokens"

#: A form that counts tokens when it is asked.
DIALECTS = {
    "counting": """\
extends: openai_chat
operations:
  chat: {ingress: null}
  embeddings: {ingress: null}
  rerank: {ingress: null}
  count_tokens:
    path: /count
    ingress: [/v1/test/count_tokens]
    request:
      check:
        type: map
        fields:
          model: {type: text, required: true}
          text: {type: text, required: true}
      read:
        model: ${{ body.model }}
        messages: [{role: user, content: [{type: text, text: "${{ body.text }}"}]}]
      write: {model: "${{ target.wire_model }}", text: "${{ request.messages[0].content[0].text }}"}
    response:
      read: {input_tokens: "${{ body.count }}"}
      write: {count: "${{ reply.input_tokens }}", by: "${{ reply.counted }}", model: "${{ reply.model }}"}
""",
}

PROVIDER = """\
dialect: {dialect}
operations: {operations}
base_url: http://127.0.0.1:{port}/v1
auth: none
residency: on_host
models:
  e-1: {{context: 8k, input_price: $1/M}}
  r-1: {{context: 8k, request_price: $0.002}}
  m-1: {{context: 32k, output: 4k, input_price: $1/M, output_price: $10/M}}
"""

#: What those providers serve that do not serve all.
SERVES = {"voyager": "[embeddings, rerank]", "counting": "[chat, embeddings, rerank, count_tokens]"}

ROUTES = """\
deployments:
  near: {provider: fake, model: e-1}
  gone: {provider: closed, model: e-1}
  threes: {provider: threes, model: e-1}
  ranker: {provider: fake, model: r-1}
  chatter: {provider: fake, model: m-1}
  counter: {provider: counting, model: m-1}
  voyage: {provider: voyager, model: e-1}
routes:
  embed: {match: {operations: [embeddings]}, start: {fallback: [gone, near]}}
  threes: {match: {operations: [embeddings]}, start: threes, retry: {extra: 0}}
  voyage: {match: {operations: [embeddings, rerank]}, start: voyage}
  small: {match: {operations: [embeddings]}, start: near, admit: {input: 40}}
  fixed: {match: {operations: [chat, embeddings]}, start: {respond: A fixed text.}}
  rank: {match: {operations: [rerank]}, start: ranker}
  chat: chatter
  counted: {start: counter, params: {temperature: 0}}
"""


def vector(text: str) -> list[float]:
    """Two numbers that a float of 32 bits holds exactly."""
    return [len(text) / 4, -0.25]


def packed(numbers: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


class Embedder(Vendor):
    """Embeds texts in the form it is asked for; `numbers_only` knows no base64."""

    def __init__(self) -> None:
        super().__init__()
        self.reset()

    def reset(self) -> None:
        self.bodies.clear()
        self.numbers_only = False
        self.fails_with: str | None = None
        self.paths: list[str] = []
        self.answer = self.embed

    async def embed(self, connection: Connection) -> None:
        body = self.bodies[-1]
        self.paths.append(connection.last.split(b" ")[1].decode())
        inputs = body["input"] if isinstance(body["input"], list) else [body["input"]]
        if self.fails_with in inputs:
            error = {"error": {"message": "no", "type": "server_error", "code": None}}
            connection.send(whole(500, json.dumps(error).encode(), "application/json"))
            return
        await asyncio.sleep(0.02 if "slow" in inputs else 0)
        in_base64 = body.get("encoding_format") == "base64" and not self.numbers_only
        data = [
            {
                "object": "embedding",
                "index": place,
                "embedding": packed(vector(text)) if in_base64 else vector(text),
            }
            for place, text in enumerate(inputs)
        ]
        usage = {"prompt_tokens": 2 * len(inputs), "total_tokens": 2 * len(inputs)}
        told = {"object": "list", "data": data, "model": body["model"], "usage": usage}
        connection.send(whole(200, json.dumps(told).encode(), "application/json"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def vendor_for_all() -> AsyncIterator[Embedder]:
    async with Embedder() as served:
        yield served


@pytest.fixture
def embedder(vendor_for_all: Embedder) -> Embedder:
    """The vendor, as if nobody had asked it anything."""
    vendor_for_all.reset()
    return vendor_for_all


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(
    vendor_for_all: Embedder, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Running]:
    embedder = vendor_for_all
    folder = write_workspace(tmp_path_factory.mktemp("ws"), embedder.port, routes=ROUTES)
    (folder / "providers.d" / "dialects").mkdir()
    for name, text in DIALECTS.items():
        (folder / "providers.d" / "dialects" / f"{name}.yaml").write_text(text)
    ports = {"closed": free_port()}
    speaks = {"voyager": "voyage", "counting": "counting"}
    for name in ("fake", "closed", "threes", "counting", "voyager"):
        dialect, port = speaks.get(name, "openai_chat"), ports.get(name, embedder.port)
        operations = SERVES.get(name, "[chat, embeddings, rerank]")
        text = PROVIDER.format(dialect=dialect, port=port, operations=operations) + (
            "batch: 3\n" if name == "threes" else ""
        )
        (folder / "providers.d" / f"{name}.yaml").write_text(text)
    async with running(folder) as started:
        yield started


@pytest_asyncio.fixture(loop_scope="module")
async def sdk(served: Running) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{served.url}/v1", api_key="any", max_retries=0) as client:
        yield client


# --- embeddings -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("numbers_only", [False, True], ids=["vendor packs", "vendor writes numbers"])
@pytest.mark.parametrize("asked", ["sdk default", "float", "base64"])
async def test_the_sdk_gets_its_vectors(
    sdk: openai.AsyncOpenAI, embedder: Embedder, asked: str, numbers_only: bool
) -> None:
    embedder.numbers_only = numbers_only
    more: dict[str, Any] = {} if asked == "sdk default" else {"encoding_format": asked}
    reply = await sdk.embeddings.create(model="embed", input=["a", "[1]"], **more)
    got = [each.embedding for each in reply.data]
    wanted: list[Any] = [vector("a"), vector("[1]")]
    assert got == ([packed(each) for each in wanted] if asked == "base64" else wanted)
    assert [each.index for each in reply.data] == [0, 1]
    assert reply.usage.prompt_tokens == 4
    assert embedder.bodies[-1]["encoding_format"] == ("float" if asked == "float" else "base64")


async def test_fields_go_through(sdk: openai.AsyncOpenAI, embedder: Embedder) -> None:
    await sdk.embeddings.create(model="embed", input="hi", dimensions=2, user="u", extra_body={"own": 1})
    assert embedder.bodies == [
        {"model": "e-1", "input": "hi", "dimensions": 2, "user": "u", "own": 1, "encoding_format": "base64"}
    ]
    assert embedder.paths == ["/v1/embeddings"]


async def test_tokens_go_through(sdk: openai.AsyncOpenAI, embedder: Embedder) -> None:
    embedder.answer = answers({"data": [{"embedding": [1.0]}, {"embedding": [2.0]}], "usage": {}})
    reply = await sdk.embeddings.create(model="embed", input=[[1, 2], [0]])
    assert [each.embedding for each in reply.data] == [[1.0], [2.0]]
    assert embedder.bodies[-1]["input"] == [[1, 2], [0]]


async def test_it_is_told_and_billed(served: Running, embedder: Embedder) -> None:
    answer = await served.client.post(EMBED, json={"model": "embed", "input": ["a", "b"]})
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-engine-deployment"] == "near"
    assert answer.headers["x-engine-calls"] == "3"  # a closed port, once more, then the one that serves
    assert answer.headers["x-engine-cost"] == "0.000004"
    assert answer.json()["model"] == "e-1"


async def test_many_inputs_become_several_calls(served: Running, embedder: Embedder) -> None:
    texts = ["slow", *("x" * n for n in range(1, 10))]  # the first piece is answered last
    body = {"model": "threes", "input": texts, "encoding_format": "base64"}
    answer = await served.client.post(EMBED, json=body)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert [each["embedding"] for each in told["data"]] == [packed(vector(text)) for text in texts]
    assert [each["index"] for each in told["data"]] == list(range(10))
    assert told["usage"]["prompt_tokens"] == 20
    assert sorted(len(each["input"]) for each in embedder.bodies) == [1, 3, 3, 3]
    assert answer.headers["x-engine-calls"] == "1"  # one attempt
    assert answer.headers["x-engine-cost"] == "0.000020"


async def test_one_piece_that_fails_fails_all(served: Running, embedder: Embedder) -> None:
    embedder.fails_with = "bad"
    answer = await served.client.post(EMBED, json={"model": "threes", "input": ["a", "b", "c", "bad", "e"]})
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_error")
    assert "data" not in answer.json()


async def test_a_missing_vector_is_a_failure(served: Running, embedder: Embedder) -> None:
    embedder.answer = answers({"data": [{"embedding": [1.0], "index": 0}], "usage": {"prompt_tokens": 1}})
    answer = await served.client.post(EMBED, json={"model": "threes", "input": ["a", "b"]})
    assert answer.status_code == 502
    assert "1 embeddings came for 2 inputs" in answer.json()["error"]["message"]


async def test_another_format(sdk: openai.AsyncOpenAI, embedder: Embedder) -> None:
    reply = await sdk.embeddings.create(model="voyage", input=["a"], dimensions=2, user="u")
    assert reply.data[0].embedding == vector("a")
    assert embedder.bodies == [
        {"model": "e-1", "input": ["a"], "output_dimension": 2, "encoding_format": "base64"}
    ]


async def test_what_it_could_not_carry_is_told(served: Running, embedder: Embedder) -> None:
    body = {"model": "voyage", "input": "a", "user": "u", "own": 1, "encoding_format": "float"}
    answer = await served.client.post(EMBED, json=body)
    assert answer.headers["x-engine-dropped"] == "user,own"
    refused = await served.client.post(EMBED, json={"model": "voyage", "input": [[1, 2]]})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "unsupported")


@pytest.mark.parametrize(
    ("path", "body", "status", "code", "param"),
    [
        (EMBED, {"model": "embed"}, 400, "missing_required_parameter", "input"),
        (EMBED, {"model": "embed", "input": []}, 400, "invalid_value", "input"),
        (EMBED, {"model": "embed", "input": 3}, 400, "invalid_type", "input"),
        (EMBED, {"model": "embed", "input": ["a", None]}, 400, "invalid_type", "input[1]"),
        (EMBED, {"model": "embed", "input": [[1, "a"]]}, 400, "invalid_type", "input[0]"),
        (EMBED, {"model": "embed", "input": ""}, 400, "invalid_value", "input"),
        (EMBED, {"model": "embed", "input": "a", "dimensions": "2"}, 400, "invalid_type", "dimensions"),
        (EMBED, {"model": "small", "input": "x" * 60}, 413, "input_too_long", "input"),
        (EMBED, {"model": "fixed", "input": "a"}, 400, "unsupported", None),
        (EMBED, {"model": "chat", "input": "a"}, 404, "model_not_found", "model"),
        (RERANK, {"model": "rank", "query": "q"}, 400, "missing_required_parameter", "documents"),
        (RERANK, {"model": "rank", "query": "", "documents": ["a"]}, 400, "invalid_value", "query"),
        (RERANK, {"model": "rank", "query": "q", "documents": ["a", 2]}, 400, "invalid_type", "documents[1]"),
        (COUNT, {"model": "chat"}, 400, "missing_required_parameter", "text"),
    ],
)  # fmt: skip
async def test_what_clients_get_wrong(
    served: Running, embedder: Embedder, path: str, body: dict[str, Any], status: int, code: str,
    param: str | None,
) -> None:  # fmt: skip
    answer = await served.client.post(path, json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (status, code, param), answer.text
    assert embedder.bodies == []


async def test_an_embedding_model_does_not_chat(served: Running) -> None:
    assert (await served.chat("embed")).status_code == 404
    assert [model["id"] for model in (await served.client.get("/v1/models")).json()["data"]] == [
        "chat", "counted", "fixed",
    ]  # fmt: skip


async def test_errors_of_vendors_are_the_sdks(sdk: openai.AsyncOpenAI, embedder: Embedder) -> None:
    embedder.answer = answers({"error": {"message": "slow down", "type": "tokens", "code": "x"}}, 429)
    with pytest.raises(openai.RateLimitError):
        await sdk.embeddings.create(model="threes", input="a")


# --- rankings ---------------------------------------------------------------------------------------------

RANKED = {
    "id": "r-1",
    "results": [{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.1}],
    "meta": {"billed_units": {"search_units": 2}},
}


async def test_a_ranking(served: Running, embedder: Embedder) -> None:
    embedder.answer = answers(RANKED)
    body = {"model": "rank", "query": "q", "documents": ["a", "b"], "top_n": 2, "own": 1}
    answer = await served.client.post(RERANK, json=body)
    assert answer.json() == RANKED
    assert embedder.bodies == [{**body, "model": "r-1"}]
    assert answer.headers["x-engine-cost"] == "0.004000"  # two search units


async def test_documents_that_the_vendor_does_not_return(served: Running, embedder: Embedder) -> None:
    embedder.answer = answers(RANKED)
    documents = ["a", {"text": "b", "year": 1}]
    body = {"model": "rank", "query": "q", "documents": documents, "return_documents": True}
    told = (await served.client.post(RERANK, json=body)).json()
    assert told["results"] == [
        {"index": 1, "relevance_score": 0.9, "document": {"text": "b", "year": 1}},
        {"index": 0, "relevance_score": 0.1, "document": {"text": "a"}},
    ]


async def test_a_ranking_in_another_format(served: Running, embedder: Embedder) -> None:
    data = [{"relevance_score": 0.5, "index": 0, "document": "a"}]
    embedder.answer = answers({"object": "list", "data": data, "usage": {"total_tokens": 9}})
    body = {
        "model": "voyage",
        "query": "q",
        "documents": ["a", {"text": "b"}],
        "return_documents": True,
        "top_n": 1,
    }
    answer = await served.client.post(RERANK, json=body)
    assert answer.json()["results"] == [{"index": 0, "relevance_score": 0.5, "document": {"text": "a"}}]
    assert answer.json()["usage"] == {"prompt_tokens": 9, "total_tokens": 9}
    sent = {"model": "e-1", "query": "q", "documents": ["a", "b"], "top_k": 1, "return_documents": True}
    assert embedder.bodies == [sent]


async def test_a_ranking_of_documents_that_are_not_there(served: Running, embedder: Embedder) -> None:
    embedder.answer = answers({"results": [{"index": 7, "relevance_score": 1}]})
    answer = await served.client.post(RERANK, json={"model": "rank", "query": "q", "documents": ["a"]})
    assert answer.status_code == 502
    assert "document 7 of 1" in answer.json()["error"]["message"]


# --- counts -----------------------------------------------------------------------------------------------


async def test_a_vendor_counts(served: Running, embedder: Embedder) -> None:
    embedder.answer = answers({"count": 17})
    answer = await served.client.post(COUNT, json={"model": "counted", "text": "hello"})
    # The client speaks the vendor's format: its answer passes as it is.
    assert answer.json() == {"count": 17}
    assert answer.headers["x-engine-count"] == "vendor"
    assert answer.headers["x-engine-cost"] == "0.000000"
    assert embedder.bodies == [{"model": "m-1", "text": "hello"}]  # and no temperature


async def test_a_vendor_that_does_not_count(served: Running, embedder: Embedder) -> None:
    answer = await served.client.post(COUNT, json={"model": "chat", "text": "hello"})
    assert answer.headers["x-engine-count"] == "bound"
    assert answer.json() == {"count": 16 + 8 + 4 + 5, "by": "bound", "model": "m-1"}
    assert answer.headers["x-engine-deployment"] == "chatter"
    assert embedder.bodies == []


async def test_a_fixed_answer_has_an_input_too(served: Running) -> None:
    answer = await served.client.post(COUNT, json={"model": "fixed", "text": "hello"})
    assert (answer.status_code, answer.json()["by"]) == (200, "bound")


async def test_only_chats_are_counted(served: Running) -> None:
    answer = await served.client.post(COUNT, json={"model": "embed", "text": "hello"})
    assert answer.status_code == 404
    assert "Models: chat, counted, fixed" in answer.json()["error"]["message"]


async def test_chats_go_on_as_before(served: Running, embedder: Embedder) -> None:
    from vendor import chat

    embedder.answer = answers(chat())
    answer = await served.client.post("/v1/chat/completions", json={"model": "chat", "messages": HELLO})
    assert answer.status_code == 200
    assert "x-engine-count" not in answer.headers
