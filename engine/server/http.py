"""uvicorn's HTTP/1.1 protocol on httptools, with what it leaves open closed: the only user of uvicorn.

httptools refuses the malformed requests that smuggling needs (length and chunking together, folded headers,
bare line feeds, bad chunks). What is added here: a limit on the bytes of a head and on the time it may
take, refusals in the shape of all other errors, and no log line that a client can cause at will.
"""

from __future__ import annotations

import asyncio
import time
from email.utils import formatdate
from typing import Any, Final

import orjson
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

#: Request line and headers of one request.
MAX_HEAD: Final = 64 * 1024
MAX_HEADERS: Final = 200
#: A head must be whole this soon after its first byte, or after the connection was made.
HEAD_S: Final = 10.0
#: An idle connection is kept this long. Longer than most clients keep theirs, so that they close first.
KEEP_ALIVE_S: Final = 75


def _refusal(status: str, code: str, message: str) -> bytes:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
    body = orjson.dumps({"error": error})
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
    return f"{head}connection: close\r\n\r\n".encode() + body


_BAD: Final = _refusal("400 Bad Request", "bad_http", "this is not a well-formed HTTP/1.1 request")
_LARGE: Final = _refusal(
    "431 Request Header Fields Too Large", "head_too_large", f"the head is over {MAX_HEAD} bytes"
)
_SLOW: Final = _refusal("408 Request Timeout", "request_timeout", f"the head took over {HEAD_S:.0f} seconds")


class _TooLargeError(Exception):
    """Raised inside a parser's callback; the parser turns it into a refusal."""


class GuardedProtocol(HttpToolsProtocol):
    """One connection."""

    _in_head = False
    _head_bytes = 0
    _data_bytes = 0
    _head_timer: asyncio.TimerHandle | None = None
    _answer = _BAD

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # uvicorn's
        super().connection_made(transport)
        self._head_timer = self.loop.call_later(HEAD_S, self._slow)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._data_bytes = len(data)
        super().data_received(data)
        if self._in_head:  # mostly a head comes in one piece, and costs nothing here
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD:
                self._refuse(_LARGE)
            elif self._head_timer is None:
                self._head_timer = self.loop.call_later(HEAD_S, self._slow)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._head_bytes = 0
        self._stop_timer()
        if self._data_bytes > MAX_HEAD or len(self.headers) > MAX_HEADERS:
            size = sum(len(name) + len(value) for name, value in self.headers)
            if size > MAX_HEAD or len(self.headers) > MAX_HEADERS:
                self._answer = _LARGE
                raise _TooLargeError
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        self._refuse(self._answer)

    def _unsupported_upgrade_warning(self) -> None:
        """An upgrade that is not made is no fault: the request is served as HTTP/1.1, as RFC 9110 says."""

    def _slow(self) -> None:
        self._head_timer = None
        if self._in_head:
            self._refuse(_SLOW)
        elif not self.transport.is_closing():
            self.transport.close()  # connected and said nothing: nobody to explain it to

    def _refuse(self, answer: bytes) -> None:
        self._stop_timer()
        if not self.transport.is_closing():
            self.transport.write(answer)
            self.transport.close()

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class HttpServer:
    """Makes connections of one ASGI app; knows those that are open."""

    def __init__(self, app: Any) -> None:
        self._config = uvicorn.Config(
            app,
            http=GuardedProtocol,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
        )
        self._config.load()
        self._state = ServerState()
        self.tick()

    def __call__(self) -> asyncio.Protocol:
        return GuardedProtocol(config=self._config, server_state=self._state, app_state={})

    def tick(self) -> None:
        """Set the `date` header; called once a second."""
        self._state.default_headers = [(b"date", formatdate(time.time(), usegmt=True).encode())]

    @property
    def open(self) -> int:
        """Connections that are open."""
        return len(self._state.connections)

    def close_idle(self) -> None:
        """Close connections without a request; those with one close after their answer."""
        for connection in list(self._state.connections):
            connection.shutdown()

    def abort(self) -> None:
        """Close all connections now."""
        for connection in list(self._state.connections):
            connection.transport.abort()
