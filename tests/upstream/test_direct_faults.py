"""The direct transport against hostile framing, and what it leaves behind: whatever happens, no socket."""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import socket
import sys
from collections.abc import Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from ports import free_port

from engine.upstream import pool
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

Run = Callable[[Coroutine[Any, Any, None]], None]


def call(url: str, body: bytes = b"{}", method: str = "POST") -> HttpCall:
    return HttpCall(method, url + "/v1/x", (), body, 20_000)


def sends(*data: bytes, then: str = "") -> Any:
    async def script(c: Any) -> None:
        for piece in data:
            c.send(piece)
            await asyncio.sleep(0.001)
        if then:
            getattr(c, then)()

    return script


def in_turn(*scripts: Any) -> Any:
    """The first request of a server's life is answered by the first script, and so on."""
    left = iter(scripts)

    async def script(c: Any) -> None:
        await next(left)(c)

    return script


@asynccontextmanager
async def talking(script: Any) -> Any:
    transport = DirectTransport()
    async with Scripted(script) as server:
        try:
            yield transport, server
        finally:
            await transport.close()
            await asyncio.sleep(0.005)


async def answer(transport: DirectTransport, asked: HttpCall) -> bytes:
    reply = await transport.send(asked)
    try:
        return await reply.read(1 << 20)
    finally:
        await reply.close()


async def opens(transport: DirectTransport, count: int) -> None:
    """Wait until it has so many sockets: an end is known a turn of the loop, or two, after its cause."""
    while transport.open != count:
        await asyncio.sleep(0.001)


def raw(*rows: str, body: bytes = b"") -> bytes:
    return "\r\n".join([*rows, "", ""]).encode() + body


OK = "HTTP/1.1 200 OK"
BROKEN = {
    "an endless trailer": (sends(head(), chunk(b"x"), b"0\r\nx: ", *[b"y" * 9000] * 30), "server"),
    "endless trailers": (sends(head(), chunk(b"x"), b"0\r\n", *[b"x: y\r\n" * 2000] * 30), "server"),
    "an endless chunk extension": (sends(head(), b"5;", *[b"a" * 9000] * 30), "server"),
    "interim answers without end": (sends(*[b"HTTP/1.1 100 Continue\r\n\r\n" * 500] * 30), "server"),
    "the protocol changes": (
        sends(raw("HTTP/1.1 101 Switching Protocols", "connection: upgrade", "upgrade: websocket")),
        "server",
    ),
    "the protocol changes to nothing": (sends(raw("HTTP/1.1 101 Switching Protocols")), "server"),
    "a length and chunks": (
        sends(raw(OK, "content-length: 2", "transfer-encoding: chunked", body=chunk(b"ok") + b"0\r\n\r\n")),
        "server",
    ),
    "two lengths": (sends(raw(OK, "content-length: 2", "content-length: 3", body=b"ok!")), "server"),
    "a negative length": (sends(raw(OK, "content-length: -2", body=b"ok")), "server"),
    "a length beyond all numbers": (sends(raw(OK, "content-length: " + "9" * 30)), "server"),
    "a length that is too long": (sends(raw(OK, "content-length: 3", body=b"ok"), then="end"), "cut"),
    "no last chunk": (sends(head() + chunk(b"ok"), then="end"), "cut"),
    "half a chunk": (sends(head() + b"5\r\nab", then="end"), "cut"),
    "no end of the trailers": (sends(head() + chunk(b"ok") + b"0\r\nx: y\r\n", then="end"), "cut"),
    "an interim answer only": (sends(b"HTTP/1.1 100 Continue\r\n\r\n", then="end"), "cut"),
    "garbage": (sends(bytes(range(256))), "server"),
    "an empty line for ever": (sends(*[b"\r\n" * 5000] * 30), "server"),
    "a coding that is not known": (sends(raw(OK, "transfer-encoding: gzip", body=b"x"), then="end"), "cut"),
}


@pytest.mark.parametrize("name", list(BROKEN))
def test_broken_answers(run: Run, name: str) -> None:
    script, failure = BROKEN[name]

    async def test() -> None:
        async with talking(script) as (transport, server):
            with pytest.raises(TransportError) as caught:
                await answer(transport, call(server.url))
            assert caught.value.failure == failure, caught.value
            await asyncio.wait_for(server.connections[0].closed.wait(), 30)
            assert transport.open == 0

    run(test())


