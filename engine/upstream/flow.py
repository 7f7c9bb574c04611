"""A streamed answer over HTTP, read as it comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Final

from engine.upstream.protocol import Chunk, HttpReply, TransportError
from engine.wire.canonical import CONTENT_EVENTS, Error, Event
from engine.wire.failures import below_http
from engine.wire.stream_reader import StreamReader
from engine.wire.stream_writer import StreamWriter

#: How long, from the moment an answer is whole, what may follow it is waited for: its usage, the sentinel.
TAIL_S: Final = 1.0
#: How long the sentinel alone, once the usage is there as well: it comes at once or never.
SENTINEL_S: Final = 0.25
END_S: Final = 0.05


def transport_failure(deployment: str, error: TransportError) -> Error:
    """A call that failed below HTTP: the client learns whose it was by the name that the plan has for it."""
    told = below_http(error.failure, f"{deployment}: {error}")
    if error.lasting:
        told["should_retry"] = False
    if error.unsent:
        told["unsent"] = True
    return told


class HttpFlow:
    """A `Flow` over one reply. Iterate it once; it closes the socket when it ends.

    deployment: whose it is, for errors.
    ending: ends the client's stream, where the vendor left its own out.
    usage: writes the usage event of a client that asked for it, where the bytes pass through.
    leave: calls off the job behind the stream; called where the stream does not come to its good end.
    """

    def __init__(
        self,
        deployment: str,
        reply: HttpReply,
        reader: StreamReader,
        raw_ok: bool,
        dropped: tuple[str, ...],
        ending: bytes,
        usage: StreamWriter | None = None,
        leave: Callable[[], None] | None = None,
    ) -> None:
        self.raw_ok = raw_ok
        self.dropped = dropped
        self._deployment = deployment
        self._reply = reply
        self._chunks: AsyncIterator[bytes] = reply.chunks()
        self._reader = reader
        self._ending = ending
        self._usage = usage
        self._leave = leave
        self._pending: Chunk | None = None
        self._tail_ends: float | None = None  # on the loop's clock, once the answer is whole
        self._counted = False

    async def begin(self) -> Error | None:
        """Read up to the first event. An error before any content is returned instead of kept."""
        raw: list[bytes] = []
        events: list[Event] = []
        while not events:
            chunk = await self._next()
            events = chunk.events
            raw.append(chunk.raw or b"")
            if self._reader.done:
                break
        for event in events:
            if event["type"] == "error":
                return event["error"]
            if event["type"] in CONTENT_EVENTS:
                break
        self._pending = Chunk(events, b"".join(raw) if self.raw_ok else None, chunk.closing, chunk.unread)
        return None

    def __aiter__(self) -> HttpFlow:
        return self

    async def __anext__(self) -> Chunk:
        pending = self._pending
        if pending is not None:
            self._pending = None
            return pending
        if self._reader.done:
            await self._finish()
            raise StopAsyncIteration
        return await self._next()

    async def close(self) -> None:
        """Stop at once: the upstream's socket is closed."""
        leave, self._leave = self._leave, None
        if leave is not None and (self._reader.failed or not self._reader.done):
            leave()
        await self._reply.close()

    async def _next(self) -> Chunk:
        reader = self._reader
        try:
            data = await (self._tail() if reader.complete else anext(self._chunks, b""))
        except TransportError as error:
            events = reader.fail(transport_failure(self._deployment, error))
        except TimeoutError:  # of the tail: nothing is missing but words about the answer
            events = reader.eof()
        else:
            events = reader.feed(data) if data else reader.eof()
        if not self.raw_ok:
            return Chunk(events, moved=reader.moved)
        if self._usage is not None and events and events[0]["type"] == "start":
            self._usage.events(events[:1])
        if not reader.done or reader.failed:
            return Chunk(events, reader.raw, unread=reader.unread, moved=reader.moved)
        end = b"" if reader.ended else self._ending
        if self._usage is None:
            return Chunk(events, reader.raw + end, unread=reader.unread)
        return Chunk(events, reader.raw, partial(self._closing, self._usage, end), reader.unread)

    async def _tail(self) -> bytes:
        """What follows a whole answer. Raises TimeoutError once it has had its time, however it is cut up."""
        now = asyncio.get_running_loop().time()
        if self._tail_ends is None:
            self._tail_ends = now + TAIL_S
        if self._reader.counted and not self._counted:
            self._counted = True
            self._tail_ends = min(self._tail_ends, now + SENTINEL_S)
        async with asyncio.timeout_at(self._tail_ends):
            return await anext(self._chunks, b"")

    def _closing(self, writer: StreamWriter, end: bytes, usage: Event) -> bytes:
        """The last bytes of a stream that passes through: the usage event, completed, and what follows it."""
        reader = self._reader
        told = writer.usage(usage, reader.usage_data)
        return b"".join([reader.usage_raw if told is None else told, *reader.after, end])

    async def _finish(self) -> None:
        """Give the end of the body a moment to come, so that the connection goes back to its pool."""
        if self._reader.failed:
            await self._reply.close()
            return
        try:
            async with asyncio.timeout(END_S):
                while await anext(self._chunks, b""):
                    pass
        except (TransportError, TimeoutError):
            pass
        await self._reply.close()
