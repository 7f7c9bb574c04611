"""The load: connections that each send the next request when the last answer is whole.

Run as a process of its own (`python -m engine.bench.load`), so that it can have a core of its own;
it prints one JSON line with what it counted.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from dataclasses import asdict, dataclass
from typing import cast
from urllib.parse import urlsplit

from engine.bench.loop import run
from engine.bench.wire import content_length, request


@dataclass(slots=True)
class Counted:
    """What one run of the load saw. Times in ms."""

    requests: int
    failed: int
    events: int
    seconds: float
    per_second: float
    events_per_second: float
    p50: float
    p99: float


class Connection(asyncio.Protocol):
    """One client connection."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._buffer = bytearray()
        self._need: int | None = None  # whole length of the answer; -1 = chunked
        self._sent = 0.0
        self._tail = b""
        self._status = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own class, no subclass of it
        self._send()

    def _send(self) -> None:
        assert self._transport is not None
        self._buffer.clear()
        self._need = None
        self._tail = b""
        self._sent = time.perf_counter()
        self._transport.write(self._load.payload)

    def data_received(self, data: bytes) -> None:
        if self._need == -1:
            self._chunked(data)
            return
        self._buffer += data
        if self._need is None:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = bytes(self._buffer[:end])
            self._status = head[9:12]
            length = content_length(head)
            if length is None:
                self._need = -1
                self._chunked(bytes(self._buffer[end + 4 :]))
                return
            self._need = end + 4 + length
        if len(self._buffer) >= self._need:
            self._done()

    def _chunked(self, data: bytes) -> None:
        self._load.events += data.count(b"data: ")
        tail = (self._tail + data)[-5:]
        self._tail = tail
        if tail == b"0\r\n\r\n":
            self._done()

    def _done(self) -> None:
        load = self._load
        now = time.perf_counter()
        if now >= load.begin:
            load.latencies.append(now - self._sent)
            if self._status != b"200":
                load.failed += 1
        if now < load.end:
            self._send()
        else:
            assert self._transport is not None
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._load.closed(exc)


class Load:
    """All connections of one run."""

    def __init__(self, payload: bytes, connections: int) -> None:
        self.payload = payload
        self.latencies: list[float] = []
        self.failed = 0
        self.events = 0
        self.begin = self.end = float("inf")  # known once all connections are there
        self._open = connections
        self._finished = asyncio.get_running_loop().create_future()

    def closed(self, exc: Exception | None) -> None:
        """A connection ended; one that broke counts as a failure."""
        if exc is not None or time.perf_counter() < self.end:
            self.failed += 1
        self._open -= 1
        if self._open == 0 and not self._finished.done():
            self._finished.set_result(None)

    async def run(self, host: str, port: int, connections: int, seconds: float, warmup: float) -> Counted:
        """Drive the target; `warmup` seconds are not counted."""
        loop = asyncio.get_running_loop()
        for _ in range(connections):
            await loop.create_connection(lambda: Connection(self), host, port)
        self.begin = time.perf_counter() + warmup
        self.end = self.begin + seconds
        await asyncio.sleep(max(0.0, self.begin - time.perf_counter()))
        events = self.events
        await asyncio.sleep(max(0.0, self.end - time.perf_counter()))
        events = self.events - events
        requests = len(self.latencies)
        await asyncio.wait_for(self._finished, 30)
        ordered = sorted(self.latencies[:requests] or [float("nan")])
        return Counted(
            requests=requests,
            failed=self.failed,
            events=events,
            seconds=seconds,
            per_second=requests / seconds,
            events_per_second=events / seconds,
            p50=ordered[len(ordered) // 2] * 1e3,
            p99=ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))] * 1e3,
        )


async def load(
    url: str, *, model: str, connections: int, seconds: float, warmup: float, stream: bool
) -> Counted:
    """Load `url` (http://HOST:PORT) on loopback."""
    parts = urlsplit(url)
    host, port = parts.hostname or "127.0.0.1", parts.port or 80
    payload = request(f"{host}:{port}", model, stream=stream)
    return await Load(payload, connections).run(host, port, connections, seconds, warmup)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m engine.bench.load", description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--model", default="bench")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--warmup", type=float, default=0.3)
    parser.add_argument("--stream", action="store_true")
    args = parser.parse_args()
    counted = run(
        load(
            args.url,
            model=args.model,
            connections=args.connections,
            seconds=args.seconds,
            warmup=args.warmup,
            stream=args.stream,
        )
    )
    print(json.dumps(asdict(counted)), flush=True)


if __name__ == "__main__":
    main()
