"""A server on loopback that misbehaves to order: each connection runs one script, byte for byte.

`Scripted(script)` answers every request with `script(connection)`; a connection says what came in and when
the peer closed, so a test can assert both the bytes and, with a `Pulse`, the time of the close.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from typing import cast


class Connection(asyncio.Protocol):
    """One accepted connection. `closed` is set once the peer's close was seen."""

    def __init__(self, server: Scripted) -> None:
        self.server = server
        self.received = bytearray()
        self.requests = 0
        self.closed = asyncio.Event()
        self.asked = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but its class
        self.server.connections.append(self)

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, _, body = bytes(self.received).partition(b"\r\n\r\n")
        length = 0
        for row in head.lower().split(b"\r\n"):
            if row.startswith(b"content-length:"):
                length = int(row.split(b":")[1])
        if len(body) >= length and b"\r\n\r\n" in self.received:
            self.requests += 1
            self.last = bytes(self.received)
            self.received.clear()
            self.asked.set()
            self._task = asyncio.ensure_future(self._answer())

    async def _answer(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await self.server.script(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set()
        if self._task is not None:
            self._task.cancel()

    def send(self, data: bytes) -> None:
        self.transport.write(data)

    def end(self) -> None:
        self.transport.close()

    def reset(self) -> None:
        sock = self.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


Script = Callable[[Connection], Awaitable[None]]


class Scripted:
    """`async with Scripted(script) as server:` -> `server.url`, `server.connections`. tls: its own."""

    def __init__(self, script: Script, tls: ssl.SSLContext | None = None) -> None:
        self.script = script
        self.tls = tls
        self.connections: list[Connection] = []
        self.port = 0  # any free one, unless it is set before

    async def __aenter__(self) -> Scripted:
        loop = asyncio.get_running_loop()
        at = ("127.0.0.1", self.port)
        self._server = await loop.create_server(lambda: Connection(self), *at, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"http{'' if self.tls is None else 's'}://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        for connection in self.connections:
            connection.transport.abort()
        self._server.close()
        await self._server.wait_closed()


def head(
    status: int = 200, content_type: str = "application/json", length: int | None = None, *more: str
) -> bytes:
    """An answer's status line and headers; chunked where no length is given."""
    rows = [f"HTTP/1.1 {status} X", f"content-type: {content_type}", *more]
    rows.append("transfer-encoding: chunked" if length is None else f"content-length: {length}")
    return "\r\n".join([*rows, "", ""]).encode()


def whole(status: int, body: bytes, content_type: str = "application/json", *more: str) -> bytes:
    return head(status, content_type, len(body), *more) + body


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"
