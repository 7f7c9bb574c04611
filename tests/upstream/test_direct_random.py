"""The direct transport at random, by seed: pieces, pauses, cancels and ends at any moment.

Whatever happens, an answer is its call's own and whole, or the failure is the right one; nothing hangs, and
no socket is left.
"""

from __future__ import annotations

import asyncio
import importlib.util
import random
import sys
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from engine.upstream import h1
from engine.upstream.direct_transport import DirectTransport
from engine.upstream.protocol import HttpCall, TransportError

_spec = importlib.util.spec_from_file_location("scripted", Path(__file__).with_name("scripted.py"))
assert _spec is not None
assert _spec.loader is not None
if "scripted" not in sys.modules:
    sys.modules["scripted"] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules["scripted"])
scripted: Any = sys.modules["scripted"]
Scripted, chunk, head, whole = scripted.Scripted, scripted.chunk, scripted.head, scripted.whole

Run = Callable[[Coroutine[Any, Any, None]], None]


def body_of(name: bytes) -> bytes:
    """A body that only this call can have."""
    rng = random.Random(name)
    return name + rng.randbytes(rng.choice([0, 1, 100, 5000, 30_000]))


class Vendor:
    """Answers each call with its own body, framed and split at random; `broken` is what it did not finish."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.broken: set[bytes] = set()

    async def __call__(self, c: Any) -> None:
        rng = self._rng
        name, served = c.last.partition(b"\r\n\r\n")[2], c.requests
        framing = rng.choice(["length", "chunks", "chunks", "end"])
        data = self._framed(framing, body_of(name))
        if rng.random() < 0.15:
            self.broken.add(name)  # before a byte is sent, so that no reader is ahead of it
            data = data[: rng.randrange(len(data))]
        if rng.random() < 0.2:
            data = b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + data
        while data and not c.transport.is_closing():
            size = rng.choice([1, 3, 50, 2000, 100_000])
            c.send(data[:size])
            data = data[size:]
            if len(data) < 300 or rng.random() < 0.3:
                await asyncio.sleep(rng.choice([0, 0, 0.001]))
        if name in self.broken or framing == "end":
            c.end()
        elif rng.random() < 0.1 and c.requests == served and not c.transport.is_closing():
            c.send(b"HTTP/1.1 200 OK\r\n")  # bytes that belong to no call

    def _framed(self, framing: str, body: bytes) -> bytes:
        if framing == "length":
            return bytes(whole(200, body))
        if framing == "end":
            return b"HTTP/1.1 200 OK\r\nx-len: %d\r\n\r\n" % len(body) + body
        data = bytes(head())
        while body:
            size = self._rng.choice([1, 700, 20_000]) if len(body) > 5 else 1
            data += chunk(body[:size])
            body = body[size:]
        return data + b"0\r\n" + self._rng.choice([b"", b"x-sum: 1\r\n"]) + b"\r\n"


async def reading(transport: DirectTransport, url: str, name: bytes, rng: random.Random) -> bytes:
    """One call, read in one of the ways there are, with pauses. Empty: left on the way."""
    reply = await transport.send(HttpCall("POST", url, (), name, 20_000))
    how = rng.choice(["read", "chunks", "pause and read", "leave", "forget"])
    try:
        if how == "pause and read":
            await asyncio.sleep(rng.random() / 100)
        if "read" in how:
            return await reply.read(1 << 20)
        got = b""
        async for data in reply.chunks():
            got += data
            if how != "chunks" and rng.random() < 0.3:
                return b""
            await asyncio.sleep(rng.choice([0, 0.001]))
        wanted = int(reply.headers.get("x-len", len(got)))
        if len(got) < wanted:  # only this header could tell: the body ends with the connection
            raise TransportError("cut", "the answer ended early")
        return got
    finally:
        if how != "forget":
            await reply.close()


@pytest.mark.parametrize("seed", range(4))
def test_anything(run: Run, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(h1, "HIGH_WATER", 4000)
    rng = random.Random(seed)
    seen: Counter[str] = Counter()

    async def one(transport: DirectTransport, vendor: Vendor, url: str, number: int) -> None:
        name = b"call-%06d|" % number
        task = asyncio.ensure_future(reading(transport, url, name, random.Random(f"{seed}/{number}")))
        if rng.random() < 0.2:
            await asyncio.sleep(rng.random() / 100)
            task.cancel()
        try:
            got = await task
        except asyncio.CancelledError:
            seen["cancelled"] += 1
        except TransportError as error:
            # A vendor that broke off, or a stray byte just as the next call was written.
            seen[error.failure] += 1
        else:
            if got == b"":
                seen["left"] += 1
            elif name in vendor.broken:
                assert body_of(name).startswith(got)  # cut short where nothing tells, or in the trailers
                seen["short"] += 1
            else:
                assert got == body_of(name)
                seen["whole"] += 1

    async def test() -> None:
        transport = DirectTransport()
        vendor = Vendor(rng)
        async with Scripted(vendor) as server:
            for start in range(0, 150, 15):
                calls = [one(transport, vendor, server.url, n) for n in range(start, start + 15)]
                await asyncio.gather(*calls)
            await transport.close()
            for connection in server.connections:
                await asyncio.wait_for(connection.closed.wait(), 30)
        assert transport.open == 0

    run(test())
    assert seen["whole"] > 40
    assert seen["cancelled"] > 0
    assert seen.keys() <= {"whole", "short", "left", "cancelled", "cut", "server"}
    assert seen["cut"] + seen["server"] < 75


def test_connections_that_close_as_a_call_is_written(run: Run) -> None:
    """The race that nobody can win: it is always told as `cut`, and never costs an answer or a hang."""
    rng = random.Random(7)
    ends: Counter[str] = Counter()

    async def echo(c: Any) -> None:
        served = c.requests
        c.send(whole(200, c.last.partition(b"\r\n\r\n")[2]))

        def leave() -> None:
            if c.requests == served and not c.closed.is_set():
                rng.choice([c.end, c.reset])()

        asyncio.get_running_loop().call_later(rng.uniform(0.0005, 0.003), leave)

    async def worker(transport: DirectTransport, url: str, number: int) -> None:
        for turn in range(60):
            name = b"%d/%d" % (number, turn)
            try:
                async with asyncio.timeout(30):
                    reply = await transport.send(HttpCall("POST", url, (), name, 20_000))
                    assert await reply.read(99) == name
                ends["whole"] += 1
            except TransportError as error:
                ends[error.failure] += 1
            await asyncio.sleep(rng.uniform(0, 0.003))

    async def test() -> None:
        transport = DirectTransport()
        async with Scripted(echo) as server:
            await asyncio.gather(*[worker(transport, server.url, number) for number in range(10)])
            await transport.close()
            assert len(server.connections) > 30
        await asyncio.sleep(0.01)

    run(test())
    assert ends.keys() <= {"whole", "cut"}
    assert ends.total() == 600
    assert ends["whole"] > 100  # how many a machine that is busy elsewhere lets be in time varies
