"""Addresses: bound first, then served by one HTTP server each, all on one event loop.

Sockets are bound by us, before anything else can fail, so that a port in use is one clear error and port 0
is known at once. Whatever serves HTTP stands behind `HttpServer` (http.py) alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import sys
from typing import Any, Final

from engine.control.settings import TlsFiles
from engine.observe.log import Log
from engine.server.http import HttpServer
from engine.server.tls import (
    FAREWELL_S,
    HANDSHAKE_S,
    Stamp,
    TlsFault,
    make_context,
    renewed,
    stamp,
)

BACKLOG: Final = 2048


class AddressError(Exception):
    """An address cannot be listened on. The text says which, why, and what to do."""


def split_address(address: str) -> tuple[str, int]:
    """`HOST:PORT` as (host, port); an IPv6 address stands in brackets. Raises AddressError."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise AddressError(f"{address!r} is no address; write HOST:PORT, such as 127.0.0.1:8080")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise AddressError(f"{address!r}: an IPv6 address stands in brackets, such as [::1]:8080")
    return host or "127.0.0.1", int(port)


def bind_group(address: str, count: int) -> list[socket.socket]:
    """One bound socket for each of `count` processes, none listening yet. Raises AddressError.

    Linux spreads connections evenly over sockets of one port (SO_REUSEPORT). Processes that share a socket
    take them unevenly: whoever wakes first accepts all that wait (of 64 connections in a burst, one of two
    processes was seen to take 64). Elsewhere the system does not spread, and the socket is shared.
    """
    first = bind(address)
    if sys.platform != "linux":
        return [first] + [first.dup() for _ in range(count - 1)]
    # The first showed that nobody else is there: with SO_REUSEPORT a second sidecar would not notice.
    family, where = first.family, first.getsockname()
    first.close()
    sockets: list[socket.socket] = []
    try:
        for _ in range(count):
            sock = socket.socket(family, socket.SOCK_STREAM)
            sockets.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.bind(where)
            sock.setblocking(False)
    except OSError as error:
        for sock in sockets:
            sock.close()
        raise AddressError(f"cannot listen on {address}: {error.strerror or error}") from None
    return sockets


def bind(address: str) -> socket.socket:
    """A bound socket, not yet listening. Raises AddressError."""
    host, port = split_address(address)
    try:
        family, kind, proto, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise AddressError(f"{address}: the host's name could not be resolved ({error.strerror})") from None
    sock = socket.socket(family, kind, proto)
    try:
        if (
            os.name == "posix"
        ):  # a port just left may be taken again; Windows would let two processes share it
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(where)
    except OSError as error:
        sock.close()
        raise AddressError(
            f"cannot listen on {address}: {error.strerror or error}; port 0 takes a free one"
        ) from None
    sock.setblocking(False)
    return sock


def shown(sock: socket.socket) -> str:
    """The address that a socket is bound to, as `HOST:PORT`."""
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Listener:
    """One address with its app.

    tls: the files of its certificate; None: plain HTTP.
    """

    def __init__(
        self, sock: socket.socket, app: Any, tls: TlsFiles | None = None, log: Log | None = None
    ) -> None:
        self.address = shown(sock)
        self.tls = tls
        self._sock = sock
        self._http = HttpServer(app)
        self._log = log
        self._context: ssl.SSLContext | None = None
        self._server: asyncio.Server | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._more: dict[int, asyncio.Server] = {}
        self._adopted: dict[int, socket.socket] = {}

    async def start(self) -> None:
        """Accept connections from now on. Raises TlsFault."""
        loop = asyncio.get_running_loop()
        if self.tls is not None:
            known = stamp(self.tls)
            self._context = make_context(self.tls)
            self._tasks.append(loop.create_task(self._renew(self.tls, known)))
        self._server = await self._serve(self._sock)
        self._tasks.append(loop.create_task(self._tick()))

    async def _serve(self, sock: socket.socket) -> asyncio.Server:
        """Accept from a copy of the socket: the socket itself, and who waits in it, outlives its servers."""
        own = socket.socket(fileno=os.dup(sock.fileno()))
        own.setblocking(False)
        more: dict[str, Any] = {}
        if self._context is not None:
            more = {"ssl_handshake_timeout": HANDSHAKE_S, "ssl_shutdown_timeout": FAREWELL_S}
        loop = asyncio.get_running_loop()
        return await loop.create_server(self._http, sock=own, backlog=BACKLOG, ssl=self._context, **more)

    async def accept_from(self, sock: socket.socket) -> None:
        """Accept connections of another socket too; it stays the caller's."""
        self._adopted[sock.fileno()] = sock
        self._more[sock.fileno()] = await self._serve(sock)

    def accepts_from(self, sock: socket.socket) -> bool:
        return sock.fileno() in self._more

    def accept_no_more_from(self, sock: socket.socket) -> None:
        """Connections that were accepted from it live on."""
        self._adopted.pop(sock.fileno(), None)
        server = self._more.pop(sock.fileno(), None)
        if server is not None:
            server.close()

    def close_idle(self, *, new: bool = True) -> None:
        """Connections that wait for a request are closed; the others after their answer.

        new: also those that have not had a request yet. Its first may be on the way, and would be lost.
        """
        self._http.close_idle(new=new)

    async def stop(self) -> None:
        """Stop accepting, and close whatever is still open."""
        for task in self._tasks:
            task.cancel()
        for server in (self._server, *self._more.values()):
            if server is not None:
                server.close()
        self._http.close_idle()
        await asyncio.sleep(0)  # closing a transport flushes what was written; give it its turn
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.2):
                while self._http.open:  # noqa: ASYNC110 - uvicorn keeps a set and tells nobody when it empties
                    await asyncio.sleep(0.01)
        self._http.abort()

    async def _tick(self) -> None:
        while True:
            self._http.tick()
            await asyncio.sleep(1)

    # --- certificates -------------------------------------------------------------------------------------

    async def _renew(self, tls: TlsFiles, known: Stamp) -> None:
        """Make new connections with what lies in the files now. Files that are no good change nothing."""
        async for made in renewed(tls, known):
            if isinstance(made, TlsFault):
                if self._log is not None:
                    self._log.error("certificate_not_reloaded", listen=self.address, why=str(made))
                continue
            await self._take(made)
            if self._log is not None:
                self._log.info("certificate_reloaded", listen=self.address)

    async def _take(self, context: ssl.SSLContext) -> None:
        """Serve with another context: first who accepts with the new one, then nobody with the old one."""
        self._context = context
        before = self._server
        self._server = await self._serve(self._sock)
        if before is not None:
            before.close()
        for number, sock in list(self._adopted.items()):
            server = await self._serve(sock)
            old = self._more.get(number)
            if old is None:  # given back meanwhile
                server.close()
            else:
                self._more[number] = server
                old.close()
        if self.tls is not None and self.tls.clients is not None:
            # Whom it lets in may have changed: who is connected is asked again after the next answer.
            self.close_idle(new=False)
