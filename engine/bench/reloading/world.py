"""Everybody around a gateway: the vendor, busy clients, open streams; all raw protocols on one loop.

Nothing is forgiven: an answer that is not 200, a connection that is closed under a client, a stream that ends
before its `[DONE]` are counted, each as what it is.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Final, cast

from engine.bench.wire import (
    STREAM_FIRST,
    STREAM_HEAD,
    STREAM_LAST,
    STREAM_TOKEN,
    WHOLE,
    content_length,
    request,
)

#: An open stream gets a token this often; in so many groups, one after the other.
_PACE_S: Final = 1.0
_GROUPS: Final = 20

_REVISION: Final = b"x-engine-revision: "


@dataclass(slots=True)
class Counts:
    """What clients saw. times: seconds of each answered request."""

    answered: int = 0
    failed: int = 0
    reset: int = 0
    begun: int = 0
    ended: int = 0
    broken: int = 0
    times: list[float] = field(default_factory=list)
    revisions: set[str] = field(default_factory=set)


class Vendor(asyncio.Protocol):
    """Answers at once; its streams go on until `Streams.finish`."""

    def __init__(self, streams: Streams) -> None:
        self._streams = streams
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own class, no subclass of it

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        assert self._transport is not None
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            length = end + 4 + (content_length(self._buffer[:end]) or 0)
            if len(self._buffer) < length:
                return
            asked, self._buffer = self._buffer[end:length], self._buffer[length:]
            if b'"stream":true' in asked or b'"stream": true' in asked:
                self._transport.write(STREAM_HEAD + STREAM_FIRST)
                self._streams.add(self._transport)
            else:
                self._transport.write(WHOLE)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:
            self._streams.remove(self._transport)


class Streams:
    """The vendor's open streams."""

    def __init__(self) -> None:
        self._groups: list[set[asyncio.Transport]] = [set() for _ in range(_GROUPS)]
        self._next = 0
        self._finished = False

    def add(self, transport: asyncio.Transport) -> None:
        self._next += 1
        if self._finished:
            transport.write(STREAM_LAST)
        else:
            self._groups[self._next % _GROUPS].add(transport)

    def remove(self, transport: asyncio.Transport) -> None:
        for group in self._groups:
            group.discard(transport)

    async def pace(self) -> None:
        """Tokens for everybody, until cancelled."""
        while True:
            for group in self._groups:
                await asyncio.sleep(_PACE_S / _GROUPS)
                for transport in group:
                    transport.write(STREAM_TOKEN)

    def finish(self) -> None:
        """Every stream ends well."""
        self._finished = True
        for group in self._groups:
            for transport in group:
                transport.write(STREAM_LAST)
            group.clear()


class Busy(asyncio.Protocol):
    """A client that asks again as soon as it has its answer, over one connection."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._buffer = bytearray()
        self._sent = 0.0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._ask()

    def _ask(self) -> None:
        assert self._transport is not None
        self._buffer.clear()
        self._sent = time.perf_counter()
        self._transport.write(self._clients.whole)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0 or len(self._buffer) < end + 4 + (content_length(bytes(self._buffer[:end])) or 0):
            return
        counts = self._clients.counts
        counts.answered += 1
        counts.times.append(time.perf_counter() - self._sent)
        counts.failed += self._buffer[9:12] != b"200"
        at = self._buffer.find(_REVISION, 0, end)
        if at >= 0:
            start = at + len(_REVISION)
            counts.revisions.add(self._buffer[start : self._buffer.find(b"\r", start)].decode())
        if self._clients.over:
            assert self._transport is not None
            self._transport.close()
        else:
            self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._clients.over:
            self._clients.counts.reset += 1
            self._clients.again()
        self._clients.gone(self)


class Stream(asyncio.Protocol):
    """A client with an open stream."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._tail = b""
        self._begun = self._done = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._clients.stream)

    def data_received(self, data: bytes) -> None:
        if not self._begun:
            self._begun = True
            self._clients.counts.begun += 1
        self._tail = (self._tail + data)[-64:]
        if b"data: [DONE]" in self._tail:
            self._done = True
            self._clients.counts.ended += 1
            assert self._transport is not None
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._clients.counts.broken += not self._done
        self._clients.gone(self)


class Clients:
    """All clients of one gateway."""

    def __init__(self, address: str, model: str) -> None:
        self.counts = Counts()
        self.over = False
        self.whole = request(address, model)
        self.stream = request(address, model, stream=True)
        self._host, _, port = address.rpartition(":")
        self._port = int(port)
        self._open: set[asyncio.Protocol] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def come(self, busy: int, streams: int) -> None:
        """Connect them; back when every stream has begun."""
        for at in range(0, streams, 50):
            await asyncio.gather(*(self._connect(Stream(self)) for _ in range(at, min(streams, at + 50))))
        async with asyncio.timeout(60):
            while self.counts.begun < streams:  # noqa: ASYNC110 - protocols' callbacks count
                await asyncio.sleep(0.01)
        for _ in range(busy):
            await self._connect(Busy(self))

    async def leave(self, streams: Streams) -> None:
        """Streams end, busy clients stop after their answer; back when all are gone."""
        self.over = True
        streams.finish()
        try:
            async with asyncio.timeout(30):
                while self._open:  # noqa: ASYNC110 - a protocol's callbacks empty it
                    await asyncio.sleep(0.01)
        except TimeoutError:
            self.counts.broken += sum(isinstance(each, Stream) for each in self._open)

    def again(self) -> None:
        """A busy client's connection was closed under it; it comes back."""
        task = asyncio.get_running_loop().create_task(self._connect(Busy(self)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def gone(self, client: asyncio.Protocol) -> None:
        self._open.discard(client)

    async def _connect(self, client: asyncio.Protocol) -> None:
        self._open.add(client)
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: client, self._host, self._port)
        except OSError:
            self.counts.failed += 1
            self.gone(client)
