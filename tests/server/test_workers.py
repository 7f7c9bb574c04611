"""`engine serve --workers 2`: one sidecar of several processes, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from running import CHAT, HELLO, ROUTES, write_workspace
from scripted import Connection
from serving import Served, serve
from vendor import Vendor, answers, begins_only, silence, streams

pytestmark = pytest.mark.skipif(os.name != "posix", reason="several workers need a POSIX system")

FIXED = {"model": "fixed", "messages": HELLO}
STREAM = {"model": "one", "messages": HELLO, "stream": True}
TWO = ("--workers", "2", "--no-watch")


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """Every request brings a connection of its own, so that any worker may get it."""
    limits = httpx.Limits(max_keepalive_connections=0, max_connections=200)
    async with httpx.AsyncClient(timeout=30, trust_env=False, limits=limits) as made:
        yield made


async def texts(served: Served, client: httpx.AsyncClient, count: int = 16) -> set[str]:
    """What `count` connections at once are answered."""
    answers = await asyncio.gather(*(client.post(served.url + CHAT, json=FIXED) for _ in range(count)))
    assert {answer.status_code for answer in answers} == {200}
    return {answer.json()["choices"][0]["message"]["content"] for answer in answers}


@contextlib.asynccontextmanager
async def open_streams(served: Served, client: httpx.AsyncClient, count: int) -> AsyncIterator[list[Any]]:
    """Streams that have had their first event."""
    async with contextlib.AsyncExitStack() as stack:
        opened = []
        for _ in range(count):
            answer = await stack.enter_async_context(client.stream("POST", served.url + CHAT, json=STREAM))
            lines = answer.aiter_lines()
            async for line in lines:
                if "Hel" in line:
                    break
            opened.append(lines)
        yield opened


def metric(text: str, name: str) -> float:
    """The sum of a metric's rows."""
    rows = re.findall(rf"^{name}(?:\{{[^}}]*\}})? (\S+)$", text, re.MULTILINE)
    assert rows, f"{name} is not told"
    return sum(map(float, rows))


async def test_both_serve_and_reload_together(
    vendor: Vendor, tmp_path: Path, client: httpx.AsyncClient
) -> None:
    vendor.answer = begins_only
    folder = write_workspace(tmp_path / "ws", vendor.port)
    routes = folder / "routes" / "main.yaml"
    async with serve(folder, *TWO) as served:
        assert await texts(served, client) == {"A fixed text."}
        async with open_streams(served, client, 24):
            told = await served.status(client)
            shares = [worker["in_flight"] for worker in told["workers"]]
            assert (told["in_flight"], sum(shares), min(shares) > 0) == (24, 24, True)
            assert told["deployments"]["near"]["in_flight"] == 24
            text = (await client.get(served.url + "/metrics")).text
            assert (metric(text, "engine_in_flight"), metric(text, "engine_requests_total")) == (24, 16)
            assert metric(text, "engine_workers_up") == 2
        assert [worker["pid"] for worker in told["workers"]] == served.hello["workers"]

        routes.write_text(ROUTES + "  oops: nobody\n")
        refused = await client.post(served.url + "/admin/reload")
        assert (refused.status_code, refused.json()["result"]) == (422, "nack")
        assert await texts(served, client) == {"A fixed text."}
        routes.write_text(ROUTES.replace("A fixed text.", "Another."))
        taken = await client.post(served.url + "/admin/reload")
        assert (taken.status_code, taken.json()["result"]) == (200, "ack")
        assert await texts(served, client) == {"Another."}
        told = await served.status(client)
        assert {worker["revision"] for worker in told["workers"]} == {told["revision"]}
        assert told["revision"] == taken.json()["revision"] != served.hello["revision"]

        routes.write_text(ROUTES.replace("A fixed text.", "By a signal."))
        served.process.send_signal(signal.SIGHUP)
        told = await served.until(lambda told: told["revision"] != taken.json()["revision"], client)
        assert await texts(served, client) == {"By a signal."}


