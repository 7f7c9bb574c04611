"""The default transport: HTTP/1.1 straight on asyncio, with a pool of kept connections for each origin.

It does what the seam asks and nothing else: no redirects, cookies, proxies, inflating or retries. That is
why it exists beside `aiohttp_transport.py`: a call costs less than half as much. A pooled connection that
turns out closed before a byte was written is replaced silently; once bytes were written nothing is ever
sent again. Cancelling `send`, closing a reply before its end or dropping it closes the socket at once,
because a vendor goes on working (and charging) for as long as it is open.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import aiohappyeyeballs

from engine.upstream.h1 import Connection, Exchange, too_long
from engine.upstream.pool import Origin, Pool
from engine.upstream.protocol import HttpCall, TransportError
from engine.upstream.reasons import unconnected

#: How long the next address of a host is waited for before it is tried beside the first.
NEXT_ADDRESS_S: Final = 0.2
#: Turns of the loop that `close` waits for its sockets. TLS on asyncio needs three.
_TURNS: Final = 10

_CACHE: Final = 4096
_FORBIDDEN: Final = frozenset("\r\n\0")

Headers = tuple[tuple[str, str], ...]
Dial = Callable[[asyncio.AbstractEventLoop, Origin], Awaitable[socket.socket]]


class DirectTransport:
    """A `Transport`. ssl_context: trust of the upstreams' certificates; None = the system's. dial: makes the
    connected socket to an origin; None = to the first address of its name that answers.
    """

    def __init__(self, ssl_context: ssl.SSLContext | None = None, dial: Dial | None = None) -> None:
        self._ssl = ssl_context
        self._dial = dial or _dial
        self._pools: dict[Origin, Pool] = {}
        self._heads: dict[tuple[str, str, Headers], tuple[Pool, bytes]] = {}
        self._closed = False

    async def send(self, call: HttpCall) -> DirectReply:
        """Send one call and return once its headers are there. Raises TransportError."""
        key = (call.method, call.url, call.headers)
        pool, head = self._heads.get(key) or self._head(key)
        connection = pool.take() or await self._connect(pool, call.connect_ms)
        body = call.body
        exchange = connection.begin(b"%b%d\r\n\r\n" % (head, len(body)), body, call.method == "HEAD")
        try:
            await exchange.head
        except BaseException:
            # Not the connection: its answer may have come meanwhile, and another call be on it.
            exchange.give_up()
            raise
        return DirectReply(exchange)

    async def close(self) -> None:
        """Close all connections, also those in use and those being made; every later call is refused."""
        self._closed = True
        for pool in self._pools.values():
            pool.close()
        for _ in range(_TURNS):
            if not self.open:
                break
            await asyncio.sleep(0)

    @property
    def open(self) -> int:
        """Connections with a socket, idle ones included."""
        return sum(pool.open for pool in self._pools.values())

    async def _connect(self, pool: Pool, connect_ms: int | None) -> Connection:
        if self._closed:
            raise TransportError("connect", "the transport is closed")
        loop = asyncio.get_running_loop()
        origin = pool.origin
        connection = Connection(loop, pool)
        try:
            async with asyncio.timeout(None if connect_ms is None else connect_ms / 1000):
                plain = await self._dial(loop, origin)
                # From here the loop owns the socket, and closes it where this fails or is cancelled. To close
                # it here as well would close whatever has its number by then.
                await loop.create_connection(
                    lambda: connection,
                    sock=plain,
                    ssl=self._context() if origin.tls else None,
                    server_hostname=origin.host if origin.tls else None,
                )
        except (OSError, UnicodeError) as error:
            connection.drop()
            raise unconnected(error) from error
        except BaseException:
            connection.drop()  # cancelled just when it was made: asyncio would take its leave politely
            raise
        if not connection.usable:
            raise TransportError("connect", "no connection: closed by the host")
        return connection

    def _context(self) -> ssl.SSLContext:
        if self._ssl is None:
            self._ssl = ssl.create_default_context()
            self._ssl.set_alpn_protocols(["http/1.1"])
        return self._ssl

    def _head(self, key: tuple[str, str, Headers]) -> tuple[Pool, bytes]:
        """Where a call goes and all its head but the length, kept: a deployment has a handful of them."""
        method, url, headers = key
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            host = port = None
        if not host or parts.scheme not in ("http", "https") or not url.isascii() or " " in url:
            raise TransportError("connect", "the address is not a valid URL")
        tls = parts.scheme == "https"
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        rows = [
            f"{method} {target} HTTP/1.1",
            f"host: {parts.netloc.rpartition('@')[2]}",
            *(f"{name}: {value}" for name, value in headers),
            "accept-encoding: identity",
            "content-length: ",
        ]
        if any(not _FORBIDDEN.isdisjoint(row) for row in rows):
            raise TransportError("connect", "a header of the call holds a line break")
        if len(self._heads) >= _CACHE:
            self._heads.clear()
        origin = Origin(host, port or (443 if tls else 80), tls)
        pool = self._pools.get(origin)
        if pool is None:
            pool = self._pools[origin] = Pool(origin, asyncio.get_running_loop())
        found = self._heads[key] = pool, "\r\n".join(rows).encode("latin-1")
        return found


class DirectReply:
    """An `HttpReply` over an exchange, and its own iterator. Dropping it half-way closes the socket."""

    __slots__ = ("_exchange", "headers", "status")

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self.status = exchange.status
        self.headers: Mapping[str, str] = exchange.headers

    async def read(self, limit: int) -> bytes:
        """The whole body. Raises TransportError: "cut" at an early end, "server" beyond `limit` bytes."""
        exchange = self._exchange
        if not exchange.done:
            length = self.headers.get("content-length", "")
            if length.isdigit() and int(length) > limit:
                raise too_long(limit)
            exchange.cap = limit
            exchange.resume()
        if exchange.size > limit:
            raise too_long(limit)
        while not exchange.done:
            await exchange.more()
        if exchange.error is not None:
            raise exchange.error
        return exchange.take()

    def chunks(self) -> DirectReply:
        """The body as it comes, what has arrived since the last time in one piece."""
        return self

    def __aiter__(self) -> DirectReply:
        return self

    async def __anext__(self) -> bytes:
        exchange = self._exchange
        while not exchange.size:
            if exchange.error is not None:
                raise exchange.error
            if exchange.done:
                raise StopAsyncIteration
            await exchange.more()
        data = exchange.take()
        exchange.resume()
        return data

    async def close(self) -> None:
        """Close the socket, unless the answer is complete."""
        self._exchange.give_up()

    def __del__(self) -> None:
        # The collector may run in any thread; a loop that is closed has closed its sockets.
        if not self._exchange.done:
            with contextlib.suppress(RuntimeError):
                self._exchange.loop.call_soon_threadsafe(self._exchange.give_up)


async def _dial(loop: asyncio.AbstractEventLoop, origin: Origin) -> socket.socket:
    """A connected socket to the first address that answers."""
    kind = {"type": socket.SOCK_STREAM, "proto": socket.IPPROTO_TCP}
    return await connect_first(loop, await loop.getaddrinfo(origin.host, origin.port, **kind))


async def connect_first(loop: asyncio.AbstractEventLoop, found: list[Any]) -> socket.socket:
    """A connected socket to the first of these addresses (as `getaddrinfo` gives them) that answers."""
    if not found:
        raise TransportError("connect", "the host's name has no address")
    try:
        opened = await aiohappyeyeballs.start_connection(
            found, loop=loop, happy_eyeballs_delay=NEXT_ADDRESS_S, interleave=1
        )
    except RuntimeError as error:  # uvloop's, now and then, for what is an OSError elsewhere
        raise TransportError("connect", "no connection") from error
    try:
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError:  # reset already
        opened.close()
        raise
    return opened
