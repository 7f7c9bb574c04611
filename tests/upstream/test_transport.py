"""Both transports against a server that misbehaves: faults are told apart, cancels close the socket."""

from __future__ import annotations

import asyncio
import importlib.util
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest
from ports import free_port
from pulse import Pulse

from engine.upstream.aiohttp_transport import AiohttpTransport
from engine.upstream.direct_transport import DirectTransport
from engine.upstream.httpx_transport import HttpxTransport
from engine.upstream.protocol import HttpCall, HttpReply, Transport, TransportError

_spec = importlib.util.spec_from_file_location("scripted", Path(__file__).with_name("scripted.py"))
assert _spec is not None
assert _spec.loader is not None
scripted = sys.modules.setdefault("scripted", importlib.util.module_from_spec(_spec))
_spec.loader.exec_module(scripted)
Scripted, chunk, head, whole = scripted.Scripted, scripted.chunk, scripted.head, scripted.whole

MAKERS: dict[str, Callable[[], Transport]] = {
    "direct": DirectTransport,
    "aiohttp": AiohttpTransport,
    "httpx": lambda: HttpxTransport(httpx.AsyncHTTPTransport()),
}


@pytest.fixture(params=list(MAKERS))
async def transport(request: pytest.FixtureRequest) -> AsyncIterator[Transport]:
    made = MAKERS[request.param]()
    yield made
    await made.close()


def call(url: str, connect_ms: int | None = 20_000) -> HttpCall:
    headers = (("authorization", "Bearer k-secret"), ("content-type", "application/json"))
    return HttpCall("POST", url + "/v1/x", headers, b'{"a":1}', connect_ms)


async def read_all(reply: HttpReply) -> bytes:
    try:
        return await reply.read(1 << 20)
    finally:
        await reply.close()


async def reset(c: object) -> None:
    c.reset()  # type: ignore[attr-defined]  # scripted.Connection, loaded by path


async def end(c: object) -> None:
    c.end()  # type: ignore[attr-defined]  # scripted.Connection, loaded by path


def sends(*data: bytes, then: str = "") -> object:
    async def script(c: object) -> None:
        for piece in data:
            c.send(piece)  # type: ignore[attr-defined]  # scripted.Connection, loaded by path
            await asyncio.sleep(0.01)
        if then:
            getattr(c, then)()

    return script