async def test_what_a_worker_cannot_run_is_run_by_none(
    vendor: Vendor, tmp_path: Path, client: httpx.AsyncClient
) -> None:
    folder = write_workspace(tmp_path / "ws", vendor.port)
    (folder / "taken").write_text("a file, so there can be no folder of that name")
    settings, routes = folder / "engine.yaml", folder / "routes" / "main.yaml"
    sound = settings.read_text()
    async with serve(folder, *TWO) as served:
        routes.write_text(ROUTES.replace("A fixed text.", "Another."))
        settings.write_text(sound + "decision_log: taken/log.jsonl\n")
        refused = (await client.post(served.url + "/admin/reload")).json()
        assert [found["code"] for found in refused["rejected"]["diagnostics"]] == ["E502"]
        assert await texts(served, client) == {"A fixed text."}
        settings.write_text(sound + "decision_log: log.jsonl\n")
        assert (await client.post(served.url + "/admin/reload")).json()["result"] == "ack"
        assert await texts(served, client, 8) == {"Another."}
        async with asyncio.timeout(30):
            while len((folder / "log.jsonl").read_text().splitlines()) < 8:
                await asyncio.sleep(0.02)


async def test_a_worker_that_dies_comes_back(
    vendor: Vendor, tmp_path: Path, client: httpx.AsyncClient
) -> None:
    folder = write_workspace(tmp_path / "ws", vendor.port)
    async with serve(folder, *TWO) as served:
        await texts(served, client)
        (folder / "routes" / "main.yaml").write_text(ROUTES.replace("A fixed text.", "Newer."))
        await client.post(served.url + "/admin/reload")
        before = metric((await client.get(served.url + "/metrics")).text, "engine_requests_total")
        first = served.hello["workers"][0]
        os.kill(first, signal.SIGKILL)
        async with asyncio.timeout(30):  # its neighbour takes its connections meanwhile
            told = await served.until(lambda told: told["workers"][0]["pid"] != first, client)
            assert await texts(served, client) == {"Newer."}
        told = await served.until(lambda told: told["workers"][0]["state"] == "up", client)
        assert [worker["restarts"] for worker in told["workers"]] == [1, 0]
        assert {worker["revision"] for worker in told["workers"]} == {told["revision"]}
        assert await texts(served, client) == {"Newer."}
        text = (await client.get(served.url + "/metrics")).text
        assert metric(text, "engine_worker_restarts_total") == 1
        assert metric(text, "engine_requests_total") >= before + 16
        served.process.send_signal(signal.SIGTERM)
        code, errors = await served.ended()
    assert code == 0
    events = [json.loads(line)["event"] for line in errors.splitlines() if line.startswith("{")]
    assert [event for event in events if event.startswith("worker_")] == ["worker_died", "worker_restarted"]


async def test_an_orderly_end_of_all(vendor: Vendor, tmp_path: Path, client: httpx.AsyncClient) -> None:
    """A stop of the whole group, as Ctrl-C makes one: streams of every worker go on to their ends."""
    gate = asyncio.Event()
    vendor.answer = streams(gate)
    folder = write_workspace(tmp_path / "ws", vendor.port)
    async with serve(folder, *TWO) as served:
        async with open_streams(served, client, 8) as opened:
            for pid in (*served.hello["workers"], served.process.pid):
                os.kill(pid, signal.SIGTERM)
            await served.draining()
            gate.set()
            for lines in opened:
                assert [line async for line in lines if line][-1] == "data: [DONE]"
        code, errors = await served.ended()
    assert (code, "worker_died" in errors) == (0, False)


async def test_a_second_signal_ends_all_at_once(
    vendor: Vendor, tmp_path: Path, client: httpx.AsyncClient
) -> None:
    vendor.answer = begins_only
    folder = write_workspace(tmp_path / "ws", vendor.port)
    async with serve(folder, *TWO) as served:
        async with open_streams(served, client, 4):
            served.process.send_signal(signal.SIGTERM)
            await served.draining()
            assert served.process.returncode is None
            served.process.send_signal(signal.SIGTERM)
            assert (await served.ended())[0] == 1
        assert not any(map(psutil.pid_exists, served.hello["workers"]))


async def test_no_worker_outlives_the_supervisor(
    vendor: Vendor, tmp_path: Path, client: httpx.AsyncClient
) -> None:
    """They finish what they were doing, and end."""
    gate = asyncio.Event()
    vendor.answer = streams(gate)
    folder = write_workspace(tmp_path / "ws", vendor.port)
    async with serve(folder, *TWO) as served:
        async with open_streams(served, client, 2) as opened:
            os.kill(served.process.pid, signal.SIGKILL)
            await asyncio.sleep(0.2)
            gate.set()
            for lines in opened:
                assert [line async for line in lines if line][-1] == "data: [DONE]"
        async with asyncio.timeout(30):
            while any(map(psutil.pid_exists, served.hello["workers"])):
                await asyncio.sleep(0.02)


