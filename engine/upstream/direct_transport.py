"""The default transport: HTTP/1.1 straight on asyncio, with one pool of kept connections for all upstreams.

It does what the seam asks and nothing else: no redirects, cookies, proxies, inflating or retries. That is
why it exists beside `aiohttp_transport.py`: a call costs less than half as much. A pooled connection that
turns out closed before a byte was written is replaced silently; once bytes were written nothing is ever
sent again. Cancelling `send`, or closing a reply before its end, closes the socket at once, because a
vendor goes on working (and charging) for as long as it is open.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import aiohappyeyeballs

from engine.upstream.h1 import Connection, Exchange
from engine.upstream.protocol import HttpCall, TransportError

#: Idle connections are kept this long; a vendor's load balancer closes after 60 s or more.
KEEP_ALIVE_S: Final = 55.0
#: Idle connections kept for one host.
IDLE_CAP: Final = 512
#: How long the next address of a host is waited for before it is tried beside the first.
NEXT_ADDRESS_S: Final = 0.2

_CACHE: Final = 4096
_FORBIDDEN: Final = frozenset("\r\n\0")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a connection goes."""

    host: str
    port: int
    tls: bool


class DirectTransport:
    """A `Transport`. ssl_context: trust of the upstreams' certificates; None = the system's."""

    def __init__(self, ssl_context: ssl.SSLContext | None = None) -> None:
        self._ssl = ssl_context
        self._idle: dict[Origin, list[Connection]] = {}
        self._open: set[Connection] = set()
        self._heads: dict[tuple[str, str, tuple[tuple[str, str], ...]], tuple[Origin, bytes]] = {}

    async def send(self, call: HttpCall) -> Exchange:
        """Send one call and return once its headers are there. Raises TransportError."""
        key = (call.method, call.url, call.headers)
        origin, head = self._heads.get(key) or self._head(key)
        connection = self._pooled(origin) or await self._connect(origin, call.connect_ms)
        exchange = connection.begin(b"%b%d\r\n\r\n" % (head, len(call.body)), call.body)
        try:
            await exchange.head
        except BaseException:
            # Not the connection: its answer may have come meanwhile, and another call be on it.
            await exchange.close()
            raise
        return exchange

    async def close(self) -> None:
        """Close all connections, also those in use."""
        for connection in tuple(self._open):
            connection.abort()
        self._idle.clear()
        await asyncio.sleep(0)  # the loop closes the sockets in its next turn

    def _pooled(self, origin: Origin) -> Connection | None:
        """The one used last, if it is still open: nothing is awaited before it is written to."""
        idle = self._idle.get(origin)
        while idle:
            connection = idle.pop()
            if not connection.usable:
                continue
            if asyncio.get_running_loop().time() - connection.idle_since <= KEEP_ALIVE_S:
                return connection
            connection.transport.abort()
        return None

    async def _connect(self, origin: Origin, connect_ms: int | None) -> Connection:
        loop = asyncio.get_running_loop()

        def free(connection: Connection) -> None:
            idle = self._idle.setdefault(origin, [])
            connection.idle_since = loop.time()
            if len(idle) < IDLE_CAP:
                idle.append(connection)
            else:
                connection.transport.abort()

        def closed(connection: Connection) -> None:
            self._open.discard(connection)
            idle = self._idle.get(origin)
            if idle and connection in idle:
                idle.remove(connection)

        try:
            async with asyncio.timeout(None if connect_ms is None else connect_ms / 1000):
                plain = await _dial(loop, origin)
                # From here the loop owns the socket, and closes it where this fails or is cancelled. To close
                # it here as well would close whatever has its number by then.
                _, connection = await loop.create_connection(
                    lambda: Connection(loop, free, closed),
                    sock=plain,
                    ssl=self._context() if origin.tls else None,
                    server_hostname=origin.host if origin.tls else None,
                )
        except TimeoutError as error:
            raise TransportError("timeout", "no connection in time") from error
        except socket.gaierror as error:
            raise TransportError("connect", "the host's name could not be resolved") from error
        except ssl.SSLCertVerificationError as error:
            raise TransportError("connect", "the host's certificate is not valid") from error
        except ssl.SSLError as error:
            raise TransportError("connect", "no TLS connection") from error
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise TransportError("connect", f"no connection: {reason}") from error
        self._open.add(connection)
        return connection

    def _context(self) -> ssl.SSLContext:
        if self._ssl is None:
            self._ssl = ssl.create_default_context()
            self._ssl.set_alpn_protocols(["http/1.1"])
        return self._ssl

    def _head(self, key: tuple[str, str, tuple[tuple[str, str], ...]]) -> tuple[Origin, bytes]:
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
        found = Origin(host, port or (443 if tls else 80), tls), "\r\n".join(rows).encode("latin-1")
        self._heads[key] = found
        return found


async def _dial(loop: asyncio.AbstractEventLoop, origin: Origin) -> socket.socket:
    """A connected socket to the first address that answers."""
    kind = {"type": socket.SOCK_STREAM, "proto": socket.IPPROTO_TCP}
    found = await loop.getaddrinfo(origin.host, origin.port, **kind)
    opened = await aiohappyeyeballs.start_connection(
        found, loop=loop, happy_eyeballs_delay=NEXT_ADDRESS_S, interleave=1
    )
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return opened
