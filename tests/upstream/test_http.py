"""HttpUpstream over real sockets: faults get their class, streams end as they should, cancels arrive."""

from __future__ import annotations

import asyncio
import dataclasses
import importlib.util
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import orjson
import pytest
import respx
from ports import free_port
from pulse import Pulse

from engine.plan.types import Call, Credential, Deployment
from engine.plan.values import Secret
from engine.plan.vendors import Auth, Facts
from engine.upstream import flow as flow_module
from engine.upstream.aiohttp_transport import AiohttpTransport
from engine.upstream.direct_transport import DirectTransport
from engine.upstream.flow import HttpFlow
from engine.upstream.http import HttpUpstream
from engine.upstream.httpx_transport import HttpxTransport
from engine.upstream.protocol import Ask, Transport, Whole
from engine.upstream.secrets import Secrets
from engine.wire.dialect import BoundDialect


def _load(name: str, path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    if name not in sys.modules:
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


scripted = _load("scripted", Path(__file__).with_name("scripted.py"))
dialects = _load("dialects", Path(__file__).parents[1] / "wire" / "dialects.py")
Scripted, chunk, head, whole = scripted.Scripted, scripted.chunk, scripted.head, scripted.whole

KEY = "sk-test-canary-0123456789"
MESSAGES = [{"role": "user", "content": "hi"}]
ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-5-mini-2025",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Paris."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11},
    "x_vendor": {"kept": True},
}


def event(delta: dict[str, Any] | None = None, finish: str | None = None, **more: Any) -> bytes:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    body = {
        "id": "c1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": choices,
        **more,
    }
    return b"data: " + orjson.dumps(body) + b"\n\n"


HELLO = [event({"role": "assistant", "content": ""}), event({"content": "Par"}), event({"content": "is"})]
FINISH = event({}, "stop")
USAGE = event(usage={"prompt_tokens": 3, "completion_tokens": 2})
DONE = b"data: [DONE]\n\n"


def deployment(url: str, **facts: Any) -> Deployment:
    return Deployment(
        name="gpt",
        provider="openai",
        model="gpt-5-mini",
        wire_model="gpt-5-mini",
        region="global",
        base_url=url + "/v1",
        residency="global",
        credentials=(Credential("c", "openai", {"secret": (Secret("env", "KEY"),)}, {}),),
        facts=Facts(**facts),
        call=Call(),
    )


def ask(url: str, *, stream: bool = False, through: bool = True, **body: Any) -> Ask:
    sent = {"model": "assistant", "messages": MESSAGES, **body}
    if stream:
        sent["stream"] = True
    request = dialects.bound().read_request("chat", sent, {})
    return Ask(
        request,
        deployment(url),
        {},
        None,
        dialect="openai_chat" if through else None,
        body=sent if through else None,
        stream=stream,
        connect_ms=20_000,
    )


MAKERS: dict[str, Callable[[], Transport]] = {
    "direct": DirectTransport,
    "aiohttp": AiohttpTransport,
    "httpx": lambda: HttpxTransport(httpx.AsyncHTTPTransport()),
}


@pytest.fixture(params=list(MAKERS))
async def upstream(request: pytest.FixtureRequest) -> AsyncIterator[HttpUpstream]:
    transport = MAKERS[request.param]()
    yield make(transport)
    await transport.close()


def make(transport: Transport, provider: str = "openai", env: dict[str, str] | None = None) -> HttpUpstream:
    secrets = Secrets({"KEY": KEY} if env is None else env)
    return HttpUpstream(dialects.shipped_provider(provider), dialects.bound(), transport, secrets)


def sends(*data: bytes, then: str = "", pause: float = 0.005) -> Any:
    async def script(c: Any) -> None:
        for piece in data:
            c.send(piece)
            await asyncio.sleep(pause)
        if then:
            getattr(c, then)()

    return script


def stream(*data: bytes, then: str = "", kind: str = "text/event-stream") -> Any:
    return sends(head(200, kind), *map(chunk, data), *([] if then else [b"0\r\n\r\n"]), then=then)


def body_of(connection: Any) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(connection.last.partition(b"\r\n\r\n")[2])
    return found


async def drained(flow: HttpFlow) -> tuple[list[dict[str, Any]], bytes]:
    events: list[dict[str, Any]] = []
    raw = b""
    async for piece in flow:
        events += piece.events  # type: ignore[arg-type]  # events are dicts
        raw += piece.raw or b""
    return events, raw


