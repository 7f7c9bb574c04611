"""A company's way out: which calls go through a proxy, and a real one on loopback that they go through."""

from __future__ import annotations

import asyncio
import base64
import importlib.util
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
import uvloop
from ports import free_port

from engine.upstream.aiohttp_transport import AiohttpTransport
from engine.upstream.choice import default_transport
from engine.upstream.direct_transport import DirectTransport
from engine.upstream.protocol import HttpCall, Transport, TransportError
from engine.upstream.proxies import Proxies

_spec = importlib.util.spec_from_file_location("scripted", Path(__file__).with_name("scripted.py"))
assert _spec is not None
assert _spec.loader is not None
if "scripted" not in sys.modules:
    sys.modules["scripted"] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules["scripted"])
scripted: Any = sys.modules["scripted"]

P, Q = "http://p:3128", "http://q:3128"
BOTH = {"HTTPS_PROXY": P, "HTTP_PROXY": Q}
ROUTES: list[tuple[dict[str, str], str, str | None]] = [
    ({}, "https://api.openai.com/v1", None),
    (BOTH, "https://api.openai.com/v1", P),
    (BOTH, "http://api.openai.com/v1", Q),
    ({"HTTPS_PROXY": P}, "http://api.openai.com/v1", None),
    ({"ALL_PROXY": P}, "http://api.openai.com/v1", P),
    ({"ALL_PROXY": P, "HTTPS_PROXY": Q}, "https://api.openai.com/v1", Q),
    ({"https_proxy": P, "HTTPS_PROXY": Q}, "https://api.openai.com/v1", P),
    ({"HTTPS_PROXY": " "}, "https://api.openai.com/v1", None),
    ({"HTTPS_PROXY": "p:3128"}, "https://api.openai.com/v1", P),
    ({"HTTP_PROXY": Q, "REQUEST_METHOD": "GET"}, "http://api.openai.com/v1", None),
    *[
        (BOTH, f"http://{host}:8000/v1", None)
        for host in ("localhost", "LOCALHOST", "127.0.0.1", "127.8.8.8", "[::1]")
    ],
    *[
        ({**BOTH, "NO_PROXY": without}, "https://llm.corp.example/v1", None)
        for without in (
            "*",
            "llm.corp.example",
            ".corp.example",
            "corp.example",
            "*.corp.example",
            "x, LLM.Corp.Example ,y",
            "llm.corp.example:443",
        )
    ],
    *[
        ({**BOTH, "NO_PROXY": without}, "https://llm.corp.example/v1", P)
        for without in ("", " , ", "rp.example", "corp", "llm.corp.example:8443", "10.0.0.0/8", ".", "api.x")
    ],
    ({**BOTH, "NO_PROXY": "10.0.0.0/8"}, "http://10.1.2.3/v1", None),
    ({**BOTH, "NO_PROXY": "10.0.0.0/8"}, "http://11.1.2.3/v1", Q),
    ({**BOTH, "NO_PROXY": "fd00::/8"}, "http://[fd00::7]:80/v1", None),
    ({**BOTH, "NO_PROXY": "[fd00::7]:81"}, "http://[fd00::7]:80/v1", Q),
    (BOTH, "nonsense", None),
    (BOTH, "http://x:99999/", None),
]


@pytest.mark.parametrize(("env", "url", "proxy"), ROUTES)
def test_which_calls_go_through_which_proxy(env: dict[str, str], url: str, proxy: str | None) -> None:
    assert Proxies.of_environment(env).of(url) == proxy


@pytest.mark.parametrize("value", ["socks5://p:1", "http://", "http://p:99999", "ftp://p"])
async def test_a_proxy_that_cannot_be_used(value: str) -> None:
    transport = default_transport({"ALL_PROXY": value})
    with pytest.raises(TransportError, match="ALL_PROXY") as caught:
        await transport.send(HttpCall("POST", "http://vendor.test/", (), b""))
    assert caught.value.failure == "connect"
    await transport.close()


def test_what_people_are_shown() -> None:
    env = {"HTTPS_PROXY": "http://user:pass@p.corp:3128", "HTTP_PROXY": "socks5://user:pass@q:1"}
    shown = Proxies.of_environment(env).shown()
    assert shown == [("HTTPS_PROXY", "http://p.corp:3128", True), ("HTTP_PROXY", "", False)]
    one = Proxies.of_environment({"ALL_PROXY": P}).shown()
    assert one == [("ALL_PROXY", P, True)]


