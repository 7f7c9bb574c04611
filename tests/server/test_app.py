"""The app on its own: mounted in another ASGI app, without a server of ours."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from running import CHAT, HELLO, write_workspace
from vendor import Vendor, streams

from engine.embed import Engine
from engine.server.head import is_loopback_host, read_head
from engine.server.service import AdminKey

App = Callable[..., Awaitable[None]]


def below(prefix: str, app: App) -> App:
    """As Starlette mounts: the path stays whole, `root_path` says what is the mount's."""

    async def mount(scope: MutableMapping[str, Any], receive: object, send: object) -> None:
        await app({**scope, "root_path": prefix}, receive, send)

    return mount


@pytest.mark.parametrize("prefix", ["", "/llm"])
async def test_it_is_mounted(vendor: Vendor, tmp_path: Path, prefix: str) -> None:
    async with Engine.open(write_workspace(tmp_path / "ws", vendor.port)) as engine:
        transport = httpx.ASGITransport(below(prefix, engine.asgi()))
        async with httpx.AsyncClient(transport=transport, base_url=f"http://testserver{prefix}") as client:
            whole = await client.post(CHAT, json={"model": "one", "messages": HELLO})
            assert whole.json()["choices"][0]["message"]["content"] == "Hello!"
            vendor.answer = streams()
            streamed = await client.post(CHAT, json={"model": "one", "messages": HELLO, "stream": True})
            assert streamed.text.strip().endswith("data: [DONE]")
            assert (await client.post(CHAT, content=b"x" * (21 << 20))).status_code == 413
            assert (await client.get("/admin/status")).status_code == 404  # its own app's business
            head = await client.head("/v1/models")
            assert (head.status_code, head.content) == (200, b"")
            metrics = (await client.get("/metrics")).text
            assert 'engine_requests_total{route="one",status="200"} 2.0' in metrics


async def test_the_life_cycle_is_acknowledged(vendor: Vendor, tmp_path: Path) -> None:
    async with Engine.open(write_workspace(tmp_path / "ws", vendor.port)) as engine:
        incoming = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
        sent: list[str] = []

        async def receive() -> dict[str, str]:
            return next(incoming)

        async def send(message: MutableMapping[str, Any]) -> None:
            sent.append(message["type"])

        await engine.asgi()({"type": "lifespan"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


GOOD = [
    b"a",
    b"localhost",
    b"localhost:80",
    b"127.0.0.1:8080",
    b"[::1]:8080",
    b"[::1]",
    b"a-b.example",
    b"a:",
]
BAD = [
    b"",
    b"x/?",
    b"a b",
    b"a\tb",
    b"me@a",
    b"a#b",
    b"a:80:80",
    b"a:x",
    b"[::1",
    b"::1",
    b"a\x00",
    b"http://a",
    b"a,b c",
]


@pytest.mark.parametrize("host", GOOD)
def test_hosts_that_are_ones(host: bytes) -> None:
    assert read_head([(b"host", host)])[b"host"] == host


@pytest.mark.parametrize("host", BAD)
def test_hosts_that_are_none(host: bytes) -> None:
    from engine.errors import RequestError

    with pytest.raises(RequestError, match="Host"):
        read_head([(b"host", host)])


@pytest.mark.parametrize(
    ("host", "here"),
    [
        (b"localhost:1", True),
        (b"127.0.0.1", True),
        (b"127.9.9.9:1", True),
        (b"[::1]:1", True),
        (b"a.localhost", True),
        (b"example.org", False),
        (b"localhost.example.org", False),
        (b"127.0.0.1.nip.io", False),
        (b"10.0.0.1", False),
        (None, False),
    ],
)
def test_names_of_this_machine(host: bytes | None, here: bool) -> None:
    assert is_loopback_host(host) is here


@pytest.mark.parametrize(
    ("shown", "good"),
    [
        (b"Bearer correct-horse-battery", True),
        (b"bearer correct-horse-battery", True),
        (b"Bearer correct-horse-batterz", False),
        (b"Basic correct-horse-battery", False),
        (b"correct-horse-battery", False),
        (b"Bearer", False),
        (b"", False),
        (None, False),
    ],
)
def test_the_admin_key(shown: bytes | None, good: bool) -> None:
    assert AdminKey("correct-horse-battery").accepts(shown) is good