def error(status: int, body: Any, *headers: str) -> Any:
    return sends(whole(status, orjson.dumps(body), "application/json", *headers))


OAI = {"error": {"message": "no", "type": "x", "code": None}}
FAULTS: dict[str, tuple[Any, str]] = {
    "closed at once": (sends(then="end"), "cut"),
    "reset at once": (sends(then="reset"), "cut"),
    "cut in the headers": (sends(b"HTTP/1.1 200 OK\r\ncont", then="end"), "cut"),
    "cut in the body": (sends(head(200, "application/json", 99), b'{"id"', then="end"), "cut"),
    "401": (error(401, OAI), "auth"),
    "402": (error(402, OAI), "quota_exhausted"),
    "403": (error(403, OAI), "permission"),
    "404": (error(404, OAI), "not_found"),
    "429": (error(429, OAI, "retry-after: 2"), "rate_limited"),
    "429 for money": (
        error(429, {"error": {"message": "quota", "code": "insufficient_quota"}}),
        "quota_exhausted",
    ),
    "500": (error(500, OAI), "server"),
    "503": (error(503, OAI), "overloaded"),
    "529 without a body": (sends(whole(529, b"")), "overloaded"),
    "400 too long": (
        error(400, {"error": {"message": "x", "code": "context_length_exceeded"}}),
        "context_length",
    ),
    "400 filtered": (error(400, {"error": {"message": "x", "code": "content_filter"}}), "content_policy"),
    "400": (error(400, OAI), "bad_request"),
    "a redirect": (sends(whole(307, b"", "text/plain", "location: http://127.0.0.1:1/")), "server"),
    "HTML 502": (sends(whole(502, b"<html>secret page</html>", "text/html")), "server"),
    "HTML 200": (sends(whole(200, b"<html>secret page</html>", "text/html")), "server"),
    "half a JSON text": (sends(whole(200, b'{"id": "x", "choi')), "server"),
    "a 200 that is an error": (error(200, {"error": {"message": "busy", "code": 429}}), "rate_limited"),
    "a 200 of another shape": (error(200, {"ok": True}), "server"),
    "a 200 that holds no answer": (error(200, {"choices": [{"message": None}]}), "server"),
    "gzip though not asked": (
        sends(whole(200, b"\x1f\x8b", "application/json", "content-encoding: gzip")),
        "server",
    ),
}


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "flow"])
@pytest.mark.parametrize("name", list(FAULTS))
async def test_fault(upstream: HttpUpstream, name: str, streamed: bool) -> None:
    script, failure = FAULTS[name]
    async with Scripted(script) as server:
        asked = ask(server.url, stream=streamed)
        found = await (upstream.flow(asked) if streamed else upstream.whole(asked))
        assert isinstance(found, Whole)
        assert found.error is not None
        assert found.reply is None
        assert found.error["failure"] == failure
        assert found.error["message"]
        assert "secret page" not in str(found.error)
        assert KEY not in str(found.error)
        if name == "429":
            assert found.error["retry_after_ms"] == 2000
        assert len(server.connections) == 1


async def test_whole_passes_through(upstream: HttpUpstream) -> None:
    async with Scripted(error(200, ANSWER)) as server:
        asked = ask(server.url, x_new={"deep": [1, None]}, max_tokens=7, temperature=0.5)
        found = await upstream.whole(asked)
        assert found.error is None
        assert found.reply is not None
        assert found.reply["usage"] == {"input_tokens": 9, "output_tokens": 2}
        assert found.raw is not None
        assert orjson.loads(found.raw) == ANSWER
        connection = server.connections[0]
        assert body_of(connection) == {
            "model": "gpt-5-mini",
            "messages": MESSAGES,
            "x_new": {"deep": [1, None]},
            "max_tokens": 7,
            "temperature": 0.5,
        }
        assert f"authorization: bearer {KEY}".encode() in connection.last.lower()
        assert connection.last.startswith(b"POST /v1/chat/completions HTTP/1.1\r\n")
        assert asked.body == {
            "model": "assistant",
            "messages": MESSAGES,
            "x_new": {"deep": [1, None]},
            "max_tokens": 7,
            "temperature": 0.5,
        }


