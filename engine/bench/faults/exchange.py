"""One connection of the fault provider, byte for byte, and one request on it.

A `Link` reads requests off a raw socket. An `Exchange` is one of them with what a fault may do: send bytes
(waiting while the peer's socket is full), pause, end the connection, reset it. What happened is kept in a
`Seen`, so that who breaks things can say afterwards what came when, and when the peer hung up.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final, cast

from engine.bench.faults.voices import Voice, prefill, tokens_after, voice_of

#: Most bytes of a head; a request with more is refused by closing.
HEAD_CAP: Final = 256 * 1024


@dataclass(slots=True)
class Seen:
    """One request as the provider saw it. Times are seconds on the loop's clock.

    closed_by: "peer", "us", or None while the connection is open. body: the JSON that came, {} where none.
    """

    number: int
    connection: int
    at: float
    path: str
    model: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: dict[str, Any] = field(default_factory=dict)
    fault: str = ""
    answered: bool = False  # the fault was played to its end
    sent: int = 0
    closed_at: float | None = None
    closed_by: str | None = None

    def as_json(self) -> dict[str, Any]:
        """For `/-/seen`: without headers and text, which may hold keys and prompts."""
        names = ("number", "connection", "at", "path", "model", "fault", "answered", "sent")
        told = {name: getattr(self, name) for name in names}
        told["prefill"] = prefill(self.body) is not None
        return {**told, "closed_at": self.closed_at, "closed_by": self.closed_by}


class Link(asyncio.Protocol):
    """One accepted connection."""

    def __init__(self, serve: Callable[[Link], Coroutine[Any, Any, None]], number: int) -> None:
        self._serve = serve
        self.number = number
        self.requests = 0
        self.seen: Seen | None = None  # of the request that is being answered, or was last
        self.closed = asyncio.Event()
        self.ours = False  # we closed it
        self._buffer = bytearray()
        self._more = asyncio.Event()
        self._eof = False
        self._room = asyncio.Event()
        self._room.set()
        self._task: asyncio.Task[None] | None = None

    # --- the loop's side --------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's own class, no subclass of it
        self._task = asyncio.get_running_loop().create_task(self._serve(self))
        self._task.add_done_callback(self._served)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._more.set()

    def eof_received(self) -> bool:
        self._eof = True
        self._more.set()
        return False

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._room.set()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.seen is not None and self.seen.closed_at is None:
            self.seen.closed_at = asyncio.get_running_loop().time()
            self.seen.closed_by = "us" if self.ours else "peer"
        self.closed.set()
        self._more.set()
        self._room.set()
        if self._task is not None:
            self._task.cancel()

    def _served(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            if not isinstance(error, ConnectionError):
                asyncio.get_running_loop().call_exception_handler(
                    {"message": "a fault failed to play", "exception": error}
                )
            self.abort()

    # --- the faults' side -------------------------------------------------------------------------------

    async def head(self) -> tuple[str, dict[str, str]] | None:
        """The next request's path and headers (names in lower case); None once the peer is gone."""
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if self._eof or self.closed.is_set() or len(self._buffer) > HEAD_CAP:
                return None
            await self._wait()
        rows = bytes(self._buffer[:end]).decode("latin-1").split("\r\n")
        del self._buffer[: end + 4]
        headers = {}
        for row in rows[1:]:
            name, _, value = row.partition(":")
            headers[name.strip().lower()] = value.strip()
        words = rows[0].split(" ")
        return (words[1] if len(words) > 1 else "/"), headers

    async def body(self, headers: dict[str, str]) -> bytes:
        """The request's body, of the length that its headers say."""
        length = int(headers.get("content-length", "0"))
        while len(self._buffer) < length and not self._eof and not self.closed.is_set():
            await self._wait()
        data = bytes(self._buffer[:length])
        del self._buffer[:length]
        return data

    async def _wait(self) -> None:
        self._more.clear()
        await self._more.wait()

    async def send(self, data: bytes) -> None:
        """Write, and wait while the peer does not read. Raises ConnectionResetError once it is gone."""
        if self.closed.is_set() or self.transport.is_closing():
            raise ConnectionResetError("the peer is gone")
        if self.seen is not None:
            self.seen.sent += len(data)
        self.transport.write(data)
        await self._room.wait()

    def end(self) -> None:
        """Close after what was written: a FIN."""
        self.ours = True
        self.transport.close()

    def abort(self) -> None:
        """Close with a RST."""
        self.ours = True
        sock = self.transport.get_extra_info("socket")
        if sock is not None:
            with contextlib.suppress(OSError, ValueError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


class Exchange:
    """A request that is being answered; `play` of a fault gets one.

    left: the tokens of the text that the answer has to bring. since_first: seconds since this script's first
    request. turn: how often the script was asked before. quicker: by how much all pauses are shortened.
    pace: seconds between two tokens.
    """

    def __init__(
        self, link: Link, seen: Seen, *, turn: int, since_first: float, quicker: float, pace: float = 0.0
    ) -> None:
        self.link = link
        self.seen = seen
        self.turn = turn
        self.since_first = since_first
        self.quicker = quicker
        self.pace = pace
        self.model = seen.model
        self.voice: Voice = voice_of(seen.path)
        self.streamed = bool(seen.body.get("stream"))
        self.prefill = prefill(seen.body)
        self.left = tokens_after(self.prefill)
        self.trap = ""  # where a redirect leads

    @property
    def wants_usage(self) -> bool:
        """Whether a stream of it brings usage: OpenAI's only where the client asks."""
        options = self.seen.body.get("stream_options")
        return not isinstance(options, dict) or bool(options.get("include_usage"))

    async def send(self, data: bytes) -> None:
        """Bytes as they are."""
        await self.link.send(data)

    async def chunk(self, data: bytes) -> None:
        """Bytes as one chunk of a chunked body."""
        await self.link.send(chunk(data))

    async def last_chunk(self) -> None:
        """The end of a chunked body."""
        await self.link.send(b"0\r\n\r\n")

    async def head(self, status: int = 200, kind: str = "text/event-stream", *more: str) -> None:
        """A status line and headers of a chunked answer."""
        await self.link.send(head(status, kind, None, *more))

    async def whole(self, status: int, data: bytes, *more: str, kind: str = "application/json") -> None:
        """An answer in one piece."""
        await self.link.send(head(status, kind, len(data), *more) + data)

    async def json(self, status: int, body: Any, *more: str) -> None:
        """An answer of JSON in one piece."""
        await self.whole(status, json.dumps(body).encode(), *more)

    async def refuse(self, status: int, code: str, message: str, *more: str) -> None:
        """An error in the format's own shape."""
        await self.json(status, self.voice.error(status, code, message), *more)

    async def begin(self) -> None:
        """A stream's head and the events before its first token."""
        await self.head()
        await self.chunk(self.voice.begin(self.model))

    async def tokens(self, first: int = 0, last: int | None = None) -> None:
        """Tokens of what is left, each an event of its own."""
        for text in self.left[first:last]:
            await self.chunk(self.voice.token(text, self.model))
            if self.pace:
                await self.pause(self.pace)

    async def finish(self) -> None:
        """Finish, usage, sentinel, end of the body."""
        await self.chunk(self.voice.finish(self.model))
        await self.counts()
        await self.chunk(self.voice.done())
        await self.last_chunk()

    async def counts(self) -> None:
        """The usage event, where the client gets one."""
        if self.wants_usage:
            await self.chunk(self.voice.usage(self.model, len(self.left)))

    async def pause(self, seconds: float) -> None:
        """Let time pass; less of it where the provider was told to be quicker."""
        await asyncio.sleep(seconds * self.quicker)

    async def for_ever(self) -> None:
        """Wait until the peer has gone."""
        await self.link.closed.wait()

    def end(self) -> None:
        """Close the connection with a FIN."""
        self.link.end()

    def reset(self) -> None:
        """Close the connection with a RST."""
        self.link.abort()


def head(status: int, kind: str, length: int | None, *more: str) -> bytes:
    """An answer's status line and headers; chunked where no length is given."""
    rows = [f"HTTP/1.1 {status} Fault", f"content-type: {kind}", *more]
    rows.append("transfer-encoding: chunked" if length is None else f"content-length: {length}")
    return "\r\n".join([*rows, "", ""]).encode("latin-1")


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(data), data)
