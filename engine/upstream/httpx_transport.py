"""Any `httpx.AsyncBaseTransport` as a transport: mocks, respx, a caller's own proxy or mTLS set-up.

Only the transport is used, not httpx's client: no redirects, cookies, environment or pool of its own. It is
some thirty times slower than the default and meant for tests and embedding.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import NoReturn

import httpx

from engine.upstream.protocol import HttpCall, TransportError

_IDENTITY = frozenset({"", "identity"})


class HttpxTransport:
    """A `Transport` over `inner`; closing it closes `inner`."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner

    async def send(self, call: HttpCall) -> HttpxReply:
        """Send one call and return once its headers are there. Raises TransportError."""
        connect = None if call.connect_ms is None else call.connect_ms / 1000
        request = httpx.Request(
            call.method,
            call.url,
            headers=[*call.headers, ("accept-encoding", "identity")],
            content=call.body,
            extensions={"timeout": {"connect": connect, "pool": connect, "read": None, "write": None}},
        )
        try:
            response = await self._inner.handle_async_request(request)
        except httpx.RequestError as error:
            _refuse(error, begun=False)
        if response.headers.get("content-encoding", "").strip().lower() not in _IDENTITY:
            await response.aclose()
            raise TransportError("server", "the answer is compressed although that was not asked for")
        response.request = request  # what httpx's own errors are told with
        return HttpxReply(response)

    async def close(self) -> None:
        """Close the inner transport."""
        await self._inner.aclose()


class HttpxReply:
    """An `HttpReply` over httpx's response."""

    __slots__ = ("_response", "headers", "status")

    def __init__(self, response: httpx.Response) -> None:
        self._response = response
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers

    async def read(self, limit: int) -> bytes:
        body = bytearray()
        async for data in self.chunks():
            body += data
            if len(body) > limit:
                raise TransportError("server", f"the answer is longer than {limit} bytes")
        return bytes(body)

    async def chunks(self) -> AsyncIterator[bytes]:
        if self._response.is_stream_consumed:  # a mock's answer, complete from the beginning
            yield self._response.content
            return
        try:
            async for data in self._response.aiter_raw():
                yield data
        except httpx.RequestError as error:
            _refuse(error, begun=True)

    async def close(self) -> None:
        await self._response.aclose()


def _refuse(error: httpx.RequestError, *, begun: bool) -> NoReturn:
    """httpx's errors as ours; `begun`: the headers were there. Its words may hold a URL with a key in it."""
    match error:
        case httpx.ConnectTimeout() | httpx.PoolTimeout():
            raise TransportError("timeout", "no connection in time", unsent=True) from error
        case httpx.TimeoutException():
            raise TransportError("timeout", "no answer in time") from error
        case httpx.ConnectError() | httpx.UnsupportedProtocol() | httpx.ProxyError():
            raise TransportError("connect", "no connection") from error
        case httpx.RemoteProtocolError() if begun or "disconnected" in str(error):
            raise TransportError("cut", "the answer ended early") from error
        case httpx.RemoteProtocolError():
            raise TransportError("server", "the answer is not valid HTTP") from error
        case _:
            raise TransportError("cut", "the connection was reset") from error
