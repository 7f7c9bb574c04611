"""How clients come and go (C1 to C4 of the fault matrix): they leave, read slowly, half-close, pipeline.

Over real sockets, in every client's format; after each test all that it held is given back.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio
from harness import KEY, PROMPT, Gateway, gateway, provider_file, write_files

from engine.bench.faults.exchange import Seen
from engine.bench.faults.provider import Provider
from engine.bench.faults.voices import TEXT, TOKENS
from engine.server import departure

pytestmark = pytest.mark.asyncio(loop_scope="module")

_MESSAGES: Final = [{"role": "user", "content": PROMPT}]
_GEMINI: Final = "/v1beta/models/{model}:"

#: Formats in which clients ask: the path, that of a stream where it has one of its own, and the body.
FORMATS: Final[dict[str, tuple[str, str | None, dict[str, Any]]]] = {
    "openai_chat": ("/v1/chat/completions", None, {"messages": _MESSAGES}),
    "anthropic_messages": ("/v1/messages", None, {"max_tokens": 200, "messages": _MESSAGES}),
    "openai_responses": ("/v1/responses", None, {"input": PROMPT}),
    "openai_completions": ("/v1/completions", None, {"prompt": PROMPT}),
    "cohere_v2": ("/v2/chat", None, {"messages": _MESSAGES}),
    "ollama": ("/api/chat", None, {"messages": _MESSAGES}),
    "gemini": (
        _GEMINI + "generateContent",
        _GEMINI + "streamGenerateContent",
        {"contents": [{"role": "user", "parts": [{"text": PROMPT}]}]},
    ),
    "bedrock_converse": (
        "/model/{model}/converse",
        "/model/{model}/converse-stream",
        {"messages": [{"role": "user", "content": [{"text": PROMPT}]}]},
    ),
}
#: What ends a stream.
ENDS: Final = {
    "openai_chat": b"[DONE]",
    "anthropic_messages": b"message_stop",
    "openai_responses": b"response.completed",
    "openai_completions": b"[DONE]",
    "cohere_v2": b"message-end",
    "ollama": b'"done":true',
    "gemini": b"finishReason",
    "bedrock_converse": b"messageStop",
}
#: Streams in which no bytes mean nothing: once one has begun, a FIN counts as leaving.
STRICT: Final = ("ollama", "bedrock_converse")

ROUTES: Final[dict[str, Any]] = {
    "ok": {"start": "ok"},
    "slow": {"start": "slow"},
    "paced": {"start": "paced"},
    "silent": {"start": "silent"},
    "stalls": {"start": "stalls"},
    **{  # one for each test: a rate limit pauses a deployment
        f"backoff-{how}": {"start": {"use": f"limited-{how}", "retry": {"extra": 1}}}
        for how in ("close", "reset")
    },
    "queued": {"start": "queued"},
    "narrow": {"start": "silent", "concurrent": {"most": 1, "queue": 5}},
}
SCRIPTS: Final = {
    "ok": "ok",
    "slow": "slow-300ms",
    "paced": "ok-paced",
    "silent": "silent",
    "stalls": "stall-20",
    "limited-close": "429-2s",
    "limited-reset": "429-2s#again",
    "queued": "silent#queued",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def started(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    """A gateway with routes to a vendor that is silent, slow, or stops in the middle."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FAULTS_KEY", KEY)
        async with Provider() as vendor:
            deployments: dict[str, Any] = {name: {"provider": "vendor", "model": name} for name in SCRIPTS}
            deployments["queued"]["concurrent"] = {"most": 1, "queue": 5, "wait": "30s"}
            files = {
                "providers.d/vendor.yaml": provider_file(vendor.url, SCRIPTS),
                "routes/main.yaml": {"deployments": deployments, "routes": ROUTES},
            }
            folder = write_files(tmp_path_factory.mktemp("clients"), files)
            async with gateway(folder, vendor) as made:
                await made.ask("ok")
                yield made


