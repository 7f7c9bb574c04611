"""Both loops, and a count of what they leave behind."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """Runs a test on a loop; it may leave no socket behind, and nothing that the loop complains about."""
    complaints: list[dict[str, Any]] = []

    async def watched(test: Coroutine[Any, Any, None]) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        async with asyncio.timeout(30):
            await test

    before = _sockets()
    yield lambda test: request.param(watched(test))
    if _sockets() > before:
        gc.collect()
    assert _sockets() <= before
    assert complaints == []


def _sockets() -> int:
    """Open sockets of this process, as the kernel counts them; 0 where it does not tell."""
    fds = Path("/proc/self/fd")
    count = 0
    for fd in fds.iterdir() if fds.exists() else ():
        try:
            count += str(fd.readlink()).startswith("socket:")
        except OSError:  # the folder's own
            continue
    return count
