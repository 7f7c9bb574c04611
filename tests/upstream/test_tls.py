"""TLS for real: a certificate authority of the test's own, a server on loopback, and what must be refused."""

from __future__ import annotations

import asyncio
import datetime
import importlib.util
import socket
import ssl
import struct
import sys
from collections.abc import Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from engine.upstream.aiohttp_transport import AiohttpTransport
from engine.upstream.direct_transport import DirectTransport
from engine.upstream.protocol import HttpCall, TransportError

_spec = importlib.util.spec_from_file_location("scripted", Path(__file__).with_name("scripted.py"))
assert _spec is not None
assert _spec.loader is not None
if "scripted" not in sys.modules:
    sys.modules["scripted"] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules["scripted"])
scripted: Any = sys.modules["scripted"]
Scripted, chunk, head, whole = scripted.Scripted, scripted.chunk, scripted.head, scripted.whole

AUTHORITY = trustme.CA()
STRANGER = trustme.CA()
LONG_AGO = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
CERTIFICATES = {
    "right": AUTHORITY.issue_cert("localhost", "127.0.0.1"),
    "wrong name": AUTHORITY.issue_cert("internal.example"),
    "expired": AUTHORITY.issue_cert("localhost", "127.0.0.1", not_after=LONG_AGO),
    "untrusted": STRANGER.issue_cert("localhost", "127.0.0.1"),
}

Run = Callable[[Coroutine[Any, Any, None]], None]


def serving(name: str) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    CERTIFICATES[name].configure_cert(context)
    return context


def trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    return context


def call(url: str, body: bytes = b"{}", connect_ms: int | None = 20_000) -> HttpCall:
    return HttpCall("POST", url + "/v1/x", (), body, connect_ms)


def sends(*data: bytes, then: str = "") -> Any:
    async def script(c: Any) -> None:
        for piece in data:
            c.send(piece)
            await asyncio.sleep(0.003)
        if then:
            getattr(c, then)()

    return script


@asynccontextmanager
async def talking(script: Any, certificate: str = "right", transport: Any = None) -> Any:
    """A transport that trusts the test's authority, and a server with one of its certificates."""
    transport = DirectTransport(trusting()) if transport is None else transport
    async with Scripted(script, serving(certificate)) as server:
        try:
            yield transport, server
        finally:
            await transport.close()
            await asyncio.sleep(0.01)


async def answer(transport: Any, asked: HttpCall) -> bytes:
    reply = await transport.send(asked)
    try:
        data: bytes = await reply.read(8 << 20)
        return data
    finally:
        await reply.close()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_whole_answers_on_one_connection(run: Run, host: str) -> None:
    async def test() -> None:
        async with talking(sends(whole(200, b"ok"))) as (transport, server):
            url = server.url.replace("127.0.0.1", host)
            for _ in range(5):
                assert await answer(transport, call(url)) == b"ok"
            assert [c.requests for c in server.connections] == [5]

    run(test())


def test_a_stream_and_large_bodies(run: Run) -> None:
    pieces = [bytes([65 + n]) * 100_000 for n in range(20)]

    async def test() -> None:
        async with talking(sends(head(), *map(chunk, pieces), b"0\r\n\r\n")) as (transport, server):
            assert await answer(transport, call(server.url, b"x" * 3_000_000)) == b"".join(pieces)
            got = b""
            async for data in (await transport.send(call(server.url))).chunks():
                got += data
                await asyncio.sleep(0.001)  # slower than the server: reading is paused again and again
            assert got == b"".join(pieces)
            assert [c.requests for c in server.connections] == [2]

    run(test())


@pytest.mark.parametrize("then", ["end", "reset"])
def test_an_idle_connection_that_went_is_replaced(run: Run, then: str) -> None:
    async def test() -> None:
        async with talking(sends(whole(200, b"ok"))) as (transport, server):
            for _ in range(3):
                assert await answer(transport, call(server.url)) == b"ok"
                getattr(server.connections[-1], then)()
                await asyncio.wait_for(server.connections[-1].closed.wait(), 30)
            assert [c.requests for c in server.connections] == [1] * 3

    run(test())


@pytest.mark.parametrize("then", ["end", "reset"])
def test_a_cut_in_the_body(run: Run, then: str) -> None:
    async def test() -> None:
        async with talking(sends(head(), chunk(b"half"), then=then)) as (transport, server):
            with pytest.raises(TransportError) as caught:
                await answer(transport, call(server.url))
            assert caught.value.failure == "cut"

    run(test())