class Caller:
    """A connection of a client's, byte for byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.got = b""

    @classmethod
    async def connect(cls, started: Gateway, *, buffer: int | None = None) -> Caller:
        """buffer: of the socket's receiving side, in bytes; None = as the system has it."""
        host, _, port = started.running.address.rpartition(":")
        sock = socket.socket()
        sock.setblocking(False)
        if buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        await asyncio.get_running_loop().sock_connect(sock, (host, int(port)))
        return cls(*await asyncio.open_connection(sock=sock, limit=2**16 if buffer is None else buffer))

    def ask(self, model: str, form: str = "openai_chat", *, stream: bool = False) -> None:
        path, streams, body = FORMATS[form]
        if streams is None:
            body = {"model": model, "stream": stream, **body}
        elif stream:
            path = streams
        data = json.dumps(body).encode()
        head = f"POST {path.format(model=model)} HTTP/1.1\r\nhost: localhost\r\n"
        head += f"content-length: {len(data)}\r\n\r\n"
        self.writer.write(head.encode() + data)

    async def until(self, text: str) -> None:
        """Read until this stands in what came."""
        async with asyncio.timeout(5):
            while text.encode() not in self.got:
                piece = await self.reader.read(65536)
                assert piece, self.got
                self.got += piece

    async def rest(self) -> bytes:
        """All that comes until the connection is closed."""
        async with asyncio.timeout(10):
            while piece := await self.reader.read(65536):
                self.got += piece
        return self.got

    def leave(self, how: str) -> None:
        """`close` sends a FIN, `reset` an RST."""
        if how == "reset":
            sock = self.writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


async def asked(started: Gateway, count: int) -> Seen:
    """The vendor's latest request, once there were so many."""
    (vendor,) = started.providers
    async with asyncio.timeout(5):
        while len(vendor.seen) < count:
            await asyncio.sleep(0.002)
    return vendor.seen[-1]


#: phase: the route, whether it is streamed, and what is waited for before the client leaves.
PHASES: Final[dict[str, tuple[str, bool, str | None]]] = {
    "before the first byte": ("silent", True, None),
    "inside a stream": ("stalls", True, TOKENS[3].strip()),
    "in a stream that goes on": ("paced", True, TOKENS[3].strip()),
    "a whole answer": ("silent", False, None),
}


@pytest.mark.alone
@pytest.mark.parametrize(
    ("form", "how"), [(form, "close") for form in FORMATS] + [(form, "reset") for form in list(FORMATS)[:3]]
)
@pytest.mark.parametrize("phase", PHASES)
async def test_c1_a_client_leaves(started: Gateway, phase: str, form: str, how: str) -> None:
    """The upstream is closed within 100 ms, wherever the request was."""
    route, stream, seen = PHASES[phase]
    loop, (vendor,) = asyncio.get_running_loop(), started.providers
    async with started.baseline(records=1):
        caller = await Caller.connect(started)
        before = len(vendor.seen)
        caller.ask(route, form, stream=stream)
        upstream = await asked(started, before + 1)
        if seen is not None:
            await caller.until(seen)
        await asyncio.sleep(0.05)
        left = loop.time()
        caller.leave(how)
        async with asyncio.timeout(5):
            while upstream.closed_at is None:
                await asyncio.sleep(0.002)
        assert upstream.closed_by == "peer"
        assert upstream.closed_at - left < 0.1
    record = started.last()
    assert (record.failure, record.status) == ("cancelled", 499)
    assert record.attempts[-1].failure == "cancelled"
    assert (record.attempts[-1].closed == "settled") is (seen is not None), "what came is paid for"


