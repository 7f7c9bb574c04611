"""`engine serve` as a process of its own, for faults of the process: its limits, its signals, its files."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import httpx
from harness import provider_file, write_files

from engine.bench.faults.provider import Provider

#: The vendor's models, and what each does.
SCRIPTS: Final = {
    "ok": "ok",
    "silent": "silent",
    "stalls": "stall-20",
    "limited": "429-2s,ok",
    "spare": "ok#spare",
}


def workspace(folder: Path, vendor: Provider, **settings: Any) -> Path:
    """Routes to each of them; `settings` are engine.yaml's."""
    deployments: dict[str, Any] = {name: {"provider": "vendor", "model": name} for name in SCRIPTS}
    deployments["narrow"] = {
        "provider": "vendor",
        "model": "silent",
        "concurrent": {"most": 1, "queue": 3, "wait": "300ms"},
    }
    routes: dict[str, Any] = {name: name for name in ("ok", "stalls", "narrow")}
    routes["silent"] = {"start": "silent", "timeout": {"first_token": "150ms"}, "retry": {"extra": 0}}
    routes["paused"] = {"start": {"fallback": ["limited", "spare"]}, "retry": {"extra": 0}}
    files = {
        "engine.yaml": settings,
        "providers.d/vendor.yaml": provider_file(vendor.url, SCRIPTS),
        "routes/main.yaml": {"deployments": deployments, "routes": routes},
    }
    return write_files(folder, files)


class Served:
    """A sidecar's process. Every question has a connection of its own."""

    def __init__(self, process: asyncio.subprocess.Process, hello: dict[str, Any]) -> None:
        self.process = process
        self.hello = hello
        self.url = f"http://{hello['listen']}"
        limits = httpx.Limits(max_keepalive_connections=0)
        self.client = httpx.AsyncClient(base_url=self.url, limits=limits, timeout=30, trust_env=False)

    @property
    def pid(self) -> int:
        return self.process.pid

    def files(self) -> int:
        """Its open file descriptors."""
        return sum(1 for _ in Path(f"/proc/{self.pid}/fd").iterdir())

    async def chat(self, model: str = "ok", **more: Any) -> httpx.Response:
        body = {"model": model, "messages": [{"role": "user", "content": "hi"}], **more}
        return await self.client.post("/v1/chat/completions", json=body)

    async def controls(self) -> list[int]:
        """What the control paths answer."""
        paths = ("/healthz", "/readyz", "/metrics", "/admin/status")
        return [answer.status_code for answer in await asyncio.gather(*map(self.client.get, paths))]

    async def metrics(self) -> dict[str, float]:
        rows = ((await self.client.get("/metrics")).text).splitlines()
        return {
            name: float(value)
            for name, _, value in (row.rpartition(" ") for row in rows if row[:1] not in ("#", ""))
        }

    async def until(self, name: str, least: float = 0.0, most: float = float("inf")) -> float:
        """A figure of /metrics, once it is above `least` and at most `most`."""
        async with asyncio.timeout(30):
            while not least < (value := (await self.metrics()).get(name, -1.0)) <= most:
                await asyncio.sleep(0.05)
        return value

    @contextlib.asynccontextmanager
    async def baseline(self) -> AsyncIterator[int]:
        """Asserts that the block leaves nothing: no request, no call, no task and no file more than before.
        Gives how many requests were made before it.

        What a pool keeps for the next calls, and what is opened once, is there after first ones.
        """
        asked = await self._fill_pools()
        tasks, files = (await self.metrics())["engine_tasks"], self.files()
        yield asked
        end = time.monotonic() + 30
        while True:
            now, held = await self.metrics(), self.files()
            open_calls = sum(value for name, value in now.items() if name.startswith("engine_open_attempts"))
            told = (now["engine_in_flight"], open_calls, now["engine_tasks"] - tasks, held - files)
            if max(told) <= 0:
                return
            assert time.monotonic() < end, f"requests, calls, tasks, files left: {told}"
            await asyncio.sleep(0.05)

    async def _fill_pools(self) -> int:
        """Ask so many at once, and so often, that later calls find connections on both sides: quick answers
        share the first ones. How many were asked.
        """
        most, same, asked = 0, 0, 0
        while same < 5:
            await asyncio.gather(*(self.chat() for _ in range(12)))
            now = self.files()
            most, same, asked = max(most, now), 0 if now > most else same + 1, asked + 12
        return asked

    async def ended(self, seconds: float = 30) -> tuple[int, str]:
        """The exit code and what stood on stderr."""
        _, errors = await asyncio.wait_for(self.process.communicate(), seconds)
        assert self.process.returncode is not None
        return self.process.returncode, errors.decode()


@contextlib.asynccontextmanager
async def serve(folder: Path, *options: str) -> AsyncIterator[Served]:
    process = await start(folder, *options)
    try:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), 40)
        if not line:
            assert process.stderr is not None
            raise AssertionError((await process.stderr.read()).decode())
        served = Served(process, json.loads(line))
        async with served.client:
            yield served
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def start(folder: Path, *options: str) -> asyncio.subprocess.Process:
    """The process, before it has said anything."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "engine", "serve", str(folder), "--no-watch", *options,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


class Streams:
    """Streams that clients hold open, as raw connections."""

    def __init__(self) -> None:
        self.got: list[bytearray] = []
        self._writers: list[asyncio.StreamWriter] = []
        self._readers: list[asyncio.Task[None]] = []

    async def open(self, served: Served, model: str, count: int) -> None:
        """`count` more, each once its first words are there."""
        host, _, port = served.hello["listen"].rpartition(":")
        body = json.dumps({"model": model, "stream": True, "messages": [{"role": "user", "content": "hi"}]})
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n\r\n"

        async def one() -> None:
            reader, writer = await asyncio.open_connection(host, int(port))
            self._writers.append(writer)
            writer.write((head + body).encode())
            got = bytearray(await reader.readuntil(b"content"))
            self.got.append(got)
            self._readers.append(asyncio.create_task(_read(reader, got)))

        for begin in range(0, count, 50):
            async with asyncio.timeout(30):
                await asyncio.gather(*(one() for _ in range(min(50, count - begin))))

    async def ended(self, seconds: float = 30) -> None:
        """All connections were closed by the other side."""
        async with asyncio.timeout(seconds):
            await asyncio.gather(*self._readers)

    async def close(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.gather(*self._readers, return_exceptions=True)


async def _read(reader: asyncio.StreamReader, got: bytearray) -> None:
    with contextlib.suppress(ConnectionError):
        while piece := await reader.read(65536):
            got += piece


def idle(provider: Provider) -> bool:
    """Whether the vendor has no call open."""
    return all(link.closed.is_set() or link.seen is None or link.seen.answered for link in provider.links)
