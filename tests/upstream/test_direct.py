"""What only the direct transport must prove: framing that its own code decides, reuse, TLS, uvloop."""

from __future__ import annotations

import asyncio
import importlib.util
import random
import sys
from pathlib import Path
from typing import Any

import pytest
import uvloop

from engine.upstream.direct_transport import DirectTransport
from engine.upstream.h1 import Connection
from engine.upstream.protocol import HttpCall, TransportError

_spec = importlib.util.spec_from_file_location("scripted", Path(__file__).with_name("scripted.py"))
assert _spec is not None
assert _spec.loader is not None
if "scripted" not in sys.modules:
    sys.modules["scripted"] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules["scripted"])
scripted: Any = sys.modules["scripted"]
Scripted, chunk, head, whole = scripted.Scripted, scripted.chunk, scripted.head, scripted.whole


def call(url: str, body: bytes = b"{}", **headers: str) -> HttpCall:
    return HttpCall("POST", url + "/v1/x", tuple(headers.items()), body, 20_000)


def sends(*data: bytes, then: str = "") -> Any:
    async def script(c: Any) -> None:
        for piece in data:
            c.send(piece)
            await asyncio.sleep(0.003)
        if then:
            getattr(c, then)()

    return script


async def answer(transport: DirectTransport, asked: HttpCall) -> bytes:
    reply = await transport.send(asked)
    try:
        return await reply.read(1 << 20)
    finally:
        await reply.close()


INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"
FRAMED = {
    "interim answers": (INTERIM + whole(200, b"ok"), b"ok"),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    "trailers": (head() + chunk(b"ok") + b"0\r\nx-sum: 1\r\n\r\n", b"ok"),
    "chunk extensions": (head() + b"2;a=b\r\nok\r\n0\r\n\r\n", b"ok"),
}


@pytest.mark.parametrize("name", list(FRAMED))
@pytest.mark.parametrize("size", [1, 7, 10_000])
async def test_framing_whatever_the_pieces(name: str, size: int) -> None:
    data, want = FRAMED[name]
    transport = DirectTransport()

    async def script(c: Any) -> None:
        for i in range(0, len(data), size):
            c.send(data[i : i + size])
            if size < 100:
                await asyncio.sleep(0)

    async with Scripted(script) as server:
        assert await answer(transport, call(server.url)) == want
        assert await answer(transport, call(server.url)) == want
        assert len(server.connections) == 1
    await transport.close()


async def test_a_body_that_ends_with_the_connection() -> None:
    transport = DirectTransport()
    async with Scripted(sends(b"HTTP/1.1 200 OK\r\n\r\nall of", b" it", then="end")) as server:
        assert await answer(transport, call(server.url)) == b"all of it"
    async with Scripted(sends(b"HTTP/1.1 200 OK\r\n\r\nall of", then="reset")) as server:
        with pytest.raises(TransportError):
            await answer(transport, call(server.url))
    await transport.close()


@pytest.mark.parametrize("row", [b"connection: close", b"Connection: Close"])
async def test_connection_close_is_obeyed(row: bytes) -> None:
    transport = DirectTransport()
    data = b"HTTP/1.1 200 OK\r\n" + row + b"\r\ncontent-length: 2\r\n\r\nok"
    async with Scripted(sends(data)) as server:
        for _ in range(2):
            assert await answer(transport, call(server.url)) == b"ok"
        assert len(server.connections) == 2
    await transport.close()


async def test_bytes_nobody_asked_for_end_a_connection() -> None:
    """A second answer must never be taken for that of the next call."""
    transport = DirectTransport()
    async with Scripted(sends(whole(200, b"one"), whole(200, b"stray"))) as server:
        assert await answer(transport, call(server.url)) == b"one"
        await asyncio.wait_for(server.connections[0].closed.wait(), 30)
        assert await answer(transport, call(server.url)) == b"one"
        assert len(server.connections) == 2
    async with Scripted(sends(whole(200, b"one") + whole(200, b"stray"))) as server:
        for _ in range(3):
            assert await answer(transport, call(server.url)) == b"one"
        assert len(server.connections) == 3
    await transport.close()


@pytest.mark.parametrize("value", ["a\r\nx-evil: 1", "a\nb", "a\0b"])
async def test_a_header_cannot_bring_others_in(value: str) -> None:
    transport = DirectTransport()
    async with Scripted(sends(whole(200, b"ok"))) as server:
        with pytest.raises(TransportError, match="line break"):
            await transport.send(call(server.url, x=value))
        assert server.connections == []


@pytest.mark.parametrize("url", ["ftp://x/", "http:///x", "nonsense", "http://x:99999/", "http://x/a b"])
async def test_what_is_no_url(url: str) -> None:
    with pytest.raises(TransportError) as caught:
        await DirectTransport().send(HttpCall("POST", url, (), b""))
    assert caught.value.failure == "connect"


def test_no_answer_reaches_another_call() -> None:
    """Two thousand calls on uvloop, a third of them cancelled at a random moment: each answer is its own."""

    async def echo(c: Any) -> None:
        body = c.last.partition(b"\r\n\r\n")[2]
        await asyncio.sleep(random.random() / 200)
        c.send(head() + chunk(body[:3]))
        await asyncio.sleep(random.random() / 200)
        c.send(chunk(body[3:]) + b"0\r\n\r\n")

    async def one(transport: DirectTransport, url: str, number: int) -> int:
        body = b"call-%06d" % number
        task = asyncio.ensure_future(answer(transport, call(url, body)))
        if number % 3 == 0:
            await asyncio.sleep(random.random() / 100)
            task.cancel()
        try:
            assert await task == body
        except asyncio.CancelledError:
            return 0
        return 1

    async def main() -> int:
        transport = DirectTransport()
        async with Scripted(echo) as server:
            done = 0
            for start in range(0, 2000, 50):
                done += sum(
                    await asyncio.gather(*[one(transport, server.url, n) for n in range(start, start + 50)])
                )
            assert len(server.connections) < 900
        await transport.close()
        return done

    assert 1300 < uvloop.run(main()) < 2000


async def test_a_cancel_does_not_reach_the_next_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call is cancelled when its answer is there and its connection already carries another call."""
    transport = DirectTransport()
    arrived = asyncio.Event()
    whole_head = Connection.on_headers_complete

    def woken_first(self: Connection) -> None:
        if not arrived.is_set():
            arrived.set()  # the second call is woken before the first
            first.cancel()
        whole_head(self)

    async def next_call(url: str) -> bytes:
        await arrived.wait()
        return await answer(transport, call(url))

    monkeypatch.setattr(Connection, "on_headers_complete", woken_first)
    async with Scripted(sends(whole(200, b"ok"))) as server:
        second = asyncio.ensure_future(next_call(server.url))
        first = asyncio.ensure_future(transport.send(call(server.url)))
        assert await second == b"ok"
        with pytest.raises(asyncio.CancelledError):
            await first
        assert [c.requests for c in server.connections] == [2]
    await transport.close()
