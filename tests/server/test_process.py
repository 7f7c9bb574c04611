"""`engine serve` as a process: what it prints, how it refuses, how signals and saved files move it."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from running import CHAT, HELLO, ROUTES, write_workspace
from serving import refused, serve
from vendor import Vendor, begins_only, streams

FIXED = {"model": "fixed", "messages": HELLO}
STREAM = {"model": "one", "messages": HELLO, "stream": True}


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=30) as made:
        yield made


async def test_saved_files_are_followed(vendor: Vendor, tmp_path: Path, client: httpx.AsyncClient) -> None:
    folder = write_workspace(tmp_path / "ws", vendor.port)
    routes = folder / "routes" / "main.yaml"
    async with serve(folder) as served:
        assert set(served.hello) == {"listen", "admin", "probes", "revision", "pid"}
        assert served.hello["pid"] == served.process.pid
        first = await served.status(client)
        assert first["revision"] == served.hello["revision"]
        await asyncio.sleep(0.3)  # the watch begins after the first answer
        routes.write_text(ROUTES + "  oops: nobody\n")
        told = await served.until(lambda told: told["rejected"] is not None, client)
        assert told["revision"] == first["revision"]
        error = next(d for d in told["rejected"]["diagnostics"] if d["severity"] == "error")
        assert (error["file"], error["line"]) == ("routes/main.yaml", 11)
        assert (await client.post(served.url + CHAT, json=FIXED)).status_code == 200
        other = routes.with_suffix(".new")
        other.write_text(ROUTES.replace("A fixed text.", "Saved."))
        other.replace(routes)
        told = await served.until(lambda told: told["rejected"] is None, client)
        assert told["revision"] != first["revision"]
        answer = (await client.post(served.url + CHAT, json=FIXED)).json()
        assert answer["choices"][0]["message"]["content"] == "Saved."
        assert told["listeners"] == {"listen": served.hello["listen"]}


#: `engine serve` that is told to reload before it compiles, and dawdles once it has said that it serves.
EARLY = """
import os, signal, sys, time
from engine.cli import main, serve
from engine.control import fingerprint
look, ready = fingerprint.content, serve._ready
def content(root):
    if not asked:
        asked.append(os.kill(os.getpid(), signal.SIGHUP))
    return look(root)
def slowly(sidecar):
    ready(sidecar)
    time.sleep(0.3)