async def test_what_the_plan_changes(upstream: HttpUpstream) -> None:
    async with Scripted(error(200, ANSWER)) as server:
        asked = ask(server.url, max_tokens=900, top_k=5, reasoning_effort="high")
        asked.deployment = deployment(server.url, max_tokens_field="max_completion_tokens")
        asked.params = {"reasoning_effort": "low"}
        asked.max_tokens = 100
        found = await upstream.whole(asked)
        assert found.dropped == ("top_k",)
        assert body_of(server.connections[0]) == {
            "model": "gpt-5-mini",
            "messages": MESSAGES,
            "max_completion_tokens": 100,
            "reasoning_effort": "low",
        }


async def test_written_from_the_canonical_request(upstream: HttpUpstream) -> None:
    async with Scripted(error(200, ANSWER)) as server:
        found = await upstream.whole(ask(server.url, through=False, seed=7, x_new=1, max_tokens=5))
        assert found.raw is None
        assert found.dropped == ("x_new",)
        assert body_of(server.connections[0]) == {
            "model": "gpt-5-mini",
            "messages": MESSAGES,
            "seed": 7,
            "max_completion_tokens": 5,
        }


async def test_half_a_character_costs_no_answer(upstream: HttpUpstream) -> None:
    data = orjson.dumps(ANSWER).replace(b"Paris.", rb"Paris \ud83d")
    async with Scripted(sends(whole(200, data, "application/json"))) as server:
        found = await upstream.whole(ask(server.url))
        assert found.error is None
        assert found.reply["choices"][0]["message"]["content"][0]["text"] == "Paris \ufffd"  # type: ignore[index, typeddict-item]  # a chat's
        assert found.raw is not None
        assert orjson.loads(found.raw)["x_vendor"] == ANSWER["x_vendor"]


@pytest.mark.parametrize(("through", "lost"), [(False, "x_new"), (True, "top_k")])
async def test_a_lossless_call_that_would_lose_something_is_not_made(
    upstream: HttpUpstream, through: bool, lost: str
) -> None:
    async with Scripted(error(200, ANSWER)) as server:
        asked = ask(server.url, through=through, **{lost: 1})
        asked.lossless = True
        found = await upstream.whole(asked)
        assert found.error is not None
        assert found.error["failure"] == "unsupported"
        assert lost in found.error["message"]
        assert not server.connections
        kept = ask(server.url, through=through, seed=7)
        kept.lossless = True
        assert (await upstream.whole(kept)).error is None


async def test_a_stream_passes_through(upstream: HttpUpstream) -> None:
    async with Scripted(stream(*HELLO, b": ping\n\n", FINISH, USAGE, DONE)) as server:
        flow = await upstream.flow(ask(server.url, stream=True))
        assert isinstance(flow, HttpFlow)
        assert flow.raw_ok
        events, raw = await drained(flow)
        assert [e["type"] for e in events] == ["start", "text", "text", "finish", "usage"]
        assert events[-1]["usage"] == {"input_tokens": 3, "output_tokens": 2}
        # The client did not ask for usage, so it does not get the event that carries it.
        assert raw == b"".join([*HELLO, b": ping\n\n", FINISH, DONE])
        assert body_of(server.connections[0])["stream_options"] == {"include_usage": True}
        again = await upstream.flow(
            ask(server.url, stream=True, stream_options={"include_usage": True, "x": 1})
        )
        assert isinstance(again, HttpFlow)
        pieces = [piece async for piece in again]
        # The event with the usage is held until somebody says what it cost.
        assert b"".join(piece.raw or b"" for piece in pieces) == b"".join([*HELLO, b": ping\n\n", FINISH])
        closing = pieces[-1].closing
        assert closing is not None
        (usage,) = (event for event in pieces[-1].events if event["type"] == "usage")
        assert closing(usage) == USAGE + DONE
        told, done, _ = closing({**usage, "served": {"cost": 0.5}}).split(b"\n\n")
        assert orjson.loads(told[6:]) == {**orjson.loads(USAGE[6:]), "x_engine": {"cost": 0.5}}
        assert done == DONE.rstrip()
        assert len(server.connections) == 1
        assert body_of(server.connections[0])["stream_options"] == {"include_usage": True, "x": 1}


async def test_a_stream_without_sentinel_gets_one(upstream: HttpUpstream) -> None:
    async with Scripted(stream(*HELLO, FINISH)) as server:
        flow = await upstream.flow(ask(server.url, stream=True))
        assert isinstance(flow, HttpFlow)
        events, raw = await drained(flow)
        assert events[-1] == {"type": "usage", "usage": {}}
        assert raw == b"".join([*HELLO, FINISH, DONE])


