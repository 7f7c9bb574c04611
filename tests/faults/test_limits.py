"""Too few files, too little memory, too little of the processor (P5): refused early, control paths answer."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from served import Served, Streams, serve, workspace

from engine.bench.faults.provider import Provider

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits and /proc are Linux's")


def limit(served: Served, what: int, value: int) -> None:
    _, hard = resource.prlimit(served.pid, what)
    resource.prlimit(served.pid, what, (value, hard))


async def refused_then_served(served: Served, resource_name: str, restore: Any) -> None:
    """Under pressure 503 with Retry-After, nothing else; control paths answer; afterwards all is well."""
    figure = f'engine_shedding{{resource="{resource_name}"}}'
    await served.until(figure, 0.99)
    refused = []
    while len(refused) < 8:
        answers = await asyncio.gather(*(served.chat() for _ in range(8)))
        refused += [answer for answer in answers if answer.status_code == 503]
        # How late a loop is changes from look to look; the others do not.
        assert {answer.status_code for answer in answers} <= ({200, 503} if resource_name == "lag" else {503})
    assert {answer.headers["retry-after"] for answer in refused} == {"1"}
    assert {answer.json()["error"]["code"] for answer in refused} == {"overloaded"}
    assert await served.controls() == [200] * 4
    shed = (await served.metrics())[f'engine_requests_shed_total{{resource="{resource_name}"}}']
    assert shed == len(refused)
    restore()
    await served.until(figure, -1, 0.0)
    assert (await served.chat()).status_code == 200


async def test_p5_file_descriptors(vendor: Provider, tmp_path: Path) -> None:
    streams = Streams()
    async with serve(workspace(tmp_path / "ws", vendor, overload={"files": "50%"})) as served:
        before = resource.prlimit(served.pid, resource.RLIMIT_NOFILE)[0]
        async with served.baseline():
            await streams.open(served, "stalls", 60)
            limit(served, resource.RLIMIT_NOFILE, int(served.files() / 0.93))
            await refused_then_served(served, "files", lambda: limit(served, resource.RLIMIT_NOFILE, before))
            assert served.files() >= 120, "open streams go on"
            await streams.close()


async def test_p5_memory(vendor: Provider, tmp_path: Path) -> None:
    folder = workspace(tmp_path / "ws", vendor, overload={"memory": "50%"})
    async with serve(folder) as served, served.baseline():
        pages = int(Path(f"/proc/{served.pid}/statm").read_text().split()[0])
        limit(served, resource.RLIMIT_AS, int(pages * resource.getpagesize() / 0.93))
        await refused_then_served(
            served, "memory", lambda: limit(served, resource.RLIMIT_AS, resource.RLIM_INFINITY)
        )


async def test_p5_a_neighbour_that_takes_the_processor(vendor: Provider, tmp_path: Path) -> None:
    """The process gets a twentieth of a processor, as beside a busy neighbour: it is stopped and let on."""

    async def starve(pid: int) -> None:
        while True:
            os.kill(pid, signal.SIGSTOP)
            await asyncio.sleep(0.35)
            os.kill(pid, signal.SIGCONT)
            await asyncio.sleep(0.05)

    async with serve(workspace(tmp_path / "ws", vendor, overload={"lag": "60ms"})) as served:
        async with served.baseline():
            neighbour = asyncio.create_task(starve(served.pid))

            def let_on() -> None:
                neighbour.cancel()
                os.kill(served.pid, signal.SIGCONT)

            try:
                await refused_then_served(served, "lag", let_on)
            finally:
                let_on()
        assert (await served.metrics())["engine_loop_blocked_total"] >= 5