asked, fingerprint.content, serve._ready = [], content, slowly
sys.exit(main.main(["serve", sys.argv[1], "--no-watch"]))
"""


async def test_a_wish_to_reload_never_ends_it(
    vendor: Vendor, tmp_path: Path, client: httpx.AsyncClient
) -> None:
    """Not while it starts, and not the moment it says that it serves."""
    folder = write_workspace(tmp_path / "ws", vendor.port)
    async with serve(folder, program=("-c", EARLY)) as served:
        served.process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(30):
            while "engine_reloads_total" not in (await client.get(f"{served.url}/metrics")).text:
                await asyncio.sleep(0.02)
        served.process.send_signal(signal.SIGTERM)
        assert (await served.ended())[0] == 0


async def test_an_orderly_end(vendor: Vendor, tmp_path: Path, client: httpx.AsyncClient) -> None:
    """The open stream goes on to its end, readiness is gone, and the process ends well."""
    # A drain closes idle connections, so whoever reuses one may find it gone: each question brings its own.
    fresh = httpx.AsyncClient(timeout=30, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))
    gate = asyncio.Event()
    vendor.answer = streams(gate)
    folder = write_workspace(tmp_path / "ws", vendor.port)
    async with fresh, serve(folder, "--no-watch") as served:
        async with client.stream("POST", served.url + CHAT, json=STREAM) as answer:
            lines = answer.aiter_lines()
            async for line in lines:
                if "Hel" in line:
                    break
            served.process.send_signal(signal.SIGTERM)
            ready = await served.draining()
            assert (ready.status_code, ready.json()["error"]["code"]) == (503, "shutting_down")
            assert ready.headers["connection"] == "close"
            late = await fresh.post(served.url + CHAT, json=FIXED)
            assert (late.status_code, late.headers["connection"]) == (200, "close")
            assert (await fresh.get(served.url + "/healthz")).status_code == 200
            gate.set()
            rest = [line async for line in lines if line]
        assert rest[-1] == "data: [DONE]"
        code, errors = await served.ended()
    assert code == 0
    events = [json.loads(line)["event"] for line in errors.splitlines() if line.startswith("{")]
    assert [event for event in events if event != "loop_blocked"] == ["draining"]  # a busy machine blocks it


async def test_the_drain_has_an_end(vendor: Vendor, tmp_path: Path, client: httpx.AsyncClient) -> None:
    """A stream that outlasts it is told so in its own dialect."""
    vendor.answer = begins_only
    folder = write_workspace(tmp_path / "ws", vendor.port, settings="drain: 300ms\n")
    async with serve(folder, "--no-watch") as served:
        async with client.stream("POST", served.url + CHAT, json=STREAM) as answer:
            lines = answer.aiter_lines()
            async for line in lines:
                if "Hel" in line:
                    break
            served.process.send_signal(signal.SIGINT)
            rest = [line async for line in lines if line]
        assert json.loads(rest[-1].removeprefix("data: "))["error"]["code"] == "shutting_down"
        assert (await served.ended())[0] == 0
    await asyncio.wait_for(vendor.connections[-1].closed.wait(), 30)


async def test_a_second_signal_ends_it_at_once(
    vendor: Vendor, tmp_path: Path, client: httpx.AsyncClient
) -> None:
    vendor.answer = begins_only
    folder = write_workspace(tmp_path / "ws", vendor.port)
    async with serve(folder, "--no-watch") as served:
        async with client.stream("POST", served.url + CHAT, json=STREAM) as answer:
            lines = answer.aiter_lines()  # kept: dropping it would close the stream
            async for line in lines:
                if "Hel" in line:
                    break
            served.process.send_signal(signal.SIGTERM)
            await served.draining()
            assert served.process.returncode is None
            served.process.send_signal(signal.SIGTERM)
            code, _ = await served.ended()
        assert code == 1, "a drain that went on to its end is no failure"


async def test_hangup_reloads(vendor: Vendor, tmp_path: Path, client: httpx.AsyncClient) -> None:
    folder = write_workspace(tmp_path / "ws", vendor.port)
    async with serve(folder, "--no-watch") as served:
        (folder / "routes" / "main.yaml").write_text(ROUTES.replace("A fixed text.", "Reloaded."))
        await asyncio.sleep(0.2)
        assert (await served.status(client))["revision"] == served.hello["revision"]
        served.process.send_signal(signal.SIGHUP)
        await served.until(lambda told: told["revision"] != served.hello["revision"], client)


async def test_a_broken_workspace_does_not_start(vendor: Vendor, tmp_path: Path) -> None:
    folder = write_workspace(tmp_path / "ws", vendor.port, routes=ROUTES + "  oops: nobody\n")
    code, errors = await refused(folder)
    assert code == 1
    assert "routes/main.yaml:11:9" in errors
    assert "error[" in errors


async def test_a_taken_port_is_told(vendor: Vendor, tmp_path: Path) -> None:
    folder = write_workspace(tmp_path / "ws", vendor.port)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, errors = await refused(folder, "--listen", f"127.0.0.1:{port}")
    assert (code, "in use" in errors, str(port) in errors) == (2, True, True)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--listen", "0.0.0.0:0"], "client keys"),
        (["--admin", "0.0.0.0:0"], "admin_key"),
        (["--workers", "0"], "at least 1"),
        (["--env", "nowhere"], "E002"),
        (["--listen", "here"], "HOST:PORT"),
    ],
)
async def test_what_it_refuses(arguments: list[str], says: str, vendor: Vendor, tmp_path: Path) -> None:
    code, errors = await refused(write_workspace(tmp_path / "ws", vendor.port), *arguments)
    assert (code, says in errors) == (2, True)


async def test_no_workspace_is_told(tmp_path: Path) -> None:
    code, errors = await refused(tmp_path / "nothing")
    assert (code, "E001" in errors) == (2, True)


async def test_an_empty_engine_yaml_is_valid(
    vendor: Vendor, tmp_path: Path, client: httpx.AsyncClient
) -> None:
    folder = write_workspace(tmp_path / "ws", vendor.port)
    (folder / "engine.yaml").write_text("")
    async with serve(folder, "--listen", "127.0.0.1:0", "--admin", "localhost:0", "--no-watch") as served:
        assert (await client.get(served.url + "/readyz")).status_code == 200
        assert (await client.get(served.url + "/admin/status")).status_code == 404
        assert (await client.get(f"http://{served.hello['admin']}/admin/status")).status_code == 200


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
async def test_it_stays_small_and_without_the_compiler(vendor: Vendor, tmp_path: Path) -> None:
    folder = write_workspace(tmp_path / "ws", vendor.port)
    async with serve(folder) as served, httpx.AsyncClient(timeout=30) as client:
        for _ in range(20):
            assert (await client.post(served.url + CHAT, json=FIXED)).status_code == 200
        assert (await client.get(served.url + "/metrics")).status_code == 200
        pid = served.process.pid
        rows = dict(row.split(":", 1) for row in Path(f"/proc/{pid}/status").read_text().splitlines())
        assert int(rows["VmRSS"].split()[0]) <= 90 * 1024
        mapped = Path(f"/proc/{pid}/maps").read_text()
        assert "pydantic_core" not in mapped
