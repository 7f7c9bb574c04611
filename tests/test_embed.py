"""Embedding: what the README shows, over a mock transport and over a tiny local model."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from engine import Engine, PlanError
from engine.errors import NoRoute, RequestError, UpstreamError
from engine.keys.hashing import PUBLIC, digest, shown
from engine.runtime.clock import VirtualClock
from engine.runtime.record import DecisionRecord
from engine.runtime.views import Key
from engine.state.memory import MemoryState
from engine.usage.sums import Span, used

HI = [{"role": "user", "content": "hi"}]

VENDOR = """
dialect: openai_chat
auth: none
base_url: http://127.0.0.1:9
residency: on_prem
price: free
models: {large: {}, small: {}}
"""

ROUTES = """
deployments:
  first: {provider: acme, model: large}
  second: {provider: acme, model: small}
routes:
  assistant: {start: {fallback: [first, second]}}
  echo: {start: {respond: "Closed until Monday."}}
"""


def workspace(root: Path, routes: str = ROUTES, settings: str | None = None) -> Path:
    (root / "routes").mkdir()
    (root / "routes" / "r.yaml").write_text(routes)
    (root / "providers.d").mkdir()
    (root / "providers.d" / "acme.yaml").write_text(VENDOR)
    if settings is not None:
        (root / "engine.yaml").write_text(settings)
    return root


def completion(text: str, model: str) -> httpx.Response:
    message = {"role": "assistant", "content": text}
    return httpx.Response(
        200,
        json={
            "id": "c1",
            "object": "chat.completion",
            "created": 1,
            "model": model,
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12},
        },
    )


def streamed(*texts: str) -> httpx.Response:
    chunks: list[dict[str, Any]] = [
        {"choices": [{"index": 0, "delta": {"role": "assistant", "content": text}}]} for text in texts
    ]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    chunks.append({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}})
    base = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "x"}
    lines = [f"data: {json.dumps({**base, **chunk})}\n\n" for chunk in chunks]
    body = "".join([*lines, "data: [DONE]\n\n"])
    return httpx.Response(200, headers={"content-type": "text/event-stream"}, text=body)


class Vendor:
    """Answers by model; keeps the bodies that came."""

    def __init__(self, answer: Callable[[dict[str, Any]], httpx.Response]) -> None:
        self.bodies: list[dict[str, Any]] = []
        self._answer = answer
        self.transport = httpx.MockTransport(self._handle)

    def _handle(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        self.bodies.append(body)
        return self._answer(body)


def fine(body: dict[str, Any]) -> httpx.Response:
    return streamed("hel", "lo") if body.get("stream") else completion("hello", body["model"])


async def test_the_readme_example(tmp_path: Path) -> None:
    vendor = Vendor(fine)
    async with Engine.open(workspace(tmp_path), transport=vendor.transport) as engine:
        reply = await engine.chat(model="assistant", messages=HI)
        texts = []
        async for event in engine.stream(model="assistant", messages=HI):
            if event["type"] == "text":
                texts.append(event["text"])
    assert reply.text == "hello"
    assert (reply.usage["input_tokens"], reply.usage["output_tokens"]) == (9, 3)
    assert reply.cost == 0.0
    assert [attempt.deployment for attempt in reply.record.attempts] == ["first"]
    assert (reply.model, reply.finish_reason, reply.tool_calls) == ("large", "stop", [])
    assert reply.message["role"] == "assistant"
    assert texts == ["hel", "lo"]


async def test_the_next_target_answers_and_the_record_says_why(tmp_path: Path) -> None:
    def down(body: dict[str, Any]) -> httpx.Response:
        if body["model"] == "large":
            raise httpx.ConnectError("refused")
        return fine(body)

    records: list[DecisionRecord] = []
    state, clock = MemoryState(), VirtualClock()
    async with Engine.open(
        workspace(tmp_path),
        transport=Vendor(down).transport,
        state=state,
        clock=clock,
        sinks=[records.append],
    ) as engine:
        reply = await engine.chat(model="assistant", messages=HI)
    assert reply.model == "small"
    assert [a.failure for a in reply.record.attempts] == ["connect", "connect", None]
    assert records == [reply.record]
    assert state.open_leases() == 0


async def test_fields_in_openais_form_and_in_canonical_form(tmp_path: Path) -> None:
    vendor = Vendor(fine)
    canonical = [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]
    async with Engine.open(workspace(tmp_path), transport=vendor.transport) as engine:
        await engine.chat(model="assistant", messages=HI, max_tokens=7, temperature=0.5)
        await engine.chat(model="assistant", messages=canonical, max_tokens=7, temperature=0.5)
    for body in vendor.bodies:
        assert body["temperature"] == 0.5
        assert 7 in (body.get("max_tokens"), body.get("max_completion_tokens"))
        assert body["messages"][0]["role"] == "user"


async def test_errors_carry_the_record(tmp_path: Path) -> None:
    vendor = Vendor(lambda body: httpx.Response(400, json={"error": {"message": "no such field"}}))
    async with Engine.open(workspace(tmp_path), transport=vendor.transport) as engine:
        with pytest.raises(UpstreamError) as failed:
            await engine.chat(model="assistant", messages=HI)
        with pytest.raises(NoRoute, match="Models: assistant, echo"):
            await engine.chat(model="nobody", messages=HI)
        with pytest.raises(RequestError):
            await engine.chat(model="assistant", messages=[{"role": "user", "content": 7}])
        with pytest.raises(UpstreamError):
            async for _ in engine.stream(model="assistant", messages=HI):
                pass
    assert failed.value.failure == "bad_request"
    assert failed.value.record is not None
    assert [a.failure for a in failed.value.record.attempts] == ["bad_request"]


async def test_a_stream_that_breaks_raises_after_what_came(tmp_path: Path) -> None:
    def cut(body: dict[str, Any]) -> httpx.Response:
        whole = streamed("hel", "lo")
        first = whole.text.split("\n\n")[0] + "\n\n"
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, text=first)

    texts: list[str] = []
    async with Engine.open(workspace(tmp_path), transport=Vendor(cut).transport) as engine:
        stream = engine.stream(model="assistant", messages=HI)
        with pytest.raises(UpstreamError) as broken:
            texts += [event["text"] async for event in stream if event["type"] == "text"]
    assert broken.value.failure == "cut"
    assert stream.record is not None
    assert stream.record.failure == "cut"


async def test_leaving_a_stream(tmp_path: Path) -> None:
    async with Engine.open(workspace(tmp_path), transport=Vendor(fine).transport) as engine:
        async with engine.stream(model="assistant", messages=HI) as stream:
            async for event in stream:
                if event["type"] == "text":
                    break
        assert stream.record is not None
        assert stream.record.failure == "cancelled"
        assert engine.snapshot.users == 0


async def test_a_workspace_that_does_not_compile(tmp_path: Path) -> None:
    broken = workspace(tmp_path, "routes: {assistant: nobody}")
    with pytest.raises(PlanError) as failed:
        async with Engine.open(broken):
            pass
    assert any("nobody" in d.message for d in failed.value.diagnostics)


async def test_an_engine_that_is_not_open() -> None:
    with pytest.raises(RuntimeError, match="not open"):
        await Engine.open(".").chat(model="assistant", messages=HI)


async def test_the_decision_log(tmp_path: Path) -> None:
    root = workspace(tmp_path, settings="decision_log: .engine/decisions.jsonl\n")
    async with Engine.open(root) as engine:
        reply = await engine.chat(model="echo", messages=HI)
    (line,) = (root / ".engine" / "decisions.jsonl").read_text().splitlines()
    assert json.loads(line)["id"] == reply.record.id
    assert "hi" not in line.split('"path"')[0]
    assert "Closed" not in line


def test_run_sync(tmp_path: Path) -> None:
    reply = Engine.run_sync(workspace(tmp_path), model="echo", messages=HI)
    assert reply.text == "Closed until Monday."


async def test_alerts_and_usage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It tells of budgets by the transport it was given, and keeps usage where that is said."""
    monkeypatch.setenv("EMBED_WEBHOOK", "http://127.0.0.1:9/hook")
    told: list[dict[str, Any]] = []

    def handle(request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        if request.url.path == "/hook":
            told.append(body)
            return httpx.Response(204)
        return completion("Hello.", body["model"])

    routes = """
deployments: {first: {provider: acme, model: large}}
routes: {assistant: {start: first, budgets: [day]}}
budgets: {day: {limit: 4k tokens, window: day, steps: [{at: 50%, alert: ops}]}}
alerts: {ops: {webhook: env:EMBED_WEBHOOK}}
"""
    settings = "state: memory\ntimezone: UTC\nusage: {file: u.db}\n"
    root = workspace(tmp_path, routes, settings)
    async with Engine.open(root, transport=httpx.MockTransport(handle)) as engine:
        await engine.chat(model="assistant", messages=HI, max_tokens=3_000)
    assert [(each["budget"], each["step"], each["limit"]) for each in told] == [("day", 0.5, 4_000)]
    found = used([root / "u.db"], ["deployment"], Span(), None)
    assert (found.total["requests"], found.total["output_tokens"]) == (1, 3)


async def test_as_an_asgi_app(tmp_path: Path) -> None:
    async with Engine.open(workspace(tmp_path), transport=Vendor(fine).transport) as engine:
        transport = httpx.ASGITransport(app=engine.asgi())
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            answer = await client.post("/v1/chat/completions", json={"model": "assistant", "messages": HI})
    assert answer.status_code == 200
    assert answer.json()["choices"][0]["message"]["content"] == "hello"


async def test_as_an_asgi_app_it_asks_for_the_keys_of_the_plan(tmp_path: Path) -> None:
    root = workspace(tmp_path)
    hashed = shown(digest(b"engk_mine", PUBLIC))
    (root / "routes" / "keys.yaml").write_text(f"keys: {{clients: {{bot: {{hash: '{hashed}'}}}}}}\n")
    async with Engine.open(root, transport=Vendor(fine).transport) as engine:
        transport = httpx.ASGITransport(app=engine.asgi())
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            assert (await client.get("/v1/models")).status_code == 401
            assert (await client.get("/v1/models", headers={"x-api-key": "engk_mine"})).status_code == 200
        reply = await engine.chat(model="assistant", messages=HI)  # in the program itself nobody is asked
    assert reply.text == "hello"


LOCAL = """
deployments:
  tiny: {{provider: onnx, model: canned, path: "{path}"}}
  gone: {{provider: onnx, model: not-here}}
  capped: {{provider: onnx, model: canned, path: "{path}"}}
routes:
  assistant: {{start: tiny, admit: {{output: 64, json_schema: true}}}}
  moved: {{start: {{fallback: [gone, tiny]}}, admit: {{output: 64}}}}
  only-gone: {{start: gone, admit: {{output: 64}}}}
"""


@pytest.fixture(scope="module")
def local_root(canned_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return workspace(tmp_path_factory.mktemp("local"), LOCAL.format(path=canned_model))


async def test_a_local_model(local_root: Path) -> None:
    async with Engine.open(local_root) as engine:
        reply = await engine.chat(model="assistant", messages=HI)
        assert reply.text == "Hello from the tiny test model."
        assert reply.usage["output_tokens"] > 0
        assert not reply.record.attempts[0].estimated
        assert reply.record.input_exact
        assert reply.record.input_tokens == reply.usage["input_tokens"]

        events = [e async for e in engine.stream(model="assistant", messages=HI)]
        assert "".join(e["text"] for e in events if e["type"] == "text") == reply.text
        assert events[-1]["type"] == "usage"

        stream = engine.stream(model="assistant", messages=HI)
        await anext(aiter(stream))
        await stream.aclose()
        assert engine.snapshot.users == 0

        moved = await engine.chat(model="moved", messages=HI)
        assert moved.text == reply.text
        assert [a.deployment for a in moved.record.attempts] == ["tiny"]
        assert "not-here" in engine.snapshot.missing["gone"]
        with pytest.raises(Exception, match="not available here"):
            await engine.chat(model="only-gone", messages=HI)


async def test_three_at_once(local_root: Path) -> None:
    async with Engine.open(local_root) as engine:
        replies = await asyncio.gather(*(engine.chat(model="assistant", messages=HI) for _ in range(3)))
    assert {reply.text for reply in replies} == {"Hello from the tiny test model."}


ROTATION = """
deployments:
  any: {provider: keyed, model: "*", credentials: [ours, theirs]}
credentials:
  ours: {provider: keyed, secret: env:OUR_KEY}
  theirs: {provider: keyed, secret: env:THEIR_KEY, only: 'key.org == "acme"'}
routes:
  any: {match: {models: ["keyed-*"]}, start: any}
keys: {orgs: [acme]}
"""


async def test_credentials_and_names_that_pass_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A credential is shown only for the keys its `only` holds for, and they take turns."""
    root = workspace(tmp_path, ROTATION)
    keyed = VENDOR.replace("auth: none", "auth: {bearer: env:OUR_KEY}").replace(
        "models: {", "models: {x: {}, "
    )
    (root / "providers.d" / "keyed.yaml").write_text(keyed + "unknown_models: true\n")
    monkeypatch.setenv("OUR_KEY", "our-key")
    monkeypatch.setenv("THEIR_KEY", "their-key")
    shown: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        shown.append(request.headers["authorization"])
        return completion("hello", json.loads(request.content)["model"])

    async with Engine.open(root, transport=httpx.MockTransport(handle)) as engine:
        reply = await engine.chat(model="keyed-7b", messages=HI)
        await engine.chat(model="keyed-7b", messages=HI)
        for _ in range(2):
            await engine.chat(model="keyed-7b", messages=HI, key=Key(org="acme"))
    assert reply.model == "keyed-7b"
    assert shown[:2] == ["Bearer our-key"] * 2
    assert sorted(shown[2:]) == ["Bearer our-key", "Bearer their-key"]
