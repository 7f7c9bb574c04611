"""Clients that leave in the middle of their streams, and the vendor that sees it: one loop, so one clock.

Each client marks its request with a number that reaches the vendor inside the prompt, whatever formats lie
between; so the moment a client left and the moment the vendor's connection closed belong together.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import struct
import time
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, cast

from engine.bench.wire import STREAM_FIRST, STREAM_HEAD, STREAM_TOKEN, content_length

#: Formats in which clients ask: the path, and the body around a prompt.
ASKS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "openai_chat": ("/v1/chat/completions", {"messages": [{"role": "user", "content": "{prompt}"}]}),
    "anthropic_messages": (
        "/v1/messages",
        {"max_tokens": 100, "messages": [{"role": "user", "content": "{prompt}"}]},
    ),
    "openai_responses": ("/v1/responses", {"input": "{prompt}"}),
}

#: A vendor's stream goes on for ever, one event in so many seconds.
_PACE_S: Final = 0.01
#: A client leaves once it has seen so many events: its stream is under way then.
_EVENTS: Final = 4
_MARK: Final = re.compile(rb"client-(\d+)-")


@dataclass(slots=True)
class Moments:
    """When each client left, and how long after that its vendor's connection closed, in ms."""

    left: dict[int, float] = field(default_factory=dict)
    closed: dict[str, list[float]] = field(default_factory=dict)
    formats: dict[int, str] = field(default_factory=dict)
    failed: int = 0  # streams that ended before their clients left
    open: set[int] = field(default_factory=set)  # at the vendor

    def vendor_closed(self, number: int) -> None:
        """The vendor's connection of this client is gone."""
        self.open.discard(number)
        left = self.left.pop(number, None)
        if left is None:
            self.failed += 1
        else:
            self.closed.setdefault(self.formats.pop(number), []).append((time.perf_counter() - left) * 1e3)


class Vendor(asyncio.Protocol):
    """Streams to everybody until they leave."""

    def __init__(self, moments: Moments, streams: set[asyncio.Transport]) -> None:
        self._moments = moments
        self._streams = streams
        self._buffer = b""
        self._number: int | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own class, no subclass of it

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0 or len(self._buffer) < end + 4 + (content_length(self._buffer[:end]) or 0):
            return
        mark = _MARK.search(self._buffer, end)
        self._buffer = b""
        assert self._transport is not None
        if mark is not None:
            self._number = int(mark[1])
            self._moments.open.add(self._number)
        self._transport.write(STREAM_HEAD + STREAM_FIRST + STREAM_TOKEN)
        self._streams.add(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:
        assert self._transport is not None
        self._streams.discard(self._transport)
        if self._number is not None:
            self._moments.vendor_closed(self._number)


class Client(asyncio.Protocol):
    """Asks, reads a few events, and is gone: by closing, or (every third) by resetting the connection."""

    def __init__(self, moments: Moments, number: int, form: str, host: str) -> None:
        self._moments = moments
        self._number = number
        self._form = form
        self._host = host
        self._events = 0
        self._transport: asyncio.Transport | None = None
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._moments.formats[self._number] = self._form
        self._transport.write(_request(self._form, self._host, f"client-{self._number}-"))

    def data_received(self, data: bytes) -> None:
        self._events += data.count(b"data:")
        if self._events >= _EVENTS and self._number not in self._moments.left:
            assert self._transport is not None
            if self._number % 3 == 0:
                sock = self._transport.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._moments.left[self._number] = time.perf_counter()
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._number not in self._moments.left and self._events < _EVENTS:
            self._moments.failed += 1
            self._moments.formats.pop(self._number, None)
        if not self.gone.done():
            self.gone.set_result(None)


class Leavers:
    """The vendor, and waves of clients at a gateway in front of it."""

    def __init__(self) -> None:
        self.moments = Moments()
        self._streams: set[asyncio.Transport] = set()
        self._server: asyncio.Server | None = None
        self._pacer: asyncio.Task[None] | None = None
        self._next = 0

    async def start(self) -> int:
        """Serve as a vendor on loopback; its port."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Vendor(self.moments, self._streams), "127.0.0.1", 0, backlog=4096
        )
        self._pacer = loop.create_task(self._pace())
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def leave(self, address: str, count: int, at_once: int) -> None:
        """`count` clients, `at_once` of them at a time; back when the vendor has no stream open."""
        host, _, port = address.rpartition(":")
        loop = asyncio.get_running_loop()
        ends = self._next + count

        async def one_after_the_other() -> None:
            while self._next < ends:
                self._next += 1
                number = self._next
                form = list(ASKS)[number % len(ASKS)]
                _, client = await loop.create_connection(
                    partial(Client, self.moments, number, form, address),
                    host,
                    int(port),
                )
                async with asyncio.timeout(30):
                    await client.gone

        await asyncio.gather(*(one_after_the_other() for _ in range(at_once)))
        async with asyncio.timeout(30):
            while self.moments.open:  # noqa: ASYNC110 - a protocol's callbacks empty it
                await asyncio.sleep(0.005)

    async def stop(self) -> None:
        if self._pacer is not None:
            self._pacer.cancel()
        if self._server is not None:
            self._server.close()
        for transport in list(self._streams):
            transport.abort()

    async def _pace(self) -> None:
        while True:
            await asyncio.sleep(_PACE_S)
            for transport in self._streams:
                transport.write(STREAM_TOKEN)


def _request(form: str, host: str, prompt: str) -> bytes:
    path, body = ASKS[form]
    text = json.dumps({"model": "bench", "stream": True, **body}).replace("{prompt}", prompt)
    return (
        f"POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(text)}\r\n\r\n{text}"
    ).encode()
