"""uvicorn's HTTP/1.1 protocol on httptools, with what it leaves open closed; its requests are `cycle`'s.

httptools refuses the malformed requests that smuggling needs (length and chunking together, folded headers,
bare line feeds, bad chunks). What is added here: a limit on the bytes of a head and on the time it may
take, refusals in the shape of all other errors, and no log line that a client can cause at will. A client
that ends its side of the connection is asked whether it is gone (`half_closed`), but for one that speaks
TLS: there the end of one side is the end of both.

A refused head is read on, and thrown away, until its client has the answer: bytes that nobody takes would
make the system reset the connection, and the client would learn of that and not of the 431.
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
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from engine.identity.certificates import NAMES
from engine.server import half_closed
from engine.server.cycle import Cycle
from engine.server.tls import certificate_names

#: Request line and headers of one request.
MAX_HEAD: Final = 64 * 1024
MAX_HEADERS: Final = 200
#: What is still taken of a client whose head was refused, so that it gets to read why; less if it is quiet.
LINGER_BYTES: Final = 8 * 1024 * 1024
LINGER_S: Final = 2.0
_QUIET_S: Final = 0.25
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
    _silent = 0  # bytes since the last of a body: chunks' extensions, trailers
    _head_timer: asyncio.TimerHandle | None = None
    _answer = _BAD
    _running: Cycle | None = None  # the request being answered; `cycle` is the last that came
    _asked: half_closed.Asked | None = None
    _names: tuple[tuple[str, str], ...] = ()  # of the certificate that the client showed
    _refused = False  # it has its last answer: what still comes is thrown away
    _thrown = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # uvicorn's
        super().connection_made(transport)
        if self.scheme == "https":
            self._names = certificate_names(transport)
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
        if self._refused or self.scheme == "https":
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

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; one that comes behind a body (a trailer) is none, and nothing is done with it."""
        if not self._in_head:
            return
        if len(self.headers) == MAX_HEADERS:
            self._answer = _LARGE
            raise _TooLargeError
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))  # as uvicorn's, which would be another call for each header

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        assert isinstance(cycle, Cycle)
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            self._thrown += len(data)
            if self._thrown > LINGER_BYTES and not self.transport.is_closing():
                self.transport.close()
            return
        self._data_bytes = len(data)
        self._silent += len(data)
        super().data_received(data)
        if self._in_head:  # mostly a head comes in one piece, and costs nothing here
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD:
                self._refuse(_LARGE)
            elif self._head_timer is None:
                self._head_timer = self.loop.call_later(HEAD_S, self._slow)
        elif self._silent > MAX_HEAD and not self._refused:
            self._refuse(_LARGE)

    def on_chunk_header(self) -> None:
        self._silent = 0

    def on_body(self, body: bytes) -> None:
        self._silent = 0
        super().on_body(body)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._head_bytes = self._silent = 0
        self._stop_timer()
        if self._data_bytes > MAX_HEAD and sum(len(n) + len(v) for n, v in self.headers) > MAX_HEAD:
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
        if self._names:
            scope[NAMES] = self._names  # type: ignore[typeddict-unknown-key] # a key of ours

    def _new_cycle(self) -> Cycle:
        return Cycle(
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
        """The connection's last answer. Behind one that is still being written there is no place for it."""
        self._stop_timer()
        if self.transport.is_closing():
            return
        self._refused = True
        self.headers = []
        running = self._running
        if running is not None and not running.response_complete:
            if self._in_head or running is not self.cycle or running.response_started:
                self.transport.close()
                return
            running.disconnected = True  # this is its answer
            running.message_event.set()
        self.transport.write(answer)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._linger(self.loop.time() + LINGER_S, -1)

    def _linger(self, until: float, thrown: int) -> None:
        """Close it once nothing has come for a while. thrown: how much had, when this was last asked."""
        if thrown == self._thrown or self.loop.time() > until:
            self.transport.close()
        else:
            self._head_timer = self.loop.call_later(_QUIET_S, self._linger, until, self._thrown)

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
