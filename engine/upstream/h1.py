"""One HTTP/1.1 client connection on httptools' parser: a call goes out, an `Exchange` comes back.

Sans pool and sans address: `direct_transport.py` has those. An exchange buffers the body between the socket
and its reader, and stops reading the socket while nobody takes from the buffer. When a message is complete
and the connection may serve again, it is handed back before the reader has taken the last bytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Final, cast

import httptools

from engine.upstream.protocol import TransportError

#: Most bytes of status line and headers, and most headers, that an answer may have.
HEAD_CAP: Final = 64 * 1024
HEADERS_CAP: Final = 256
#: Bytes that are buffered for a reader before the socket is left unread.
HIGH_WATER: Final = 128 * 1024

_IDENTITY: Final = frozenset({"", "identity"})


class Exchange:
    """One call's answer: an `HttpReply` once `head` is done."""

    __slots__ = (
        "_buffer", "_cap", "_connection", "_error", "_paused", "_size", "_waiter", "done", "head", "headers",
        "status",
    )  # fmt: skip

    def __init__(self, connection: Connection, loop: asyncio.AbstractEventLoop) -> None:
        self.status = 0
        self.headers: Mapping[str, str] = {}
        #: Done when the headers are there, or failed with a TransportError.
        self.head: asyncio.Future[None] = loop.create_future()
        self.done = False
        self._connection: Connection | None = connection
        self._buffer: list[bytes] = []
        self._size = 0
        self._cap: int | None = None  # while the whole body is read: its limit; reading is then never paused
        self._waiter: asyncio.Future[None] | None = None
        self._error: TransportError | None = None
        self._paused = False

    async def read(self, limit: int) -> bytes:
        """The whole body. Raises TransportError: "cut" at an early end, "server" beyond `limit` bytes."""
        length = self.headers.get("content-length", "")
        self._cap = limit
        if self._size > limit or (length.isdigit() and int(length) > limit):
            raise _too_long(limit)
        self.resume()
        while not self.done:
            await self._more()
        if self._error is not None:
            raise self._error
        return self._take()

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes, what has arrived since the last time in one piece."""
        return self

    def __aiter__(self) -> Exchange:
        return self

    async def __anext__(self) -> bytes:
        while not self._buffer:
            if self._error is not None:
                raise self._error
            if self.done:
                raise StopAsyncIteration
            await self._more()
        data = self._take()
        self.resume()
        return data

    async def close(self) -> None:
        """Close the socket, unless the answer is complete."""
        if self._connection is not None:
            self._connection.abort()

    # --- what the connection calls

    def push(self, data: bytes) -> None:
        """A piece of the body."""
        self._buffer.append(data)
        self._size += len(data)
        if self._cap is not None:
            if self._size > self._cap and self._connection is not None:
                self._connection.fail(_too_long(self._cap))
            return
        if self._size > HIGH_WATER and not self._paused and self._connection is not None:
            self._paused = True
            self._connection.transport.pause_reading()
        self._wake()

    def finish(self, error: TransportError | None = None) -> None:
        """The body is complete, or broken."""
        if self.done:
            return
        self.done = True
        self._error = error
        self._connection = None
        if not self.head.done():
            if error is not None:
                self.head.set_exception(error)
            else:
                self.head.set_result(None)
        self._wake()

    def resume(self) -> None:
        """Read the socket again, where a full buffer had stopped that."""
        if self._paused and self._connection is not None:
            self._paused = False
            self._connection.transport.resume_reading()

    # --- inside

    def _take(self) -> bytes:
        buffer = self._buffer
        data = buffer[0] if len(buffer) == 1 else b"".join(buffer)
        buffer.clear()
        self._size = 0
        return data

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _more(self) -> None:
        waiter = self._waiter = asyncio.get_running_loop().create_future()
        try:
            await waiter
        finally:
            self._waiter = None


def _too_long(limit: int) -> TransportError:
    return TransportError("server", f"the answer is longer than {limit} bytes")


class Connection(asyncio.Protocol):
    """One socket. `free` is called with it when it may serve again; `closed` when it is gone."""

    transport: asyncio.Transport

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        free: Callable[[Connection], None],
        closed: Callable[[Connection], None],
    ) -> None:
        self._loop = loop
        self._free = free
        self._closed = closed
        self._exchange: Exchange | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._headers: dict[str, str] = {}
        self._count = 0
        self._head_bytes = 0
        self._begun = False  # the headers of the answer are there
        self._until_eof = False
        self.idle_since = 0.0

    @property
    def usable(self) -> bool:
        return not self.transport.is_closing()

    def begin(self, head: bytes, body: bytes) -> Exchange:
        """Send a call. The connection must be free."""
        exchange = self._exchange = Exchange(self, self._loop)
        self._headers = {}
        self._count = self._head_bytes = 0
        self._begun = self._until_eof = False
        if len(body) < 65_536:
            self.transport.write(head + body)
        else:
            self.transport.writelines([head, body])
        return exchange

    def abort(self) -> None:
        """Close at once, what is not sent yet unsent."""
        self.fail(TransportError("cut", "the call was given up"))

    def fail(self, error: TransportError) -> None:
        """End the exchange with an error, and the connection with it."""
        exchange, self._exchange = self._exchange, None
        self.transport.abort()
        if exchange is not None:
            exchange.finish(error)

    # --- asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._exchange is None:  # nobody asked: whatever it is, the connection cannot be trusted
            self.transport.abort()
            return
        if not self._begun:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.fail(TransportError("server", "the answer is not valid HTTP"))
            return
        if not self._begun and (self._head_bytes > HEAD_CAP or self._count > HEADERS_CAP):
            self.fail(TransportError("server", "the answer has too many or too long headers"))

    def eof_received(self) -> None:
        """The other side is done: so are we."""

    def connection_lost(self, error: Exception | None) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.finish(self._early_end(error))
        self._closed(self)

    def _early_end(self, error: Exception | None) -> TransportError | None:
        if error is not None:
            return TransportError("cut", "the connection was reset")
        if not self._begun:
            return TransportError("cut", "the connection was closed before the answer began")
        return None if self._until_eof else TransportError("cut", "the answer ended early")

    # --- httptools

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count += 1
        if self._count <= HEADERS_CAP:
            self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        exchange = self._exchange
        status = self._parser.get_status_code()
        if exchange is None or 100 <= status < 200:  # interim: the answer is still to come
            return
        headers = self._headers
        if self._count > HEADERS_CAP:
            return  # `data_received` refuses it
        self._begun = True
        self._until_eof = "content-length" not in headers and "transfer-encoding" not in headers
        exchange.status = status
        exchange.headers = headers
        if headers.get("content-encoding", "").strip().lower() not in _IDENTITY:
            self.fail(TransportError("server", "the answer is compressed although that was not asked for"))
            return
        if not exchange.head.done():
            exchange.head.set_result(None)

    def on_body(self, data: bytes) -> None:
        if self._exchange is not None:
            self._exchange.push(data)

    def on_message_complete(self) -> None:
        if not self._begun:  # an interim answer
            self._headers = {}
            return
        exchange, self._exchange = self._exchange, None
        if exchange is None:
            return
        exchange.resume()
        exchange.finish()
        # Where the request is still being written it was answered early: its rest would be taken for a call.
        if self._parser.should_keep_alive() and not self.transport.get_write_buffer_size():
            self._free(self)
        else:
            self.transport.abort()
