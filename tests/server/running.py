"""Workspaces for the sidecar's tests, and a sidecar that runs in the test's own process."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
from ports import free_port

from engine.control.compile_child import compile_here
from engine.control.compiled import Compiled
from engine.observe.log import Log
from engine.server.drain import drain
from engine.server.sidecar import Options, Sidecar

PROVIDER = """\
dialect: openai_chat
base_url: http://127.0.0.1:{port}/v1
auth: none
residency: on_host
models:
  m-1: {{context: 32k, output: 4k, input_price: $1/M, output_price: $10/M}}
"""

ROUTES = """\
deployments:
  near: {provider: fake, model: m-1}
  gone: {provider: closed, model: m-1}
routes:
  one: near
  both: {start: {fallback: [gone, near]}}
  small: {start: near, admit: {input: 40}}
  fixed: {start: {respond: A fixed text.}}
  shut: {start: gone}
  once: {start: near, retry: {extra: 0}}
"""

CHAT = "/v1/chat/completions"
HELLO = [{"role": "user", "content": "Hello?"}]


def write_workspace(folder: Path, port: int, *, routes: str = ROUTES, settings: str = "") -> Path:
    """A workspace whose provider `fake` is at `port` and whose provider `closed` is nowhere."""
    for name in ("routes", "providers.d"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "engine.yaml").write_text("listen: 127.0.0.1:0\nstate: memory\n" + settings)
    (folder / "providers.d" / "fake.yaml").write_text(PROVIDER.format(port=port))
    (folder / "providers.d" / "closed.yaml").write_text(PROVIDER.format(port=free_port()))
    (folder / "routes" / "main.yaml").write_text(routes)
    return folder


@dataclass
class Running:
    """A started sidecar and a client of it."""

    sidecar: Sidecar
    client: httpx.AsyncClient
    folder: Path

    @property
    def address(self) -> str:
        return self.sidecar.listeners["listen"].address

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    async def chat(self, model: str = "one", **more: Any) -> httpx.Response:
        return await self.client.post(CHAT, json={"model": model, "messages": HELLO, **more})

    async def status(self) -> dict[str, Any]:
        answer = await self.client.get("/admin/status")
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, _, port = self.address.rpartition(":")
        return await asyncio.open_connection(host, int(port))

    async def send_raw(self, data: bytes) -> bytes:
        """Everything that a connection answers to these bytes until it is closed, or says no more."""
        reader, writer = await self.connect()
        writer.write(data)
        got = b""
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(30):
                while piece := await reader.read(65536):
                    got += piece
                    if _complete(got):
                        break
        writer.close()
        return got


def _complete(data: bytes) -> bool:
    head, end, body = data.partition(b"\r\n\r\n")
    for row in head.lower().split(b"\r\n"):
        if row.startswith(b"content-length:"):
            return bool(end) and len(body) >= int(row.split(b":")[1])
    return False


def post(body: dict[str, Any] | bytes, *headers: str, host: str = "localhost", path: str = CHAT) -> bytes:
    """A chat request as bytes."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    rows = [f"POST {path} HTTP/1.1", f"host: {host}", f"content-length: {len(data)}", *headers]
    return "\r\n".join([*rows, "", ""]).encode() + data


@contextlib.asynccontextmanager
async def running(
    folder: Path, *, log: Log | None = None, compiled: Compiled | None = None, **options: Any
) -> AsyncIterator[Running]:
    """The workspace in `folder`, served until the block ends.

    log: instead of the process's own. compiled: what the workspace is, where that is known.
    """
    compiled = compiled or compile_here(folder, options.get("env"))
    assert compiled.plan is not None, compiled.rendered
    assert compiled.settings is not None
    told = Options(folder, watch=False, **options)
    # Vendor, client and compiles share this loop: on a busy machine it is late, and that is no fault here.
    sidecar = Sidecar(told, replace(told.over(compiled.settings), lag_ms=60_000))
    if log is not None:
        sidecar.log = log
    async with sidecar.running(compiled):
        url = f"http://{sidecar.listeners['listen'].address}"
        async with httpx.AsyncClient(base_url=url, timeout=30) as client:
            yield Running(sidecar, client, folder)
        await drain(sidecar.service, list(sidecar.listeners.values()), 0.0, asyncio.Event())
    assert sidecar.host.state.open_leases() == 0