def test_without_a_proxy_aiohttp_is_not_imported() -> None:
    code = (
        "import sys\nfrom engine.upstream.choice import default_transport\n"
        "made = type(default_transport({'NO_PROXY': 'x'})).__name__\n"
        "assert made == 'DirectTransport', made\nassert 'aiohttp' not in sys.modules\n"
        "import engine.control.host\nassert 'aiohttp' not in sys.modules\n"
        "made = type(default_transport({'ALL_PROXY': 'http://p:1'})).__name__\n"
        "assert made == 'AiohttpTransport', made\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


# --- a real proxy ---------------------------------------------------------------------------------------


class Proxy:
    """A forward and CONNECT proxy to whom every host is loopback. `asked`: the first lines it was sent."""

    def __init__(self, password: str | None = None, answer: bytes | None = None) -> None:
        self.asked: list[str] = []
        self._wanted = None if password is None else base64.b64encode(password.encode()).decode()
        self._answer = answer
        self._served: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[int]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            for task in self._served:
                task.cancel()
            await asyncio.wait(self._served)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._served.add(task)
        try:
            await self._pass_on(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()
            await asyncio.sleep(0.01)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        first, *rows = head.decode().split("\r\n")
        self.asked.append(first)
        fields = {name.lower(): value.strip() for name, _, value in (row.partition(":") for row in rows)}
        if self._answer is not None:
            writer.write(self._answer)
            await reader.read()
            return
        if self._wanted is not None and fields.get("proxy-authorization") != f"Basic {self._wanted}":
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")
            return
        method, target, _ = first.split(" ")
        authority = target if method == "CONNECT" else target.split("/")[2]
        there_reader, there = await asyncio.open_connection("127.0.0.1", int(authority.rpartition(":")[2]))
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            there.write(head)
        await asyncio.gather(copy(reader, there), copy(there_reader, writer))


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()


AUTHORITY = trustme.CA()


def vendor(tls: bool) -> Any:
    async def script(c: Any) -> None:
        c.send(scripted.whole(200, b"ok"))

    context = None
    if tls:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        AUTHORITY.issue_cert("vendor.test").configure_cert(context)
    return scripted.Scripted(script, context)


def through(env: dict[str, str]) -> Transport:
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    return AiohttpTransport(context, proxies=Proxies.of_environment(env))


async def asked(transport: Transport, url: str, connect_ms: int = 20_000) -> bytes:
    reply = await transport.send(HttpCall("POST", f"{url}/v1/x", (("x-key", "k-secret"),), b"{}", connect_ms))
    try:
        return await reply.read(100)
    finally:
        await reply.close()


async def _calls(tls: bool) -> None:
    proxy = Proxy("user:pa ss")
    async with proxy.running() as port, vendor(tls) as server:
        scheme = "https" if tls else "http"
        url = f"{scheme}://vendor.test:{server.port}"
        transport = through({"ALL_PROXY": f"http://user:pa%20ss@127.0.0.1:{port}", "NO_PROXY": "direct.test"})
        for _ in range(3):
            assert await asked(transport, url) == b"ok"
        method = f"CONNECT vendor.test:{server.port}" if tls else f"POST {url}/v1/x"
        assert proxy.asked == [f"{method} HTTP/1.1"]
        assert [c.requests for c in server.connections] == [3]
        assert b"x-key: k-secret" in server.connections[0].last
        if tls:
            assert b"proxy-authorization" not in server.connections[0].last.lower()
        else:
            assert await asked(transport, server.url) == b"ok"  # loopback: not by the proxy
            assert len(proxy.asked) == 1
            with pytest.raises(TransportError, match="resolved"):
                await asked(transport, f"http://direct.test:{server.port}")
        await transport.close()
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("runner", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("tls", [False, True])
def test_calls_through_a_proxy(tls: bool, runner: Any) -> None:
    runner(_calls(tls))


TOLD = {
    "no password": (Proxy("user:pass"), "connect", "407"),
    "forbidden": (Proxy(answer=b"HTTP/1.1 403 No\r\ncontent-length: 0\r\n\r\n"), "connect", "403"),
    "no HTTP": (Proxy(answer=b"SSH-2.0-OpenSSH\r\n\r\n"), "server", "not valid HTTP"),
}


@pytest.mark.parametrize("name", list(TOLD))
async def test_a_proxy_that_refuses(name: str) -> None:
    proxy, failure, told = TOLD[name]
    async with proxy.running() as port:
        transport = through({"HTTPS_PROXY": f"http://u:pw@127.0.0.1:{port}"})
        with pytest.raises(TransportError) as caught:
            await asked(transport, "https://vendor.test")
        assert told in str(caught.value)
        assert caught.value.failure == failure
        assert not {"127.0.0.1", str(port), "pw"} & set(str(caught.value).replace(":", " ").split())
        await transport.close()


async def test_a_407_for_a_plain_call_is_the_proxys() -> None:
    async with Proxy("user:pass").running() as port:
        transport = through({"HTTP_PROXY": f"http://127.0.0.1:{port}"})
        with pytest.raises(TransportError, match="407") as caught:
            await asked(transport, "http://vendor.test")
        assert caught.value.failure == "connect"
        await transport.close()


async def test_no_proxy_there() -> None:
    transport = through({"ALL_PROXY": f"http://127.0.0.1:{free_port()}"})
    with pytest.raises(TransportError, match="no connection to the proxy: Connection refused") as caught:
        await asked(transport, "https://vendor.test")
    assert caught.value.failure == "connect"
    await transport.close()


async def test_a_proxy_that_says_nothing() -> None:
    async with Proxy(answer=b"").running() as port, asyncio.timeout(30):
        transport = through({"ALL_PROXY": f"http://127.0.0.1:{port}"})
        with pytest.raises(TransportError, match="in time") as caught:
            await asked(transport, "https://vendor.test", connect_ms=300)
        assert caught.value.failure == "timeout"
        await transport.close()


async def test_the_default_without_a_proxy_is_direct(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    assert isinstance(default_transport(), DirectTransport)
    monkeypatch.setenv("https_proxy", P)
    assert isinstance(default_transport(), AiohttpTransport)
