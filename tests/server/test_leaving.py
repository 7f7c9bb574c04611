"""A client that leaves, in every format and every phase: its upstream call ends within 100 ms, nothing stays.

What is measured is the vendor's socket: from the client's close to the end that the vendor sees.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio
from clients import STREAMS, WHOLES
from pulse import Pulse
from running import Running, post, running, write_workspace
from scripted import Connection, whole
from vendor import Answer, Vendor, begin, begins_only, silence

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROUTES = """\
deployments:
  near: {provider: fake, model: m-1}
  cuts: {provider: able, model: m-1}
  full: {provider: fake, model: m-1, concurrent: {most: 1, queue: 10, wait: 10s}}
routes:
  one: near
  patient: {start: near, retry: {extra: 3, backoff: 30s}}
  continued: {start: cuts, retry: {extra: 3, backoff: 30s}, stream: {on_cut: continue}}
  queued: {start: full}
"""

ABLE = """\
dialect: openai_chat
base_url: http://127.0.0.1:{port}/v1
auth: none
residency: on_host
models:
  m-1: {{context: 32k, output: 4k, price: free, can: [prefill, stream]}}
"""


async def fails(connection: Connection) -> None:
    connection.send(whole(500, json.dumps({"error": {"message": "no"}}).encode()))


async def cuts(connection: Connection) -> None:
    begin(connection)
    await asyncio.sleep(0.01)
    connection.end()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def started(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Vendor, Running]]:
    async with Vendor() as vendor:
        assert isinstance(vendor, Vendor)
        folder = write_workspace(tmp_path_factory.mktemp("ws"), vendor.port, routes=ROUTES)
        (folder / "providers.d" / "able.yaml").write_text(ABLE.format(port=vendor.port))
        async with running(folder) as served:
            yield vendor, served


@pytest.fixture
def vendor(started: tuple[Vendor, Running]) -> Vendor:
    started[0].connections.clear()
    started[0].bodies.clear()
    return started[0]


@pytest.fixture
def served(started: tuple[Vendor, Running]) -> Running:
    return started[1]


async def until(condition: Callable[[], bool]) -> float:
    """How long it took, in seconds of this loop."""
    async with asyncio.timeout(30), Pulse() as pulse:
        while not condition():
            await asyncio.sleep(0.001)
        return pulse.seconds


def idle(served: Running) -> bool:
    """Nobody is being answered and nothing is held for anybody."""
    state, snapshot = served.sidecar.host.state, served.sidecar.reloader.snapshot
    return not served.sidecar.service.open and not state.open_leases() and snapshot.users == 0


async def sent(
    served: Running, dialect: str, stream: bool, model: str = "one"
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    path, body = (STREAMS if stream else WHOLES)[dialect]
    reader, writer = await served.connect()
    writer.write(post({"model": model, **body}, path=path.replace("MODEL", model)))
    return reader, writer


PHASES: dict[str, tuple[bool, Answer, bool]] = {
    "before the first byte": (True, silence, False),
    "in the middle of a stream": (True, begins_only, True),
    "while a whole answer is waited for": (False, silence, False),
}


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("dialect", STREAMS)
async def test_the_upstream_is_closed(served: Running, vendor: Vendor, dialect: str, phase: str) -> None:
    stream, vendor.answer, begun = PHASES[phase]
    tasks = len(asyncio.all_tasks())
    reader, writer = await sent(served, dialect, stream)
    upstream = await vendor.asked()
    if begun:
        await asyncio.wait_for(reader.readuntil(b"Hel"), 30)
    async with Pulse() as pulse:
        writer.close()
        await asyncio.wait_for(upstream.closed.wait(), 30)
        assert pulse.seconds < 0.1
    await until(lambda: idle(served) and len(asyncio.all_tasks()) <= tasks)


WAITS: dict[str, tuple[str, Answer, bool]] = {
    "a backoff": ("patient", fails, True),
    "a backoff, for a whole answer": ("patient", fails, False),
    "a backoff before it is gone on": ("continued", cuts, True),
}


@pytest.mark.parametrize("wait", WAITS)
async def test_nobody_waits_for_one_who_left(served: Running, vendor: Vendor, wait: str) -> None:
    model, vendor.answer, stream = WAITS[wait]
    _, writer = await sent(served, "openai_chat", stream, model)
    await until(lambda: bool(vendor.bodies))
    await asyncio.sleep(0.1)
    assert not idle(served)
    asked = len(vendor.bodies)  # one, but for a draw of next to nothing
    writer.close()
    assert await until(lambda: idle(served)) < 0.1
    assert len(vendor.bodies) == asked


async def test_a_place_in_a_queue_is_given_up(served: Running, vendor: Vendor) -> None:
    vendor.answer = silence
    _, first = await sent(served, "openai_chat", True, "queued")
    await vendor.asked()
    _, second = await sent(served, "openai_chat", True, "queued")
    await until(lambda: len(served.sidecar.service.open) == 2)
    await asyncio.sleep(0.03)
    second.close()
    assert await until(lambda: len(served.sidecar.service.open) == 1) < 0.1
    first.close()
    assert await until(lambda: idle(served)) < 0.1
    assert len(vendor.bodies) == 1
