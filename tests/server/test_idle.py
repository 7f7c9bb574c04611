"""A client's connection that is long idle is closed; one that is used, or owes an answer, is not."""

import asyncio

import pytest

from engine.server.http import KEEP_ALIVE_S, HttpServer
from engine.server.replies import Message, Receive, Send, send_whole

GET = b"GET / HTTP/1.1\r\nhost: h\r\n\r\n"


async def _app(_scope: Message, _receive: Receive, send: Send) -> None:
    await send_whole(send, 200, [], b"well")


@pytest.mark.parametrize(("ticks", "left"), [(KEEP_ALIVE_S - 10, 2), (KEEP_ALIVE_S + 10, 1)])
async def test_idle_connections_are_closed(ticks: int, left: int) -> None:
    http = HttpServer(_app)
    server = await asyncio.get_running_loop().create_server(http, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        idle, used = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        for reader, writer in (idle, used):
            writer.write(GET)
            assert (await reader.readuntil(b"well")).startswith(b"HTTP/1.1 200")
        for tick in range(ticks):
            if tick == 50:
                used[1].write(GET)
                await used[0].readuntil(b"well")
            http.tick()
        if left == 1:
            assert await idle[0].read() == b""
        await asyncio.sleep(0)
        assert http.open == left
        for _, writer in (idle, used):
            writer.close()
        http.abort()