BROKEN: dict[str, tuple[Any, str]] = {
    "the end without a finish": (stream(*HELLO), "cut"),
    "a sentinel without a finish": (stream(*HELLO, DONE), "cut"),
    "closed mid-stream": (stream(*HELLO, then="end"), "cut"),
    "reset mid-stream": (stream(*HELLO, then="reset"), "cut"),
    "closed inside an event": (stream(*HELLO, FINISH[:20], then="end"), "cut"),
    "an error event": (
        stream(*HELLO, b'data: {"error": {"message": "full", "type": "overloaded_error"}}\n\n'),
        "overloaded",
    ),
    "no JSON": (stream(*HELLO, b"data: {oops\n\n"), "server"),
    "a huge line": (stream(*HELLO, *[b"data: " + b"x" * 3_000_000] * 3), "server"),
}


@pytest.mark.parametrize("name", list(BROKEN))
async def test_a_stream_that_breaks(upstream: HttpUpstream, name: str) -> None:
    script, failure = BROKEN[name]
    async with Scripted(script) as server:
        flow = await upstream.flow(ask(server.url, stream=True))
        assert isinstance(flow, HttpFlow)
        events, raw = await drained(flow)
        assert "".join(e["text"] for e in events if e["type"] == "text") == "Paris"
        assert [e["type"] for e in events].count("error") == 1
        assert events[-1]["type"] == "error"
        assert events[-1]["error"]["failure"] == failure
        assert str(server.port) not in events[-1]["error"]["message"]
        assert b"error" not in raw
        assert DONE not in raw
        if name != "the end without a finish":  # that body is whole, so its connection may serve again
            await asyncio.wait_for(server.connections[0].closed.wait(), 30)


async def test_a_break_after_the_whole_answer_is_none(upstream: HttpUpstream) -> None:
    async with Scripted(stream(*HELLO, FINISH, USAGE, then="reset")) as server:
        flow = await upstream.flow(ask(server.url, stream=True))
        assert isinstance(flow, HttpFlow)
        events, raw = await drained(flow)
        assert events[-1] == {"type": "usage", "usage": {"input_tokens": 3, "output_tokens": 2}}
        assert raw.endswith(DONE)


@pytest.mark.parametrize(
    ("sent", "waits", "usage"),
    [((FINISH,), "tail", {}), ((FINISH, USAGE), "sentinel", {"input_tokens": 3, "output_tokens": 2})],
    ids=["neither usage nor sentinel", "no sentinel"],
)
async def test_what_may_follow_a_whole_answer_has_its_time(
    upstream: HttpUpstream, monkeypatch: pytest.MonkeyPatch, sent: Any, waits: str, usage: Any
) -> None:
    """The vendor says nothing more and keeps the connection open; the other of the two times is for ever."""
    monkeypatch.setattr(flow_module, "TAIL_S", 0.05 if waits == "tail" else 3600)
    monkeypatch.setattr(flow_module, "SENTINEL_S", 0.05 if waits == "sentinel" else 3600)
    script = sends(head(200, "text/event-stream"), *map(chunk, (*HELLO, *sent)))
    async with Scripted(script) as server:
        flow = await upstream.flow(ask(server.url, stream=True))
        assert isinstance(flow, HttpFlow)
        events, raw = await asyncio.wait_for(drained(flow), 30)
        assert events[-1] == {"type": "usage", "usage": usage}
        assert raw.endswith(DONE)
        await asyncio.wait_for(server.connections[0].closed.wait(), 30)


NO_STREAM: dict[str, tuple[Any, str]] = {
    "an error event first": (
        stream(b'data: {"error": {"message": "slow", "code": "rate_limit_exceeded"}}\n\n'),
        "rate_limited",
    ),
    "nothing at all": (stream(), "cut"),
    "a JSON error with 200": (
        error(200, {"error": {"message": "x", "code": "model_not_found"}}),
        "not_found",
    ),
    "a whole answer": (error(200, ANSWER), "server"),
}


@pytest.mark.parametrize("name", list(NO_STREAM))
async def test_a_stream_that_never_begins(upstream: HttpUpstream, name: str) -> None:
    script, failure = NO_STREAM[name]
    async with Scripted(script) as server:
        found = await upstream.flow(ask(server.url, stream=True))
        assert isinstance(found, Whole)
        assert found.error is not None
        assert found.error["failure"] == failure


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "flow"])
@pytest.mark.parametrize("sent", [b"", head(200, "text/event-stream")], ids=["before", "after"])
async def test_cancel_reaches_the_upstream(upstream: HttpUpstream, sent: bytes, streamed: bool) -> None:
    async with Scripted(sends(sent)) as server:
        asked = ask(server.url, stream=streamed)
        task = asyncio.ensure_future(upstream.flow(asked) if streamed else upstream.whole(asked))
        while not server.connections:
            await asyncio.sleep(0.002)
        connection = server.connections[0]
        await asyncio.wait_for(connection.asked.wait(), 30)
        await asyncio.sleep(0.03)
        async with Pulse() as pulse:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.wait_for(connection.closed.wait(), 30)
            assert pulse.seconds < 0.1