FAULTS = {
    "reset before the headers": (reset, "cut"),
    "closed before the headers": (end, "cut"),
    "half the headers": (sends(b"HTTP/1.1 200 OK\r\ncontent-", then="end"), "cut"),
    "cut in the body, known length": (sends(head(200, "application/json", 100), b'{"a"', then="end"), "cut"),
    "cut in the body, chunked": (sends(head(), chunk(b'{"a"'), then="end"), "cut"),
    "reset in the body": (sends(head(), chunk(b'{"a"'), then="reset"), "cut"),
    "bad chunk": (sends(head(), b"zz\r\nxx\r\n"), ("cut", "server")),
    "not HTTP": (sends(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"), "server"),
    "a huge header line": (sends(b"HTTP/1.1 200 OK\r\nx: " + b"y" * 200_000 + b"\r\n\r\n"), "server"),
    "too long by its length": (sends(head(200, "application/json", 1 << 30)), "server"),
    "too long in chunks": (sends(head(), *[chunk(b"x" * 400_000)] * 4), "server"),
    "gzip though not asked": (
        sends(head(200, "application/json", 9, "content-encoding: gzip"), b"\x1f\x8b"),
        "server",
    ),
}


@pytest.mark.parametrize("name", list(FAULTS))
async def test_fault(transport: Transport, name: str) -> None:
    script, failure = FAULTS[name]
    if isinstance(transport, HttpxTransport) and name == "too long by its length":
        pytest.skip("httpx's transport reads until the cap")
    async with Scripted(script) as server:
        with pytest.raises(TransportError) as caught:
            await read_all(await transport.send(call(server.url)))
        assert caught.value.failure in failure, caught.value
        assert "k-secret" not in str(caught.value)
        assert len(server.connections) == 1
        await asyncio.wait_for(server.connections[0].closed.wait(), 30)


async def test_refused(transport: Transport) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(TransportError) as caught:
        await transport.send(call(url))
    assert caught.value.failure == "connect"


async def test_unknown_host(transport: Transport) -> None:
    with pytest.raises(TransportError) as caught:
        await transport.send(call("http://no-such-host.invalid"))
    assert caught.value.failure == "connect"


async def test_no_connection_in_time(transport: Transport) -> None:
    # A full backlog: the kernel drops further SYNs, so connecting hangs.
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        fillers = []
        for _ in range(3):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(server.getsockname())
            fillers.append(filler)
        began = time.monotonic()
        async with Pulse() as pulse:
            with pytest.raises(TransportError) as caught:
                await transport.send(call(f"http://127.0.0.1:{server.getsockname()[1]}", connect_ms=150))
            assert pulse.seconds < 0.5
        assert caught.value.failure == "timeout"
        assert time.monotonic() - began > 0.1
        for filler in fillers:
            filler.close()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_an_answer(transport: Transport, status: int) -> None:
    async with Scripted(sends()) as elsewhere:
        answer = whole(status, b"", "text/plain", f"location: {elsewhere.url}/steal")
        async with Scripted(sends(answer)) as server:
            reply = await transport.send(call(server.url))
            assert (reply.status, await read_all(reply)) == (status, b"")
        assert elsewhere.connections == []


async def test_the_bytes_on_the_wire(transport: Transport) -> None:
    async with Scripted(sends(whole(200, b"{}", "application/json", "X-Thing: 7"))) as server:
        reply = await transport.send(call(server.url))
        assert reply.status == 200
        assert reply.headers.get("x-thing") == "7"
        assert await read_all(reply) == b"{}"
        sent = server.connections[0].last.lower()
        rows = sent.partition(b"\r\n\r\n")[0].split(b"\r\n")
        assert rows[0] == b"post /v1/x http/1.1"
        names = [row.partition(b":")[0] for row in rows[1:]]
        assert sorted(names) == sorted(set(names))
        assert set(names) <= {
            b"host",
            b"authorization",
            b"content-type",
            b"content-length",
            b"accept-encoding",
        }
        assert b"accept-encoding: identity" in rows
        assert sent.endswith(b'\r\n\r\n{"a":1}')


async def test_connections_are_used_again(transport: Transport) -> None:
    async with Scripted(sends(whole(200, b"{}"))) as server:
        for _ in range(5):
            assert await read_all(await transport.send(call(server.url))) == b"{}"
        assert len(server.connections) == 1


async def test_a_connection_closed_while_idle_is_replaced(transport: Transport) -> None:
    async with Scripted(sends(whole(200, b"{}"))) as server:
        for _ in range(5):
            assert await read_all(await transport.send(call(server.url))) == b"{}"
            server.connections[-1].end()
            await asyncio.wait_for(server.connections[-1].closed.wait(), 30)
            await asyncio.sleep(0.01)
        assert [c.requests for c in server.connections] == [1] * 5


async def test_cancel_before_the_headers(transport: Transport) -> None:
    async with Scripted(sends()) as server:
        task = asyncio.ensure_future(transport.send(call(server.url)))
        while not server.connections:
            await asyncio.sleep(0.005)
        await asyncio.wait_for(server.connections[0].asked.wait(), 30)
        async with Pulse() as pulse:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.wait_for(server.connections[0].closed.wait(), 30)
            assert pulse.seconds < 0.1


@pytest.mark.parametrize("how", ["close", "cancel"])
async def test_cancel_after_the_headers(transport: Transport, how: str) -> None:
    async with Scripted(sends(head(), chunk(b"one"))) as server:
        reply = await transport.send(call(server.url))
        pieces = reply.chunks()
        assert await anext(pieces) == b"one"
        async with Pulse() as pulse:
            if how == "cancel":
                waiting = asyncio.ensure_future(anext(pieces))
                await asyncio.sleep(0.02)
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
            await reply.close()
            await asyncio.wait_for(server.connections[0].closed.wait(), 30)
            assert pulse.seconds < 0.12
        if hasattr(pieces, "aclose"):
            await pieces.aclose()


async def test_a_slow_reader_stops_the_writer(transport: Transport) -> None:
    """What an upstream can push ahead of a reader that does nothing is bounded by buffers, not by memory."""
    written = 0

    async def flood(c: object) -> None:
        nonlocal written
        c.send(head())  # type: ignore[attr-defined]  # scripted.Connection, loaded by path
        piece = chunk(b"x" * 65_536)
        while written < 64 << 20:
            if c.transport.get_write_buffer_size() < 1 << 20:  # type: ignore[attr-defined]  # as above
                c.send(piece)  # type: ignore[attr-defined]  # as above
                written += 65_536
            await asyncio.sleep(0)

    async with Scripted(flood) as server:
        reply = await transport.send(call(server.url))
        await asyncio.sleep(0.3)
        assert written < 24 << 20  # the kernel's socket buffers on loopback hold some megabytes
        await reply.close()


async def test_a_thousand_headers(transport: Transport) -> None:
    rows = b"".join(b"set-cookie: a%d=b\r\n" % n for n in range(1000))
    async with Scripted(sends(b"HTTP/1.1 200 OK\r\n" + rows + b"content-length: 2\r\n\r\n{}")) as server:
        if isinstance(transport, HttpxTransport):
            pytest.skip("httpx's own limits apply")
        with pytest.raises(TransportError) as caught:
            await transport.send(call(server.url))
        assert caught.value.failure == "server"


async def test_a_large_body_arrives_whole(transport: Transport) -> None:
    async with Scripted(sends(whole(200, b"{}"))) as server:
        body = bytes(range(256)) * (3 << 12)
        reply = await transport.send(HttpCall("POST", server.url, (("content-type", "a/b"),), body))
        assert await read_all(reply) == b"{}"
        head_sent, _, sent = server.connections[0].last.partition(b"\r\n\r\n")
        assert sent == body
        assert b"content-type: a/b" in head_sent.lower()
        assert b"content-disposition" not in head_sent.lower()


async def test_tls_to_a_plain_server(transport: Transport) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(plain, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(TransportError) as caught:
            await transport.send(call(f"https://127.0.0.1:{port}"))
        assert caught.value.failure == "connect"


async def test_an_early_answer_stops_the_upload(transport: Transport) -> None:
    """The server refuses after the headers and does not read on: its answer is told, and nothing hangs."""
    if isinstance(transport, HttpxTransport):
        pytest.skip("httpx sends the whole body before it reads")

    class Early(scripted.Connection):  # type: ignore[misc, name-defined]  # loaded by path
        def data_received(self, data: bytes) -> None:
            if not self.received:
                self.received += data
                self.transport.pause_reading()
                self.send(whole(413, b'{"error": 1}', "application/json", "connection: close"))

    server = Scripted(sends())
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(lambda: Early(server), "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/v1"
    big = HttpCall("POST", url, (("content-type", "application/json"),), b"x" * (32 << 20), 20_000)
    async with asyncio.timeout(30):
        reply = await transport.send(big)
        assert (reply.status, await read_all(reply)) == (413, b'{"error": 1}')
    for connection in server.connections:
        connection.transport.abort()
    listener.close()
    await listener.wait_closed()