WHOLE = {
    "no content": (raw("HTTP/1.1 204 No Content"), b"", True),
    "no content, with a length": (raw("HTTP/1.1 204 No Content", "content-length: 0"), b"", True),
    "not modified, with the length of what it has not": (
        raw("HTTP/1.1 304 Not Modified", f"content-length: {1 << 40}"),
        b"",
        True,
    ),
    "HTTP/1.0": (raw("HTTP/1.0 200 OK", "content-length: 2", body=b"ok"), b"ok", False),
    "HTTP/1.0, kept": (
        raw("HTTP/1.0 200 OK", "connection: keep-alive", "content-length: 2", body=b"ok"),
        b"ok",
        True,
    ),
    "an empty body": (raw(OK, "content-length: 0"), b"", True),
    "an empty chunked body": (head() + b"0\r\n\r\n", b"", True),
    "lines between answers": (whole(200, b"ok") + b"\r\n\r\n", b"ok", True),
}


@pytest.mark.parametrize("name", list(WHOLE))
def test_whole_answers(run: Run, name: str) -> None:
    data, want, kept = WHOLE[name]

    async def test() -> None:
        async with talking(sends(data)) as (transport, server):
            for _ in range(2):
                assert await answer(transport, call(server.url)) == want
            assert [c.requests for c in server.connections] == ([2] if kept else [1, 1])

    run(test())


def test_a_head_has_no_body(run: Run) -> None:
    async def test() -> None:
        async with talking(sends(raw(OK, "content-length: 9", "x: y"))) as (transport, server):
            for _ in range(2):
                reply = await transport.send(call(server.url, b"", "HEAD"))
                assert (reply.status, reply.headers["x"], await reply.read(5)) == (200, "y", b"")
            assert [c.requests for c in server.connections] == [1, 1]

    run(test())


STRAY = raw(OK, "content-length: 8", body=b"stray")


@pytest.mark.parametrize("size", range(1, len(STRAY) + 1, 5))
def test_half_a_stray_answer_is_never_continued(run: Run, size: int) -> None:
    """It came in one piece with the answer before; its rest must not be the beginning of the next one."""

    async def test() -> None:
        first = sends(whole(200, b"one") + STRAY[:size])
        async with talking(in_turn(first, sends(STRAY[size:] + b"..." + whole(200, b"no")))) as (
            transport,
            server,
        ):
            assert await answer(transport, call(server.url)) == b"one"
            server.script = sends(whole(200, b"two"))
            assert await answer(transport, call(server.url)) == b"two"
            assert [c.requests for c in server.connections] == [1, 1]

    run(test())


async def test_a_trailer_is_no_header() -> None:
    data = head() + chunk(b"ok") + b"0\r\nretry-after: 9\r\ncontent-type: x\r\n\r\n"
    async with talking(sends(data)) as (transport, server):
        reply = await transport.send(call(server.url))
        assert await reply.read(9) == b"ok"
        assert dict(reply.headers) == {"content-type": "application/json", "transfer-encoding": "chunked"}


LARGE = bytes(range(256)) * 4000


@pytest.mark.parametrize("framing", ["length", "chunks", "end"])
@pytest.mark.parametrize("how", ["read", "chunks"])
def test_a_body_that_was_left_lying(run: Run, framing: str, how: str) -> None:
    """More than is buffered comes while nobody reads: the socket is left unread for so long."""
    pieces = [LARGE[at : at + 50_000] for at in range(0, len(LARGE), 50_000)]
    script = {
        "length": sends(head(200, "a/b", len(LARGE)), *pieces),
        "chunks": sends(head(), *map(chunk, pieces), b"0\r\n\r\n"),
        "end": sends(raw(OK), *pieces, then="end"),
    }[framing]

    async def test() -> None:
        async with talking(script) as (transport, server):
            for _ in range(2):
                reply = await transport.send(call(server.url))
                await asyncio.sleep(0.05)
                if how == "read":
                    assert await reply.read(1 << 20) == LARGE
                else:
                    got = b""
                    async for data in reply.chunks():
                        got += data
                        await asyncio.sleep(0.002)
                    assert got == LARGE
            assert [c.requests for c in server.connections] == ([1, 1] if framing == "end" else [2])

    run(test())


@pytest.mark.parametrize("moment", ["before a chunk", "after one", "with a full buffer"])
def test_a_reply_that_is_dropped(run: Run, moment: str) -> None:
    """The consumer raised, or forgot: the vendor must not go on writing."""

    async def test() -> None:
        pieces = [chunk(b"x" * 60_000)] * (10 if moment == "with a full buffer" else 1)
        async with talking(sends(head(), *pieces)) as (transport, server):
            reply = await transport.send(call(server.url))
            if moment == "after one":
                await anext(reply.chunks())
            await asyncio.sleep(0.03)
            assert not server.connections[0].closed.is_set()
            del reply
            gc.collect()
            await asyncio.wait_for(server.connections[0].closed.wait(), 30)
            assert transport.open == 0

    run(test())


def test_a_reply_read_to_its_end_and_dropped_keeps_the_connection(run: Run) -> None:
    async def test() -> None:
        async with talking(sends(whole(200, b"ok"))) as (transport, server):
            for _ in range(3):
                assert await (await transport.send(call(server.url))).read(9) == b"ok"
            assert [c.requests for c in server.connections] == [3]

    run(test())


