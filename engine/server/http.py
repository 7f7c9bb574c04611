"""uvicorn's HTTP/1.1 protocol on httptools, with what it leaves open closed: the only user of uvicorn.

httptools refuses the malformed requests that smuggling needs (length and chunking together, folded headers,
bare line feeds, bad chunks). What is added here: a limit on the bytes of a head and on the time it may
take, refusals in the shape of all other errors, and no log line that a client can cause at will. A client
that ends its side of the connection is asked whether it is gone (`half_closed`).
"""

from __future__ import annotations

import asyncio
import time
from email.utils import formatdate
from typing import Any, Final
from urllib.parse import unquote

import httptools
import orjson
import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from engine.server import half_closed

#: Request line and headers of one request.
MAX_HEAD: Final = 64 * 1024
MAX_HEADERS: Final = 200
#: A head must be whole this soon after its first byte, or after the connection was made.
HEAD_S: Final = 10.0
#: An idle connection is kept this long. Longer than most clients keep theirs, so that they close first.
KEEP_ALIVE_S: Final = 75
#: Seconds between two looks for those: with a timer for each, every answer would set one.
_LOOK_EVERY: Final = 5


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


class _Cycle(RequestResponseCycle):
    """One request and its answer. The head is kept back until there is a body to write it with.

    A whole answer so costs one write, and a stream's head goes out with its first event.
    """

    _head: bytes | None = None
    _events = False  # a stream of SSE, in which a comment may stand anywhere between events

    async def send(self, message: Any) -> None:
        """As uvicorn's, for the messages that this project's app sends."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if not self.response_started:
            self.response_started = True
            self.waiting_for_100_continue = False
            self._begin(message)
            return
        body: bytes = message.get("body", b"")
        last = not message.get("more_body", False)
        silent = self.scope["method"] == "HEAD"
        if self.chunked_encoding and not silent:
            framed = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            body = framed + b"0\r\n\r\n" if last else framed
        elif not silent:
            self.expected_content_length -= len(body)
            if self.expected_content_length < 0 or (last and self.expected_content_length):
                raise RuntimeError("the body is not as long as its content-length")
        if self._head is not None:
            body, self._head = self._head + (b"" if silent else body), None
        if body:
            self.transport.write(body)
        if last:
            self.response_complete = True
            self.message_event.set()
            if not self.keep_alive:
                self.transport.close()
            self.on_response()

    def _begin(self, message: Any) -> None:
        """Make the head. Names are lower-case already."""
        status = message["status"]
        rows = [STATUS_LINE[status]]
        self.chunked_encoding = status not in (204, 304)
        for name, value in (*self.default_headers, *message["headers"]):
            if name == b"content-length":
                self.expected_content_length = int(value)
                self.chunked_encoding = False
            elif name == b"content-type":
                self._events = value.startswith(b"text/event-stream")
            elif name == b"connection" and value == b"close":
                self.keep_alive = False
                continue
            rows.append(b"%b: %b\r\n" % (name, value))
        if self.chunked_encoding:
            rows.append(b"transfer-encoding: chunked\r\n")
        if not self.keep_alive:
            rows.append(b"connection: close\r\n")
        rows.append(b"\r\n")
        head = b"".join(rows)
        if head.count(b"\n") != len(rows) or head.count(b"\r") != len(rows) or b"\0" in head:
            raise RuntimeError("a header of the answer holds a line break")
        self._head = head

    def idle_bytes(self) -> bytes | None:
        """Bytes that may be written now and mean nothing to the client; None where there are none."""
        if self.scope["http_version"] == "1.0":
            return None
        if not self.response_started or self._head is not None:
            return half_closed.BEFORE_ANSWER
        return half_closed.BETWEEN_EVENTS if self._events and self.chunked_encoding else None


class _State(ServerState):
    """What the connections of one server share."""

    ticks = 0


class GuardedProtocol(HttpToolsProtocol):
    """One connection."""

    server_state: _State
    _idle_since = 0  # the tick in which its last answer ended
    _in_head = False
    _head_bytes = 0
    _data_bytes = 0
    _head_timer: asyncio.TimerHandle | None = None
    _answer = _BAD
    _running: _Cycle | None = None  # the request being answered; `cycle` is the last that came
    _asked: half_closed.Asked | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # uvicorn's
        super().connection_made(transport)
        self._head_timer = self.loop.call_later(HEAD_S, self._slow)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        if self._asked is not None:
            self._asked.stop()
        running = self._running
        super().connection_lost(exc)
        if running is not None and not running.response_complete:  # with others pipelined behind it
            running.disconnected = True
            running.message_event.set()

    def eof_received(self) -> bool:  # type: ignore[override] # uvicorn's closes always, and says None
        """The client sends no more. It may still read: then its answer is owed to it."""
        running = self._running
        if running is None or running.response_complete or self.cycle.more_body:
            return False
        nothing = running.idle_bytes() if half_closed.CAN_TELL else None
        if nothing is None:
            return False
        self.transport.write(nothing)
        self._asked = half_closed.Asked(self.transport, self.loop)
        return True

    def on_response_complete(self) -> None:
        """As uvicorn's, but for its timer after each answer: `HttpServer.tick` closes what is long idle."""
        if not self.transport.is_closing():
            self.flow.resume_reading()
            if self.pipeline:
                self._start_asgi_task(*self.pipeline.pop())
            else:
                self._idle_since = self.server_state.ticks
        if self._asked is not None and (self._running is None or self._running.response_complete):
            self.transport.close()  # nothing more can come

    def close_where_idle(self, before: int) -> None:
        """Close it if it has served, and nothing has come since before that tick."""
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and cycle.response_complete and not self._in_head and self._idle_since < before:
            self.timeout_keep_alive_handler()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        assert isinstance(cycle, _Cycle)
        self._running = cycle
        super()._start_asgi_task(cycle, app)

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
        self._read_target()
        before: RequestResponseCycle | None = self.cycle
        self.cycle = self._new_cycle()
        if before is None or before.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:  # pipelined: it waits for the answer before it
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def _read_target(self) -> None:
        """Method and target into the scope. A fault in them is one of the parser's, answered with 400."""
        scope, parser = self.scope, self.parser
        scope["method"] = parser.get_method().decode("ascii")
        version = parser.get_http_version()
        if version != "1.1":
            scope["http_version"] = version
        url = httptools.parse_url(self.url)
        path = url.path.decode("ascii")
        scope["path"] = unquote(path) if "%" in path else path
        scope["raw_path"] = url.path
        scope["query_string"] = url.query or b""

    def _new_cycle(self) -> _Cycle:
        return _Cycle(
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=self.scope["http_version"] != "1.0" and self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )

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
        )
        self._config.load()
        self._state = _State()
        self.tick()

    def __call__(self) -> asyncio.Protocol:
        return GuardedProtocol(config=self._config, server_state=self._state, app_state={})

    def tick(self) -> None:
        """Set the `date` header and look for idle connections; called once a second."""
        state = self._state
        state.ticks += 1
        if state.ticks % _LOOK_EVERY == 0:
            for connection in tuple(state.connections):
                if isinstance(connection, GuardedProtocol):
                    connection.close_where_idle(state.ticks - KEEP_ALIVE_S)
        state.default_headers = [(b"date", formatdate(time.time(), usegmt=True).encode())]

    @property
    def open(self) -> int:
        """Connections that are open."""
        return len(self._state.connections)

    def close_idle(self, *, new: bool = True) -> None:
        """Close connections without a request, those that have just been made too (`new`); the others
        close after their answer.
        """
        for connection in list(self._state.connections):
            if new or (isinstance(connection, GuardedProtocol) and connection.cycle is not None):
                connection.shutdown()

    def abort(self) -> None:
        """Close all connections now."""
        for connection in list(self._state.connections):
            connection.transport.abort()