@pytest.mark.parametrize("moment", ["head", "body", "dropped"])
def test_a_cancel_closes_the_socket(run: Run, moment: str) -> None:
    async def test() -> None:
        script = sends() if moment == "head" else sends(head(), chunk(b"one"))
        async with talking(script) as (transport, server):
            task = asyncio.ensure_future(transport.send(call(server.url)))
            if moment == "head":
                while not server.connections:
                    await asyncio.sleep(0.001)
                await asyncio.wait_for(server.connections[0].asked.wait(), 30)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            else:
                reply = await task
                assert await anext(reply.chunks()) == b"one"
                if moment == "body":
                    waiting = asyncio.ensure_future(reply.read(100))
                    await asyncio.sleep(0.01)
                    waiting.cancel()
                    with pytest.raises(asyncio.CancelledError):
                        await waiting
                    await reply.close()
                    del waiting
                del reply, task
            await asyncio.wait_for(server.connections[0].closed.wait(), 30)

    run(test())


REFUSED = {
    "wrong name": "another address",
    "expired": "expired",
    "untrusted": "not trusted",
}


@pytest.mark.parametrize("maker", [DirectTransport, AiohttpTransport])
@pytest.mark.parametrize("fault", list(REFUSED))
def test_a_certificate_that_is_not_right(run: Run, fault: str, maker: Any) -> None:
    async def test() -> None:
        async with talking(sends(whole(200, b"ok")), fault, maker(trusting())) as (transport, server):
            with pytest.raises(TransportError) as caught:
                await transport.send(call(server.url))
            assert caught.value.failure == "connect"
            told = str(caught.value)
            assert REFUSED[fault] in told
            for secret in ("127.0.0.1", str(server.port), "localhost", "internal.example", "SSL:", "_ssl.c"):
                assert secret not in told
            assert all(c.requests == 0 for c in server.connections)

    run(test())


async def rude(reset: bool, port: asyncio.Future[int]) -> None:
    """Accepts, reads the client's hello, and closes or resets."""
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        port.set_result(listener.getsockname()[1])
        accepted, _ = await loop.sock_accept(listener)
        with accepted:
            await loop.sock_recv(accepted, 100_000)
            if reset:
                accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.parametrize("maker", [DirectTransport, AiohttpTransport])
@pytest.mark.parametrize("reset", [False, True])
def test_a_handshake_that_breaks_off(run: Run, reset: bool, maker: Any) -> None:
    async def test() -> None:
        port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        server = asyncio.ensure_future(rude(reset, port))
        transport = maker(trusting())
        with pytest.raises(TransportError) as caught:
            await transport.send(call(f"https://127.0.0.1:{await port}"))
        assert caught.value.failure == "connect"
        assert "127.0.0.1" not in str(caught.value)
        assert str(await port) not in str(caught.value)
        await server
        await transport.close()
        await asyncio.sleep(0.01)

    run(test())


@pytest.mark.parametrize("how", ["cancel", "time out"])
def test_a_handshake_that_never_ends(run: Run, how: str) -> None:
    async def test() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:  # accepts, and says nothing
            transport = DirectTransport(trusting())
            url = f"https://127.0.0.1:{listener.getsockname()[1]}"
            limit_ms = 50 if how == "time out" else 20_000
            task = asyncio.ensure_future(transport.send(call(url, connect_ms=limit_ms)))
            if how == "cancel":
                listener.setblocking(False)
                accepted, _ = await asyncio.get_running_loop().sock_accept(listener)
                with accepted:
                    await asyncio.get_running_loop().sock_recv(accepted, 10)  # its hello
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            else:
                with pytest.raises(TransportError, match="in time") as caught:
                    await task
                assert caught.value.failure == "timeout"
            await transport.close()

    run(test())


def test_cancels_at_every_moment_of_connecting(run: Run) -> None:
    """Whatever a cancel hits (dialling, handshake, call): no socket is left, and the next call works."""

    async def test() -> None:
        async with talking(sends(whole(200, b"ok"))) as (transport, server):
            for step in range(60):
                task = asyncio.ensure_future(answer(transport, call(server.url)))
                for _ in range(step % 30):
                    await asyncio.sleep(0 if step < 30 else 0.0005)
                task.cancel()
                await asyncio.wait([task])
                if step % 2:
                    for connection in server.connections:
                        connection.end()
            assert await answer(transport, call(server.url)) == b"ok"

    run(test())


def test_the_systems_trust_and_ssl_cert_file(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a context the system's roots hold, or those of SSL_CERT_FILE."""
    pem = tmp_path / "roots.pem"
    AUTHORITY.cert_pem.write_to_path(str(pem))
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)

    async def test() -> None:
        async with talking(sends(whole(200, b"ok")), transport=DirectTransport()) as (transport, server):
            with pytest.raises(TransportError, match="not trusted on this machine"):
                await transport.send(call(server.url))
            monkeypatch.setenv("SSL_CERT_FILE", str(pem))
            named = DirectTransport()
            assert await answer(named, call(server.url)) == b"ok"
            await named.close()

    run(test())