@pytest.mark.alone
@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("route", ["backoff", "queued", "narrow"])
async def test_c1_a_client_leaves_while_it_waits(started: Gateway, route: str, how: str) -> None:
    """Between two calls, or in a queue, nothing is open upstream; the request ends at once all the same."""
    service, (vendor,) = started.running.sidecar.service, started.providers
    async with started.baseline():
        before = len(vendor.seen)
        first = await Caller.connect(started)
        if route != "backoff":
            first.ask(route)
            await asked(started, before + 1)
        caller = await Caller.connect(started)
        open_before = len(service.open)
        caller.ask(f"backoff-{how}" if route == "backoff" else route)
        if route == "backoff":
            await asked(started, before + 1)
        await asyncio.sleep(0.1)
        queues = started.running.sidecar.host.executor.queues
        waiting = queues.deployments.waiting("queued") + queues.routes.waiting("narrow")
        assert waiting == (route != "backoff")
        left = asyncio.get_running_loop().time()
        caller.leave(how)
        async with asyncio.timeout(5):
            while len(service.open) > open_before:
                await asyncio.sleep(0.002)
        assert asyncio.get_running_loop().time() - left < 0.1
        assert queues.deployments.waiting("queued") + queues.routes.waiting("narrow") == 0
        assert len(vendor.seen) == before + 1, "nobody was asked for one who left"
        assert started.last().status == 499
        first.leave(how)


async def test_c1_a_client_leaves_behind_pipelined_requests(started: Gateway) -> None:
    """The one being answered ends at once, those behind it never begin."""
    (vendor,) = started.providers
    async with started.baseline(records=1):
        before = len(vendor.seen)
        caller = await Caller.connect(started)
        caller.ask("silent")
        caller.ask("ok")
        upstream = await asked(started, before + 1)
        await asyncio.sleep(0.05)
        caller.leave("close")
        async with asyncio.timeout(5):
            while upstream.closed_at is None:
                await asyncio.sleep(0.002)
    assert len(vendor.seen) == before + 1
    assert started.last().failure == "cancelled"


class Endless(asyncio.Protocol):
    """A vendor that streams as fast as it is read, for ever. `written` counts what the socket took."""

    written = 0
    stopped: asyncio.Event

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._may = asyncio.Event()
        self._may.set()
        self._task: asyncio.Task[None] | None = None
        transport.set_write_buffer_limits(high=64 * 1024)

    def data_received(self, data: bytes) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._stream())

    def pause_writing(self) -> None:
        self._may.clear()

    def resume_writing(self) -> None:
        self._may.set()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._task is not None:
            self._task.cancel()
        type(self).stopped.set()

    async def _stream(self) -> None:
        delta = {"choices": [{"index": 0, "delta": {"content": "word " * 800}, "finish_reason": None}]}
        event = b"data: " + json.dumps(delta).encode() + b"\n\n"
        piece = b"%x\r\n%s\r\n" % (len(event), event)
        self._transport.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        while True:
            self._transport.write(piece)
            type(self).written += len(piece)
            await self._may.wait()
            await asyncio.sleep(0)