async def test_addresses_of_the_supervisor(vendor: Vendor, tmp_path: Path, client: httpx.AsyncClient) -> None:
    folder = write_workspace(
        tmp_path / "ws", vendor.port, settings="workers: 2\nadmin: 127.0.0.1:0\nprobes: 127.0.0.1:0\n"
    )
    async with serve(folder, "--no-watch") as served:
        admin, probes = f"http://{served.hello['admin']}", f"http://{served.hello['probes']}"
        assert (await client.get(served.url + "/admin/status")).status_code == 404
        told = (await client.get(admin + "/admin/status")).json()
        assert set(told["listeners"]) == {"listen", "admin", "probes"}
        assert (await client.get(admin + "/admin/plan")).json()["revision"] == told["revision"]
        assert metric((await client.get(served.url + "/metrics")).text, "engine_workers_up") == 2
        for url in (served.url, admin, probes):
            assert (await client.get(url + "/readyz")).json()["revision"] == told["revision"]
            assert (await client.get(url + "/readyz?route=one")).status_code == 200
            assert (await client.get(url + "/readyz?route=none")).status_code == 404
        assert (await client.get(probes + "/admin/status")).status_code == 404
        rebound = await client.get(admin + "/admin/status", headers={"host": "evil.example"})
        assert rebound.status_code == 403


PROBED = """\
deployments: {near: {provider: fake, model: m-1, breaker: {of: 6 in 30s}, probe: {every: 50ms, timeout: 1m}}}
routes: {one: near}
"""


async def test_one_probes_for_all(vendor: Vendor, tmp_path: Path, client: httpx.AsyncClient) -> None:
    """Eight failures open a breaker of six in each worker only if each probe counts in both."""
    failing = answers({"error": {"message": "boom", "type": "server_error"}}, 500)

    async def eight_times(connection: Connection) -> None:
        await (failing if len(vendor.bodies) <= 8 else silence)(connection)

    vendor.answer = eight_times
    folder = write_workspace(tmp_path / "ws", vendor.port, routes=PROBED)
    async with serve(folder, *TWO) as served:

        def opened(told: dict[str, Any]) -> bool:
            """A list would be what workers see differently."""
            return bool(told["deployments"]["near"]["health"]["breaker"] == "open")

        await served.until(opened, client)
        assert (await client.post(served.url + CHAT, json=STREAM)).status_code == 503


LOCAL = """\
deployments:
  here: {{provider: onnx, model: canned, path: {path}}}
routes:
  local: here
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts processes in /proc")
async def test_one_model_serves_all(
    vendor: Vendor, canned_model: Path, tmp_path: Path, client: httpx.AsyncClient
) -> None:
    routes = LOCAL.format(path=json.dumps(str(canned_model)))
    folder = write_workspace(tmp_path / "ws", vendor.port, routes=routes)
    body = {"model": "local", "messages": HELLO}
    async with serve(folder, *TWO) as served:
        answers = await asyncio.gather(*(client.post(served.url + CHAT, json=body) for _ in range(8)))
        for answer in answers:
            assert answer.json()["choices"][0]["message"]["content"] == "Hello from the tiny test model."
        (model,) = (await served.status(client))["local_models"]
        assert (model["state"], model["telemetry"]) == ("ready", "off")
        parents = psutil.Process(served.process.pid).children(recursive=True)
        models = [each.pid for each in parents if "engine.local.worker" in each.cmdline()]
        assert models == [model["pid"]]
        assert metric((await client.get(served.url + "/metrics")).text, "engine_local_model_info") == 1

        # Whoever leaves frees the model, through two processes.
        async with client.stream("POST", served.url + CHAT, json={**body, "stream": True}) as left:
            await anext(left.aiter_lines())
        async with asyncio.timeout(30):
            while (await served.status(client))["local_models"][0]["open"]:
                await asyncio.sleep(0.01)

        # A data worker's death leaves the model where it is.
        os.kill(served.hello["workers"][0], signal.SIGKILL)
        told = await served.until(lambda told: told["workers"][0]["restarts"] == 1, client)
        told = await served.until(lambda told: told["workers"][0]["state"] == "up", client)
        assert [each["pid"] for each in told["local_models"]] == [model["pid"]]
        assert (await client.post(served.url + CHAT, json=body)).status_code == 200
        served.process.send_signal(signal.SIGTERM)
        assert (await served.ended())[0] == 0
    assert not psutil.pid_exists(model["pid"])
