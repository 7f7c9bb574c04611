"""A transport over aiohttp's client, for those who need what it can: above all a company's proxy.

What aiohttp would do by itself and may not: follow redirects, keep cookies, read proxies and passwords from
the environment (`proxies.py` does, and knows ALL_PROXY), inflate bodies, retry. All of it is off.
`accept-encoding: identity` is sent, and an answer that is encoded all the same is refused, so a small answer
can never grow into a large one.

A pooled connection that turns out closed before a byte of the call was written is replaced silently; once
bytes were written nothing is ever sent again by this layer. Cancelling `send`, or `close` before the body's
end, closes the socket at once, because a vendor goes on working (and charging) for as long as it is open.
"""

from __future__ import annotations

import asyncio
import functools
import io
import ssl
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final, NoReturn

import aiohttp
from aiohttp.abc import AbstractResolver
from aiohttp.client_proto import ResponseHandler
from multidict import CIMultiDict
from yarl import URL

from engine.upstream.protocol import HttpCall, TransportError
from engine.upstream.proxies import Proxies
from engine.upstream.reasons import unconnected

#: Idle connections are kept this long; a vendor's load balancer closes after 60 s or more.
KEEP_ALIVE_S: Final = 55.0
#: Idle connections kept per host are not limited by aiohttp; connections in all are.
CONNECTIONS: Final = 4096
#: Longest status or header line, and the most headers that an answer may have.
HEADER_LINE: Final = 16 * 1024
HEADERS: Final = 256
#: Largest body that is handed over in one piece.
ONE_PIECE: Final = 1 << 20

#: Calls are not cached without bound: a deployment has a handful of URLs and header sets.
_CACHE: Final = 4096

_IDENTITY: Final = frozenset({"", "identity"})


class AiohttpTransport:
    """A `Transport`. Opens its session with the first call, so it may be made before the loop runs.

    ssl_context: trust of the upstreams' certificates; None = the system's. resolver: how host names become
    addresses; None = the system's. proxies: which calls go through one; None = none does.
    """

    def __init__(
        self,
        ssl_context: ssl.SSLContext | None = None,
        resolver: AbstractResolver | None = None,
        proxies: Proxies | None = None,
    ) -> None:
        self._ssl = ssl_context
        self._resolver = resolver
        self._proxies = proxies
        self._session: aiohttp.ClientSession | None = None
        self._urls: dict[str, tuple[URL, URL | None]] = {}
        self._headers: dict[tuple[tuple[str, str], ...], CIMultiDict[str]] = {}
        self._timeouts: dict[int | None, aiohttp.ClientTimeout] = {}

    async def send(self, call: HttpCall) -> AiohttpReply:
        """Send one call and return once its headers are there. Raises TransportError."""
        session = self._session or self._open()
        url, proxy = self._urls.get(call.url) or self._url(call.url)
        headers = self._headers.get(call.headers) or self._header_set(call.headers)
        timeout = self._timeouts.get(call.connect_ms) or self._timeout(call.connect_ms)
        for _ in range(4):
            try:
                response = await session.request(
                    call.method,
                    url,
                    # In one piece a large body would hold up the loop, and aiohttp says so.
                    data=call.body if len(call.body) <= ONE_PIECE else io.BytesIO(call.body),
                    headers=headers,
                    timeout=timeout,
                    proxy=proxy,
                    allow_redirects=False,
                )
            except _NothingSentError:
                continue
            except asyncio.CancelledError:
                raise
            except Exception as error:  # noqa: BLE001 - aiohttp and ssl raise many kinds; `_refuse` sorts them
                _refuse(error)
            if response.status == 407 and proxy is not None:
                response.close()
                raise TransportError("connect", "the proxy refused the call (407)")
            if response.headers.get("content-encoding", "").strip().lower() not in _IDENTITY:
                response.close()
                raise TransportError("server", "the answer is compressed although that was not asked for")
            return AiohttpReply(response)
        raise TransportError("connect", "every pooled connection was closed before it could be used")

    async def close(self) -> None:
        """Close all connections, also those in use."""
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    def _open(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=CONNECTIONS,
            limit_per_host=0,
            keepalive_timeout=KEEP_ALIVE_S,
            ttl_dns_cache=5,
            resolver=self._resolver,
            ssl=self._ssl if self._ssl is not None else True,
        )
        # aiohttp has no public place for this; `test_transport.py` ("bad chunk") holds it in place.
        factory: Any = functools.partial(_Protocol, loop=asyncio.get_running_loop())
        connector._factory = factory
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            request_class=_Request,
            auto_decompress=False,
            trust_env=False,
            skip_auto_headers=("accept-encoding", "user-agent", "accept", "content-type"),
            max_line_size=HEADER_LINE,
            max_field_size=HEADER_LINE,
            max_headers=HEADERS,
        )
        return self._session

    def _url(self, text: str) -> tuple[URL, URL | None]:
        """Where a call goes, and through which proxy."""
        proxy = None if self._proxies is None else self._proxies.of(text)
        if len(self._urls) >= _CACHE:
            self._urls.clear()
        try:
            found = URL(text, encoded=True), None if proxy is None else URL(proxy)
        except ValueError as error:
            raise TransportError("connect", "the address is not a valid URL") from error
        self._urls[text] = found
        return found

    def _header_set(self, pairs: tuple[tuple[str, str], ...]) -> CIMultiDict[str]:
        if len(self._headers) >= _CACHE:
            self._headers.clear()
        headers = self._headers[pairs] = CIMultiDict([*pairs, ("accept-encoding", "identity")])
        return headers

    def _timeout(self, connect_ms: int | None) -> aiohttp.ClientTimeout:
        connect = None if connect_ms is None else connect_ms / 1000
        timeout = self._timeouts[connect_ms] = aiohttp.ClientTimeout(
            total=None, connect=connect, sock_read=None, sock_connect=None
        )
        return timeout


