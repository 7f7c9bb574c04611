"""A client that leaves ends its upstream call within 100 ms, wherever the request was; nothing stays open."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from pulse import Pulse
from running import HELLO, Running, post, running, write_workspace
from vendor import Answer, Vendor, begins_only, silence

from engine.server import departure


@pytest.mark.parametrize(
    ("stream", "answer", "wait_for"),
    [(False, silence, None), (True, silence, None), (True, begins_only, b"Hel")],
    ids=["whole answer", "stream before its first byte", "in the middle of a stream"],
)
async def test_leaving_closes_the_upstream(
    sidecar: Running, vendor: Vendor, stream: bool, answer: Answer, wait_for: bytes | None
) -> None:
    vendor.answer = answer
    reader, writer = await sidecar.connect()
    writer.write(post({"model": "one", "messages": HELLO, "stream": stream}))
    upstream = await vendor.asked()
    if wait_for is not None:
        await asyncio.wait_for(reader.readuntil(wait_for), 30)
    async with Pulse() as pulse:
        writer.close()
        await asyncio.wait_for(upstream.closed.wait(), 30)
        assert pulse.seconds < 0.1
    async with asyncio.timeout(30):
        while sidecar.sidecar.service.open or sidecar.sidecar.reloader.snapshot.users:
            await asyncio.sleep(0.005)
    assert sidecar.sidecar.host.state.open_leases() == 0


async def test_many_leave_and_nothing_stays(sidecar: Running, vendor: Vendor) -> None:
    vendor.answer = begins_only

    async def come_and_go(number: int) -> None:
        _, writer = await sidecar.connect()
        writer.write(post({"model": "one", "messages": HELLO, "stream": number % 2 == 0}))
        await asyncio.sleep(0.001 * number)
        writer.close()

    before = len(asyncio.all_tasks())
    await asyncio.gather(*(come_and_go(number) for number in range(60)))
    async with asyncio.timeout(30):
        while sidecar.sidecar.service.open or len(asyncio.all_tasks()) > before + len(vendor.connections):
            await asyncio.sleep(0.01)
        while sidecar.sidecar.reloader.snapshot.users:
            await asyncio.sleep(0.01)
    assert (await sidecar.client.get("/healthz")).status_code == 200


async def test_a_client_that_takes_nothing_is_let_go(
    vendor: Vendor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Backpressure reaches the vendor, and a reader that has stopped for good does not hold it for ever."""
    monkeypatch.setattr(departure, "TICK_S", 0.05)
    monkeypatch.setattr(departure, "STALL_TICKS", 3)

    async def floods(connection: object) -> None:
        from vendor import begin, event

        begin(connection)  # type: ignore[arg-type] # the vendor's own type
        piece = event({"content": "x" * 8192}) * 8
        for _ in range(400):
            connection.send(piece)  # type: ignore[attr-defined]
            await asyncio.sleep(0)

    vendor.answer = floods
    async with running(write_workspace(tmp_path / "ws", vendor.port)) as started:
        _reader, writer = await started.connect()
        writer.transport.pause_reading()  # type: ignore[attr-defined] # reads nothing from here on
        writer.write(post({"model": "one", "messages": HELLO, "stream": True}))
        upstream = await vendor.asked()
        await asyncio.wait_for(upstream.closed.wait(), 30)
        writer.close()


@pytest.mark.parametrize("stream", [False, True])
async def test_a_deadline_that_nobody_can_meet(sidecar: Running, vendor: Vendor, stream: bool) -> None:
    """C12: 504 at once, and no vendor is asked."""
    answer = await sidecar.client.post(
        "/v1/chat/completions",
        json={"model": "both", "messages": HELLO, "stream": stream},
        headers={"x-engine-timeout-ms": "1"},
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "upstream_timeout")
    assert vendor.bodies == []
    assert sidecar.sidecar.host.state.open_leases() == 0


async def test_a_deadline_of_the_clients(sidecar: Running, vendor: Vendor) -> None:
    vendor.answer = silence
    async with Pulse() as pulse:
        answer = await sidecar.client.post(
            "/v1/chat/completions",
            json={"model": "one", "messages": HELLO},
            headers={"x-engine-timeout-ms": "80"},
        )
        assert pulse.seconds < 0.5
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "upstream_timeout")
