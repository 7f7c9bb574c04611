"""`engine serve` as a process, for tests: started, asked, ended."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx


class Served:
    """A sidecar's process."""

    def __init__(self, process: asyncio.subprocess.Process, hello: dict[str, Any]) -> None:
        self.process = process
        self.hello = hello
        self.url = f"http://{hello['listen']}"

    async def status(self, client: httpx.AsyncClient) -> dict[str, Any]:
        told: dict[str, Any] = (await client.get(f"{self.url}/admin/status")).json()
        return told

    async def until(
        self, holds: Callable[[dict[str, Any]], bool], client: httpx.AsyncClient
    ) -> dict[str, Any]:
        """`/admin/status` once it is as wanted; a change of a file takes a compile."""
        async with asyncio.timeout(30):
            while not holds(told := await self.status(client)):
                await asyncio.sleep(0.05)
        return told

    async def draining(self) -> httpx.Response:
        """What `/readyz` says once a signal was heard: two that come before it looks are one."""
        # A drain closes idle connections, so each question brings its own.
        limits = httpx.Limits(max_keepalive_connections=0)
        async with (
            asyncio.timeout(30),
            httpx.AsyncClient(timeout=30, trust_env=False, limits=limits) as fresh,
        ):
            while (ready := await fresh.get(f"{self.url}/readyz")).status_code == 200:
                await asyncio.sleep(0.01)
        return ready

    async def ended(self, seconds: float = 30) -> tuple[int, str]:
        """The exit code and what stood on stderr."""
        _, errors = await asyncio.wait_for(self.process.communicate(), seconds)
        assert self.process.returncode is not None
        return self.process.returncode, errors.decode()


@contextlib.asynccontextmanager
async def serve(
    folder: Path, *options: str, program: tuple[str, ...] = ("-m", "engine", "serve")
) -> AsyncIterator[Served]:
    process = await _start(folder, *options, program=program)
    try:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), 30)
        if not line:
            assert process.stderr is not None
            raise AssertionError((await process.stderr.read()).decode())
        yield Served(process, json.loads(line))
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def _start(
    folder: Path, *options: str, program: tuple[str, ...] = ("-m", "engine", "serve")
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *program,
        str(folder),
        *options,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def refused(folder: Path, *options: str) -> tuple[int, str]:
    """The exit code and the message of a sidecar that does not start."""
    process = await _start(folder, *options)
    out, errors = await asyncio.wait_for(process.communicate(), 30)
    assert out == b""
    assert process.returncode is not None
    return process.returncode, errors.decode()