class AiohttpReply:
    """An `HttpReply` over aiohttp's response."""

    __slots__ = ("_response", "headers", "status")

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers  # asked for in any case of letters

    async def read(self, limit: int) -> bytes:
        response = self._response
        length = response.content_length
        if length is not None:
            if length > limit:
                _too_long(limit)
            try:
                return await response.read()
            except Exception as error:  # noqa: BLE001 - sorted by `_refuse`
                _refuse(error)
        body = bytearray()
        async for data in self.chunks():
            body += data
            if len(body) > limit:
                _too_long(limit)
        return bytes(body)

    def chunks(self) -> AsyncIterator[bytes]:
        return _Chunks(self._response.content)

    async def close(self) -> None:
        # A body read to its end has given the connection back already; else this closes the socket.
        self._response.close()


class _Chunks:
    """The body as it comes. No generator: one that is left half-way would have to be closed by somebody."""

    __slots__ = ("_content",)

    def __init__(self, content: aiohttp.StreamReader) -> None:
        self._content = content

    def __aiter__(self) -> _Chunks:
        return self

    async def __anext__(self) -> bytes:
        try:
            data = await self._content.readany()
        except Exception as error:  # noqa: BLE001 - sorted by `_refuse`
            _refuse(error)
        if not data:
            raise StopAsyncIteration
        return data


class _NothingSentError(Exception):
    """The pooled connection was closed before the call was written to it."""


class _Protocol(ResponseHandler):
    """aiohttp's client protocol, with one repair: a malformed body fails the read that waits for it.

    As it is (3.14), a bad chunk ends the connection but is told only to whoever waits for headers, so that a
    read of the body waits for ever.
    """

    def set_exception(self, exc: BaseException, *cause: BaseException) -> None:
        super().set_exception(exc, *cause)
        payload = self._payload
        if payload is not None and not payload.is_eof() and payload.exception() is None:
            payload.set_exception(exc)


class _Request(aiohttp.ClientRequest):
    async def send(self, conn: Any) -> aiohttp.ClientResponse:
        # Nothing is awaited between here and the first write, so what holds now holds then.
        if conn.protocol is None or not conn.protocol.is_connected():
            raise _NothingSentError
        return await super().send(conn)


def _too_long(limit: int) -> NoReturn:
    raise TransportError("server", f"the answer is longer than {limit} bytes")


def _refuse(error: Exception) -> NoReturn:
    """The error as a TransportError. Its words never repeat what the call carried."""
    match error:
        case TransportError():
            raise error
        case aiohttp.ConnectionTimeoutError():
            raise unconnected(TimeoutError()) from error
        case aiohttp.ClientConnectorDNSError():
            raise TransportError("connect", "the host's name could not be resolved") from error
        case aiohttp.ClientConnectorCertificateError():
            raise unconnected(error.certificate_error) from error
        case aiohttp.ClientProxyConnectionError():
            raise unconnected(error.os_error, " to the proxy") from error
        case aiohttp.ClientHttpProxyError():
            raise TransportError("connect", f"the proxy refused to connect ({error.status})") from error
        case aiohttp.ClientConnectorError():  # TLS's own among them
            raise unconnected(error.os_error) from error
        case aiohttp.ServerDisconnectedError():
            raise TransportError("cut", "the connection was closed before the answer began") from error
        case aiohttp.ClientPayloadError():
            raise TransportError("cut", "the answer ended early") from error
        case aiohttp.ClientResponseError() | aiohttp.http.HttpProcessingError():
            raise TransportError("server", "the answer is not valid HTTP") from error
        case aiohttp.InvalidURL() | aiohttp.NonHttpUrlClientError():
            raise TransportError("connect", "the address is not a valid URL") from error
        case ConnectionResetError() | BrokenPipeError() | aiohttp.ClientConnectionError() | OSError():
            raise TransportError("cut", "the connection was reset") from error
        case TimeoutError():
            raise TransportError("timeout", "no answer in time") from error
        case _:
            raise error