@pytest_asyncio.fixture(loop_scope="module")
async def endless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Gateway]:
    """A gateway before an endless vendor."""
    monkeypatch.setenv("FAULTS_KEY", KEY)
    Endless.written, Endless.stopped = 0, asyncio.Event()
    server = await asyncio.get_running_loop().create_server(Endless, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    files = {
        "providers.d/vendor.yaml": provider_file(f"http://127.0.0.1:{port}", {"m": "m"}),
        "routes/main.yaml": {
            "deployments": {"fast": {"provider": "vendor", "model": "m"}},
            "routes": {"fast": "fast"},
        },
    }
    async with gateway(write_files(tmp_path / "ws", files)) as made:
        yield made
    server.close()


@pytest.mark.parametrize("form", ["openai_chat", "anthropic_messages"])
async def test_c2_a_slow_reader_slows_the_vendor(endless: Gateway, form: str) -> None:
    """What is read upstream is what the client takes, and a little in buffers; the rest waits there."""
    async with endless.baseline(records=1):
        caller = await Caller.connect(endless, buffer=4096)
        caller.ask("fast", form, stream=True)
        await caller.until("word")
        written = -1
        async with asyncio.timeout(10):
            while Endless.written != written:  # until nothing moves: every buffer on the way is full
                written = Endless.written
                await asyncio.sleep(0.25)
        http = endless.running.sidecar.listeners["listen"]._http
        held = [each.transport.get_write_buffer_size() for each in http._state.connections]
        assert max(held) <= 256 * 1024
        await caller.reader.readexactly(2048)
        assert Endless.written - written < 64 * 1024
        for _ in range(300):  # it goes on as it is read
            await caller.reader.read(65536)
        async with asyncio.timeout(5):
            while Endless.written == written:
                await caller.reader.read(65536)
        caller.leave("reset")
        await asyncio.wait_for(Endless.stopped.wait(), 5)


async def test_c2_a_client_that_takes_nothing_is_let_go(
    endless: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(departure, "TICK_S", 0.05)
    async with endless.baseline(records=1):
        caller = await Caller.connect(endless, buffer=4096)
        caller.ask("fast", stream=True)
        await asyncio.wait_for(Endless.stopped.wait(), 10)
        caller.leave("close")
    assert endless.last().failure == "cancelled"


@pytest.mark.parametrize(
    ("route", "stream", "form"),
    [
        (route, stream, form)
        for form in FORMATS
        for route, stream in (("slow", False), ("slow", True), ("paced", True), ("ok", False))
        if route != "paced" or form not in STRICT
    ],
)
async def test_c3_a_client_half_closes(started: Gateway, route: str, stream: bool, form: str) -> None:
    """It sends no more, but reads: its answer completes, and then the connection ends."""
    async with started.baseline(records=1):
        caller = await Caller.connect(started)
        caller.ask(route, form, stream=stream)
        if route == "paced":
            await caller.until(TOKENS[3].strip())
        caller.writer.write_eof()
        got = await caller.rest()
        caller.leave("close")
    final = got.replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"")
    assert final.startswith(b"HTTP/1.1 200 OK\r\n"), got[:300]
    assert got.count(b"HTTP/1.1 ") <= 2
    assert (started.last().failure, started.last().status) == (None, 200)
    assert (ENDS[form] if stream else TEXT[-20:].encode()) in final
    assert final.count(b"HTTP/1.1") == 1


async def test_c3_an_old_client_that_half_closes_has_left(started: Gateway) -> None:
    """HTTP/1.0 has no bytes that mean nothing, so a FIN counts as it always did."""
    async with started.baseline(records=1):
        caller = await Caller.connect(started)
        body = json.dumps({"model": "slow", "messages": [{"role": "user", "content": PROMPT}]})
        caller.writer.write(
            f"POST /v1/chat/completions HTTP/1.0\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode()
        )
        await asyncio.sleep(0.1)
        caller.writer.write_eof()
        assert await caller.rest() == b""
        caller.leave("close")
    assert started.last().failure == "cancelled"


@pytest.mark.parametrize("half", [False, True], ids=["open", "half-closed"])
async def test_c4_pipelined_requests(started: Gateway, half: bool) -> None:
    """Answered in their order, never mixed, though the second would be quicker."""
    routes = ["slow", "ok", "paced", "ok"]
    async with started.baseline(records=len(routes)):
        caller = await Caller.connect(started)
        for route in routes:
            caller.ask(route, stream=route == "paced")
        if half:
            caller.writer.write_eof()
            got = await caller.rest()
        else:
            async with asyncio.timeout(10):
                while caller.got.count(b"HTTP/1.1 200") < len(routes) or not caller.got.endswith(b"}"):
                    caller.got += await caller.reader.read(65536)
            got = caller.got
        caller.leave("close")
    heads = [row.split(b": ")[1].decode() for row in got.split(b"\r\n") if row.startswith(b"x-engine-route")]
    assert heads == routes
    assert got.count(b'"chat.completion"') == 3
    assert got.count(b"[DONE]") == 1
    with contextlib.suppress(ValueError):
        assert got.index(b"[DONE]") < got.rindex(b'"chat.completion"')