async def test_close_in_a_stream_reaches_the_upstream(upstream: HttpUpstream) -> None:
    async with Scripted(sends(head(200, "text/event-stream"), chunk(b"".join(HELLO)))) as server:
        flow = await upstream.flow(ask(server.url, stream=True))
        assert isinstance(flow, HttpFlow)
        await anext(flow)
        async with Pulse() as pulse:
            await flow.close()
            await asyncio.wait_for(server.connections[0].closed.wait(), 30)
            assert pulse.seconds < 0.1


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "flow"])
async def test_what_a_client_is_told_of_a_failed_connection(
    upstream: HttpUpstream, host: str, streamed: bool
) -> None:
    """Whose it was and how it failed; never where it stands."""
    port = free_port()
    asked = ask(f"http://{host}:{port}", stream=streamed)
    found = await (upstream.flow(asked) if streamed else upstream.whole(asked))
    assert isinstance(found, Whole)
    assert found.error is not None
    assert found.error["failure"] == "connect"
    message = found.error["message"]
    assert message.startswith(f"{asked.deployment.name}: no connection")
    assert host not in message
    assert str(port) not in message


async def test_a_missing_key_is_told_without_a_call(caplog: pytest.LogCaptureFixture) -> None:
    found = await make(HttpxTransport(httpx.MockTransport(lambda _: httpx.Response(500))), env={}).whole(
        ask("http://x")
    )
    assert found.error is not None
    assert found.error["failure"] == "auth"
    assert "KEY is not set" in found.error["message"]
    # Clients are told of no variable: whoever runs it reads it here.
    assert "KEY is not set" in caplog.text


async def test_a_rotated_key_is_used_at_once(tmp_path: Path) -> None:
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["authorization"])
        return httpx.Response(200, json=ANSWER)

    upstream = make(HttpxTransport(httpx.MockTransport(answer)))
    asked = ask("http://x")
    path = tmp_path / "key"
    credential = Credential("c", "openai", {"secret": (Secret("file", str(path)),)}, {})
    import dataclasses

    asked.deployment = dataclasses.replace(asked.deployment, credentials=(credential,))
    for key in ("one", "second"):
        path.write_text(key + "\n")
        assert (await upstream.whole(asked)).error is None
    assert seen == ["Bearer one", "Bearer second"]


async def test_respx_sees_the_calls() -> None:
    with respx.mock(base_url="https://api.openai.com", using="httpx") as router:
        route = router.post("/v1/chat/completions").mock(return_value=httpx.Response(200, json=ANSWER))
        upstream = make(HttpxTransport(httpx.MockTransport(router.async_handler)))
        found = await upstream.whole(ask("https://api.openai.com"))
        assert found.error is None
        assert route.called


async def test_preview_shows_no_secret() -> None:
    shown = make(AiohttpTransport()).preview(ask("http://127.0.0.1:1"))
    assert shown["headers"]["authorization"] == "***"
    assert shown["body"]["model"] == "gpt-5-mini"
    assert KEY not in str(shown)


@pytest.mark.parametrize("model", ["gemini-3.5-flash", "a/../b"])
async def test_a_model_of_the_clients_stands_in_the_path(model: str) -> None:
    """A deployment for any model, in a format with the model in its path: each call has its own address."""
    dialect = BoundDialect(dialects.shipped_dialect("gemini"))
    provider = dataclasses.replace(dialects.shipped_provider("gemini"), auth=Auth("none", {}))
    asked = ask("http://127.0.0.1:9", through=False)
    asked.request["model"] = model
    asked.deployment = dataclasses.replace(deployment("http://127.0.0.1:9"), wire_model="*")
    unused = HttpxTransport(httpx.AsyncHTTPTransport())
    shown = HttpUpstream(provider, dialect, unused, Secrets({})).preview(asked)
    assert shown["url"].endswith(f"/models/{quote(model, safe='')}:generateContent")
