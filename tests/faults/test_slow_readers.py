"""Clients that read slowly or not at all (C2 of the fault matrix): the vendor waits, nothing piles up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from caller import Caller
from harness import KEY, Gateway, gateway, provider_file, write_files
from pulse import passed

from engine.server import departure

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Endless(asyncio.Protocol):
    """A vendor that streams as fast as it is read, for ever. `written` counts what the socket took."""

    written = 0
    stopped: asyncio.Event

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._may = asyncio.Event()
        self._may.set()
        self._task: asyncio.Task[None] | None = None
        transport.set_write_buffer_limits(high=64 * 1024)

    def data_received(self, data: bytes) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._stream())

    def pause_writing(self) -> None:
        self._may.clear()

    def resume_writing(self) -> None:
        self._may.set()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._task is not None:
            self._task.cancel()
        type(self).stopped.set()

    async def _stream(self) -> None:
        delta = {"choices": [{"index": 0, "delta": {"content": "word " * 800}, "finish_reason": None}]}
        event = b"data: " + json.dumps(delta).encode() + b"\n\n"
        piece = b"%x\r\n%s\r\n" % (len(event), event)
        self._transport.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        while True:
            self._transport.write(piece)
            type(self).written += len(piece)
            await self._may.wait()
            await asyncio.sleep(0)


@pytest_asyncio.fixture(loop_scope="module")
async def endless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Gateway]:
    """A gateway before an endless vendor."""
    monkeypatch.setenv("FAULTS_KEY", KEY)
    Endless.written, Endless.stopped = 0, asyncio.Event()
    server = await asyncio.get_running_loop().create_server(Endless, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    files = {
        "providers.d/vendor.yaml": provider_file(f"http://127.0.0.1:{port}", {"m": "m"}),
        "routes/main.yaml": {
            "deployments": {"fast": {"provider": "vendor", "model": "m"}},
            "routes": {"fast": "fast"},
        },
    }
    async with gateway(write_files(tmp_path / "ws", files)) as made:
        yield made
    server.close()


@pytest.mark.parametrize("form", ["openai_chat", "anthropic_messages"])
async def test_c2_a_slow_reader_slows_the_vendor(endless: Gateway, form: str) -> None:
    """What is read upstream is what the client takes, and a little in buffers; the rest waits there."""
    async with endless.baseline(records=1):
        caller = await Caller.connect(endless, buffer=4096)
        caller.ask("fast", form, stream=True)
        await caller.until("word")
        written = -1
        async with asyncio.timeout(30):
            while Endless.written != written:  # until nothing moves: every buffer on the way is full
                written = Endless.written
                await passed(0.25)
        http = endless.running.sidecar.listeners["listen"]._http
        held = [each.transport.get_write_buffer_size() for each in http._state.connections]
        assert max(held) <= 256 * 1024
        await caller.reader.readexactly(2048)
        assert Endless.written - written < 64 * 1024
        for _ in range(300):  # it goes on as it is read
            await caller.reader.read(65536)
        async with asyncio.timeout(30):
            while Endless.written == written:
                await caller.reader.read(65536)
        caller.leave("reset")
        await asyncio.wait_for(Endless.stopped.wait(), 30)


async def test_c2_a_client_that_takes_nothing_is_let_go(
    endless: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(departure, "TICK_S", 0.05)
    async with endless.baseline(records=1):
        caller = await Caller.connect(endless, buffer=4096)
        caller.ask("fast", stream=True)
        await asyncio.wait_for(Endless.stopped.wait(), 30)
        caller.leave("close")
    assert endless.last().failure == "cancelled"
