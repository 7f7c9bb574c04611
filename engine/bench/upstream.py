"""A fake vendor on loopback: one prebuilt answer, whole or streamed, written as cheaply as asyncio can.

A stream request is told by `"stream":true` in its body. `tokens` events follow the first one, one write
each and one a `pace` for every open stream, as a vendor sends them; with `idle` a stream stays open after
its first token until the client leaves, for measuring what an open stream costs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from typing import cast

from engine.bench.loop import run
from engine.bench.wire import (
    STREAM_FIRST,
    STREAM_HEAD,
    STREAM_LAST,
    STREAM_TOKEN,
    WHOLE,
    content_length,
)


class Pacer:
    """Writes one token to every open stream at each tick: one timer, however many streams."""

    def __init__(self, tokens: int, pace: float) -> None:
        self._tokens = tokens
        self._pace = pace
        self._open: dict[asyncio.Transport, int] = {}
        self._ticking = False

    def start(self, transport: asyncio.Transport) -> None:
        """Begin a stream on this connection."""
        self._open[transport] = self._tokens
        if not self._ticking:
            self._ticking = True
            asyncio.get_running_loop().call_later(self._pace, self._tick)

    def stop(self, transport: asyncio.Transport) -> None:
        """The client left."""
        self._open.pop(transport, None)

    def _tick(self) -> None:
        for transport, left in list(self._open.items()):
            if left:
                transport.write(STREAM_TOKEN)
                self._open[transport] = left - 1
            else:
                del self._open[transport]
                transport.write(STREAM_LAST)
        self._ticking = bool(self._open)
        if self._ticking:
            asyncio.get_running_loop().call_later(self._pace, self._tick)


class FakeVendor(asyncio.Protocol):
    """Answers every complete request in order, on one connection."""

    def __init__(self, pacer: Pacer | None) -> None:
        self._buffer = b""
        self._pacer = pacer
        self._transport: asyncio.Transport | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        if self._pacer is not None and self._transport is not None:
            self._pacer.stop(self._transport)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own class, no subclass of it

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        transport = self._transport
        assert transport is not None
        while True:
            end = buffer.find(b"\r\n\r\n")
            if end < 0:
                break
            length = content_length(buffer[:end]) or 0
            if len(buffer) < end + 4 + length:
                break
            body = buffer[end + 4 : end + 4 + length]
            streamed = b'"stream":true' in body or b'"stream": true' in body
            if streamed:
                transport.write(STREAM_HEAD + STREAM_FIRST)
                if self._pacer is not None:
                    self._pacer.start(transport)
                else:
                    transport.write(STREAM_TOKEN)
            else:
                transport.write(WHOLE)
            buffer = buffer[end + 4 + length :]
        self._buffer = buffer


async def serve(port: int, pacer: Pacer | None) -> None:
    """Serve on loopback until stdin closes; print `{"port": N}` once bound."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: FakeVendor(pacer), "127.0.0.1", port, backlog=4096)
    print(json.dumps({"port": server.sockets[0].getsockname()[1], "pid": os.getpid()}), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m engine.bench.upstream", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 = any free port")
    parser.add_argument("--tokens", type=int, default=100, help="content events of a stream")
    parser.add_argument("--pace", type=float, default=1.0, help="ms between the events of a stream")
    parser.add_argument("--idle", action="store_true", help="streams stay open after the first token")
    args = parser.parse_args()
    run(serve(args.port, None if args.idle else Pacer(args.tokens, args.pace / 1e3)))


if __name__ == "__main__":
    main()
