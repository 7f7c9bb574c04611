"""Clients that leave (C1 of the fault matrix), wherever their request is, in every format, over sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import pytest
import pytest_asyncio
from caller import FORMATS, Caller, asked, calling
from harness import KEY, Gateway
from pulse import Pulse

from engine.bench.faults.voices import TOKENS

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def started(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FAULTS_KEY", KEY)
        async with calling(tmp_path_factory.mktemp("clients")) as made:
            yield made


#: phase: the route, whether it is streamed, and what is waited for before the client leaves.
PHASES: Final[dict[str, tuple[str, bool, str | None]]] = {
    "before the first byte": ("silent", True, None),
    "inside a stream": ("stalls", True, TOKENS[3].strip()),
    "in a stream that goes on": ("paced", True, TOKENS[3].strip()),
    "a whole answer": ("silent", False, None),
}


@pytest.mark.parametrize(
    ("form", "how"), [(form, "close") for form in FORMATS] + [(form, "reset") for form in list(FORMATS)[:3]]
)
@pytest.mark.parametrize("phase", PHASES)
async def test_c1_a_client_leaves(started: Gateway, phase: str, form: str, how: str) -> None:
    """The upstream is closed within 100 ms, wherever the request was."""
    route, stream, seen = PHASES[phase]
    async with started.baseline(records=1):
        (vendor,) = started.providers
        caller = await Caller.connect(started)
        before = len(vendor.seen)
        caller.ask(route, form, stream=stream)
        upstream = await asked(started, before + 1)
        if seen is not None:
            await caller.until(seen)
        await asyncio.sleep(0.02)
        async with asyncio.timeout(30), Pulse() as pulse:
            caller.leave(how)
            while upstream.closed_at is None:
                await asyncio.sleep(0.002)
            assert pulse.seconds < 0.1
        assert upstream.closed_by == "peer"
    record = started.last()
    assert (record.failure, record.status) == ("cancelled", 499)
    assert record.attempts[-1].failure == "cancelled"
    assert (record.attempts[-1].closed == "settled") is (seen is not None), "what came is paid for"


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("route", ["backoff", "queued", "narrow"])
async def test_c1_a_client_leaves_while_it_waits(started: Gateway, route: str, how: str) -> None:
    """Between two calls, or in a queue, nothing is open upstream; the request ends at once all the same."""
    service, (vendor,) = started.running.sidecar.service, started.providers
    async with started.baseline():
        before = len(vendor.seen)
        first = await Caller.connect(started)
        if route != "backoff":
            first.ask(route)
            await asked(started, before + 1)
        caller = await Caller.connect(started)
        open_before = len(service.open)
        caller.ask(f"backoff-{how}" if route == "backoff" else route)
        if route == "backoff":
            await asked(started, before + 1)
        queues = started.running.sidecar.host.executor.queues
        if route == "backoff":
            await asyncio.sleep(0.1)
        else:
            async with asyncio.timeout(30):
                while not queues.deployments.waiting("queued") + queues.routes.waiting("narrow"):
                    await asyncio.sleep(0.002)
        async with asyncio.timeout(30), Pulse() as pulse:
            caller.leave(how)
            while len(service.open) > open_before:
                await asyncio.sleep(0.002)
            assert pulse.seconds < 0.1
        assert queues.deployments.waiting("queued") + queues.routes.waiting("narrow") == 0
        assert len(vendor.seen) == before + 1, "nobody was asked for one who left"
        assert started.last().status == 499
        first.leave(how)


async def test_c1_a_client_leaves_behind_pipelined_requests(started: Gateway) -> None:
    """The one being answered ends at once, those behind it never begin."""
    (vendor,) = started.providers
    async with started.baseline(records=1):
        before = len(vendor.seen)
        caller = await Caller.connect(started)
        caller.ask("silent")
        caller.ask("ok")
        upstream = await asked(started, before + 1)
        await asyncio.sleep(0.05)
        caller.leave("close")
        async with asyncio.timeout(30):
            while upstream.closed_at is None:
                await asyncio.sleep(0.002)
    assert len(vendor.seen) == before + 1
    assert started.last().failure == "cancelled"