def test_closing_with_calls_under_way(run: Run) -> None:
    """In all states: dialling, waiting for the head, for the body, idle. Nothing hangs, all is closed."""

    async def test() -> None:
        async with talking(sends()) as (transport, server):
            waiting = [asyncio.ensure_future(answer(transport, call(server.url))) for _ in range(5)]
            while len(server.connections) < 5:
                await asyncio.sleep(0.001)
            server.script = sends(head(), chunk(b"x"))
            reply = await transport.send(call(server.url))
            server.script = sends(whole(200, b"ok"))
            assert await answer(transport, call(server.url)) == b"ok"
            dialling = [asyncio.ensure_future(answer(transport, call(server.url))) for _ in range(5)]
            await asyncio.sleep(0)
            await transport.close()
            ends = await asyncio.gather(*waiting, *dialling, return_exceptions=True)
            assert {type(end) for end in ends} == {TransportError}
            with pytest.raises(TransportError, match="given up"):
                await reply.read(9)
            with pytest.raises(TransportError, match="closed") as caught:
                await transport.send(call(server.url))
            assert caught.value.failure == "connect"
            await opens(transport, 0)
            for connection in server.connections:
                await asyncio.wait_for(connection.closed.wait(), 30)

    run(test())


def test_a_half_close_with_the_request_unsent(run: Run) -> None:
    """The server ends its side and reads nothing more: what is unsent does not keep the socket."""

    class Deaf(scripted.Connection):  # type: ignore[misc]  # loaded by path
        def data_received(self, data: bytes) -> None:
            self.transport.pause_reading()
            self.transport.write_eof()

    async def test() -> None:
        server = Scripted(sends())
        listener = await asyncio.get_running_loop().create_server(lambda: Deaf(server), "127.0.0.1", 0)
        transport = DirectTransport()
        with pytest.raises(TransportError) as caught:
            await answer(
                transport, call(f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}", b"x" * (32 << 20))
            )
        assert caught.value.failure == "cut"
        await opens(transport, 0)
        server.connections[0].transport.abort()
        listener.close()
        await asyncio.sleep(0.01)

    run(test())


@pytest.mark.parametrize("host", ["a..b", "x" * 70, "no-such-host.invalid"])
def test_a_name_that_is_none(run: Run, host: str) -> None:
    async def test() -> None:
        with pytest.raises(TransportError, match="could not be resolved") as caught:
            await DirectTransport().send(call(f"http://{host}"))
        assert caught.value.failure == "connect"

    run(test())


def test_nobody_there(run: Run) -> None:
    async def test() -> None:
        for host in ("127.0.0.1", "localhost"):
            with pytest.raises(TransportError) as caught:
                await DirectTransport().send(call(f"http://{host}:{free_port()}"))
            assert (caught.value.failure, str(caught.value)) == (
                "connect",
                "no connection: Connection refused",
            )

    run(test())


# --- idle connections -----------------------------------------------------------------------------------


def test_an_end_that_the_loop_has_not_seen_yet(run: Run) -> None:
    """The kernel knows that an idle connection was closed: it is asked before a call is written."""

    async def serve(listener: socket.socket) -> socket.socket:
        loop = asyncio.get_running_loop()
        accepted, _ = await loop.sock_accept(listener)
        accepted.setblocking(False)
        await loop.sock_recv(accepted, 65_536)
        await loop.sock_sendall(accepted, whole(200, b"ok"))
        return accepted

    async def test() -> None:
        transport = DirectTransport()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setblocking(False)
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            for _ in range(3):
                serving = asyncio.ensure_future(serve(listener))
                assert await answer(transport, call(url)) == b"ok"
                (await serving).close()  # and at once, without a turn of the loop, the next call
        await transport.close()

    run(test())


def test_idle_connections_grow_old(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "KEEP_ALIVE_S", 3600)
    monkeypatch.setattr(pool, "IDLE_CAP", 3)

    async def test() -> None:
        async with talking(sends(whole(200, b"ok"))) as (transport, server):
            await asyncio.gather(*[answer(transport, call(server.url)) for _ in range(6)])
            await opens(transport, 3)  # no more than may be kept
            await asyncio.sleep(0.01)
            assert transport.open == 3
        monkeypatch.setattr(pool, "KEEP_ALIVE_S", 0.05)
        async with talking(sends(whole(200, b"ok"))) as (transport, server):
            await asyncio.gather(*[answer(transport, call(server.url)) for _ in range(3)])
            await opens(transport, 0)  # without a further call
            for connection in server.connections:
                await asyncio.wait_for(connection.closed.wait(), 30)

    run(test())
