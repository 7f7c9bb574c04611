"""One HTTP/1.1 client connection on httptools' parser: a call goes out, an `Exchange` takes what comes back.

Sans pool and sans address: `pool.py` and `direct_transport.py` have those. An exchange buffers the body
between the socket and its reader, and stops reading the socket while nobody takes from the buffer. When a
message is complete and the connection may serve again, it is handed back before the reader has taken the
last bytes.

Whether a connection may serve again is decided once all that came with the end of its answer is parsed: a
byte behind the end belongs to no call, and must never be read as the beginning of the next one's answer.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable, Mapping
from typing import Final, Protocol, cast

import httptools

from engine.upstream.protocol import TransportError

#: Most bytes that may come without one of the body among them (status line, headers, trailers, chunk
#: extensions), and most headers of an answer.
HEAD_CAP: Final = 64 * 1024
HEADERS_CAP: Final = 256
#: Bytes that are buffered for a reader before the socket is left unread.
HIGH_WATER: Final = 128 * 1024

_IDENTITY: Final = frozenset({"", "identity"})


class Owner(Protocol):
    """Who keeps connections."""

    def opened(self, connection: Connection) -> None:
        """It has a socket now."""

    def freed(self, connection: Connection) -> None:
        """It may serve again."""

    def lost(self, connection: Connection) -> None:
        """Its socket is gone."""


class Exchange:
    """One call's answer on its way from the connection, which feeds it, to the reader, who takes from it."""

    __slots__ = (
        "_buffer", "_connection", "_paused", "_waiter", "cap", "done", "error", "head", "headers", "loop",
        "size", "status",
    )  # fmt: skip

    def __init__(self, connection: Connection, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.status = 0
        self.headers: Mapping[str, str] = {}
        #: Done when the headers are there, or failed with a TransportError.
        self.head: asyncio.Future[None] = loop.create_future()
        self.done = False
        self.error: TransportError | None = None
        #: While the whole body is read: its limit in bytes. Reading is then never paused.
        self.cap: int | None = None
        self._connection: Connection | None = connection
        #: Bytes that wait to be taken.
        self.size = 0
        self._buffer: list[bytes] = []
        self._waiter: asyncio.Future[None] | None = None
        self._paused = False

    # --- what the reader calls

    def take(self) -> bytes:
        """All that has come since the last time."""
        buffer = self._buffer
        data = buffer[0] if len(buffer) == 1 else b"".join(buffer)
        buffer.clear()
        self.size = 0
        return data

    def resume(self) -> None:
        """Read the socket again, where a full buffer had stopped that."""
        if self._paused and self._connection is not None:
            self._paused = False
            self._connection.transport.resume_reading()

    async def more(self) -> None:
        """Wait for a piece of the body or its end."""
        waiter = self._waiter = self.loop.create_future()
        try:
            await waiter
        finally:
            self._waiter = None

    def give_up(self) -> None:
        """Close the socket, unless the answer is complete."""
        if self._connection is not None:
            self._connection.abort()

    # --- what the connection calls

    def push(self, data: bytes) -> None:
        """A piece of the body."""
        self._buffer.append(data)
        self.size += len(data)
        if self.cap is not None:
            if self.size > self.cap and self._connection is not None:
                self._connection.fail(too_long(self.cap))
            return
        if self.size > HIGH_WATER and not self._paused and self._connection is not None:
            self._paused = True
            self._connection.transport.pause_reading()
        self._wake()

    def finish(self, error: TransportError | None = None) -> None:
        """The body is complete, or broken."""
        self.done = True
        self.error = error
        self._connection = None
        if not self.head.done():
            if error is not None:
                self.head.set_exception(error)
            else:
                self.head.set_result(None)
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def too_long(limit: int) -> TransportError:
    """An answer beyond its limit in bytes."""
    return TransportError("server", f"the answer is longer than {limit} bytes")


class Connection(asyncio.Protocol):
    """One socket. It serves one exchange at a time, and tells its owner when it could serve another."""

    transport: asyncio.Transport

    def __init__(self, loop: asyncio.AbstractEventLoop, owner: Owner) -> None:
        self._loop = loop
        self._owner = owner
        self._exchange: Exchange | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._headers: dict[str, str] = {}
        self._count = self._length = 0
        self._bodiless = False  # the call was a HEAD
        self._begun = False  # the headers of the answer are there
        self._complete = False  # all of the answer is there
        self._reusable = False
        self._until_eof = False
        self._other = 0  # bytes since the last one of a body
        self._opened = False
        self._gone = False
        self._stirs: Callable[[], bool] = bool  # nothing to look at before there is a socket
        self.idle_since = 0.0

    @property
    def usable(self) -> bool:
        """Whether a call may be written: neither end has closed, as far as the loop has seen."""
        return not self._gone and not self.transport.is_closing()

    def quiet(self) -> bool:
        """Whether a free connection is still open as the kernel has it, and has nothing unread."""
        return not self._stirs()

    def begin(self, head: bytes, body: bytes, bodiless: bool = False) -> Exchange:
        """Send a call. The connection must be free and usable. bodiless: the answer has headers only."""
        exchange = self._exchange = Exchange(self, self._loop)
        self._headers = {}
        self._count = self._length = self._other = 0
        self._begun = self._complete = self._reusable = self._until_eof = False
        self._bodiless = bodiless
        if len(body) < 65_536:
            self.transport.write(head + body)
        else:
            self.transport.writelines([head, body])
        return exchange

    def drop(self) -> None:
        """Close what was made of a connection while it was being made."""
        if self._opened:
            self.abort()
            self._owner.lost(self)  # uvloop tells nobody of a connection that was cancelled just when made

    def abort(self) -> None:
        """Close at once, what is not sent yet unsent."""
        self.fail(TransportError("cut", "the call was given up"))

    def fail(self, error: TransportError) -> None:
        """End the exchange with an error, and the connection with it."""
        exchange, self._exchange = self._exchange, None
        if not self._gone:
            self._gone = True
            # Not here: a TLS transport that is aborted from within what it calls trips over its own state.
            self._loop.call_soon(self.transport.abort)
        if exchange is not None:
            exchange.finish(error)

    @property
    def _beyond(self) -> bool:
        """Whether the headers are too many or too long, also where a body came in one piece with them."""
        return self._count > HEADERS_CAP or self._length > HEAD_CAP

    # --- asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._stirs = _watch(transport.get_extra_info("socket").fileno())
        self._opened = True
        self._owner.opened(self)

    def data_received(self, data: bytes) -> None:
        if self._exchange is None:  # nobody asked: whatever it is, the connection cannot be trusted
            self.abort()
            return
        self._other += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.fail(TransportError("server", "the answer is not valid HTTP"))
            return
        if self._complete:
            if self._reusable:
                self._owner.freed(self)
            else:
                self.abort()
        elif self._other > HEAD_CAP or self._beyond:
            self.fail(TransportError("server", "the answer has too many or too long headers"))

    def eof_received(self) -> None:
        if not self._gone:  # what is left to send is for nobody: the socket is not kept open for it
            self._loop.call_soon(self.transport.abort)
        self._end(None)

    def connection_lost(self, error: Exception | None) -> None:
        self._end(error)
        self._owner.lost(self)
        # They refer to this object: without them it is freed at once, not when the collector comes by.
        del self._parser
        self._stirs = bool

    def _end(self, error: Exception | None) -> None:
        exchange, self._exchange = self._exchange, None
        self._gone = True
        if exchange is not None:
            exchange.finish(self._early_end(error))

    def _early_end(self, error: Exception | None) -> TransportError | None:
        if error is not None:
            return TransportError("cut", "the connection was reset")
        if not self._begun:
            return TransportError("cut", "the connection was closed before the answer began")
        return None if self._until_eof else TransportError("cut", "the answer ended early")

    # --- httptools

    def on_message_begin(self) -> None:
        if self._exchange is None:  # a byte behind the end of the answer
            self._reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._begun:
            return  # a trailer: nothing is asked of it, and it must not pass for a header
        self._count += 1
        self._length += len(name) + len(value)
        if self._count <= HEADERS_CAP:
            self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        exchange = self._exchange
        status = self._parser.get_status_code()
        if exchange is None or self._beyond:  # `data_received` refuses it
            return
        if 100 <= status < 200:  # interim: the answer is still to come
            if status == 101:
                self.fail(TransportError("server", "the answer changes the protocol unasked"))
            return
        headers = self._headers
        self._begun = True
        self._until_eof = "content-length" not in headers and "transfer-encoding" not in headers
        exchange.status = status
        exchange.headers = headers
        if headers.get("content-encoding", "").strip().lower() not in _IDENTITY:
            self.fail(TransportError("server", "the answer is compressed although that was not asked for"))
        elif self._bodiless:
            self._exchange = None
            self._complete = True  # the parser waits for a body: it cannot serve again
            exchange.finish()
        elif not exchange.head.done():
            exchange.head.set_result(None)

    def on_body(self, data: bytes) -> None:
        self._other = 0
        if self._exchange is not None:
            self._exchange.push(data)

    def on_message_complete(self) -> None:
        if not self._begun:  # an interim answer
            self._headers = {}
            return
        exchange, self._exchange = self._exchange, None
        if exchange is None:
            return
        self._complete = True
        # Where the request is still being written it was answered early: its rest would be taken for a call.
        self._reusable = self._parser.should_keep_alive() and not self.transport.get_write_buffer_size()
        exchange.resume()
        exchange.finish()


def _watch(fd: int) -> Callable[[], bool]:
    """Asks the kernel whether a socket has something to read, its end included. The loop may not know yet."""
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        return lambda: bool(poll.poll(0))
    return lambda: bool(select.select([fd], [], [], 0)[0])  # Windows, where no fd is too large for it
