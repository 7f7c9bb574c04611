"""Reload: a good workspace replaces the running plan; a bad one is rejected and the old stays."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import weakref
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from ports import free_port
from running import CHAT, HELLO, ROUTES, Running, running, write_workspace
from vendor import Vendor, streams

from engine.control.child import Compiler
from engine.control.compile_child import compile_here
from engine.control.compiled import Compiled, CompileFault
from engine.plan.plan import Plan

BROKEN = ROUTES + "  oops: {start: nobody}\n"
CHANGED = ROUTES.replace("A fixed text.", "Another text.")


@pytest.fixture
async def vendor() -> AsyncIterator[Vendor]:
    async with Vendor() as served:
        yield served


@pytest.fixture
async def sidecar(vendor: Vendor, tmp_path: Path) -> AsyncIterator[Running]:
    async with running(write_workspace(tmp_path / "ws", vendor.port)) as started:
        yield started


def save(sidecar: Running, routes: str) -> None:
    (sidecar.folder / "routes" / "main.yaml").write_text(routes)


async def reload(sidecar: Running) -> tuple[int, dict[str, Any]]:
    answer = await sidecar.client.post("/admin/reload")
    return answer.status_code, answer.json()


async def text(sidecar: Running) -> str:
    told: str = (await sidecar.chat("fixed")).json()["choices"][0]["message"]["content"]
    return told


@contextlib.asynccontextmanager
async def begun(sidecar: Running) -> AsyncIterator[tuple[httpx.Response, AsyncIterator[str]]]:
    """A stream whose first words have come."""
    body = {"model": "one", "messages": HELLO, "stream": True}
    async with sidecar.client.stream("POST", CHAT, json=body) as answer:
        lines = answer.aiter_lines()
        async for line in lines:
            if "Hel" in line:
                break
        yield answer, lines


async def test_a_stream_ends_on_the_plan_it_began_with(sidecar: Running, vendor: Vendor) -> None:
    """In a child process, as in production: once is enough, the other tests compile here."""
    gate = asyncio.Event()
    vendor.answer = streams(gate)
    old = await sidecar.status()
    kept = weakref.ref(sidecar.sidecar.reloader.snapshot)
    async with begun(sidecar) as (answer, lines):
        save(sidecar, CHANGED)
        status, told = await reload(sidecar)
        assert (status, told["result"], told["rejected"]) == (200, "ack", None)
        new = await sidecar.status()
        assert new["revision"] == told["revision"] != old["revision"]
        assert new["since"] > old["since"]
        assert await text(sidecar) == "Another text."
        assert kept() is not None  # the stream holds it
        gate.set()
        rest = [line async for line in lines if line]
    assert answer.headers["x-engine-revision"] == old["revision"]
    assert rest[-1] == "data: [DONE]"
    async with asyncio.timeout(30):
        while kept() is not None:
            gc.collect()
            await asyncio.sleep(0.01)


@pytest.fixture
def compiled_here(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Compiles in this process: tests of what follows a compile need no second interpreter."""
    calls: list[str] = []

    async def compile_quickly(self: Compiler, running: Plan | None, keep: Path | None = None) -> Compiled:
        calls.append(str(self.workspace))
        await asyncio.sleep(0.02)
        return compile_here(self.workspace, self.env)

    monkeypatch.setattr(Compiler, "compile", compile_quickly)
    return calls


async def test_a_broken_file_is_rejected_and_the_fixed_one_taken(
    sidecar: Running, compiled_here: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    good = (await sidecar.status())["revision"]
    save(sidecar, BROKEN)
    status, told = await reload(sidecar)
    assert (status, told["result"], told["revision"]) == (422, "nack", good)
    rejected = (await sidecar.status())["rejected"]
    found = [d for d in rejected["diagnostics"] if d["severity"] == "error"]
    assert rejected["revision"] is None
    place = (found[0]["file"], found[0]["line"], found[0]["column"])
    assert place == ("routes/main.yaml", 11, 17)
    assert await text(sidecar) == "A fixed text."
    metrics = (await sidecar.client.get("/metrics")).text
    assert 'engine_reloads_total{result="nack"} 1.0' in metrics
    assert "engine_plan_rejected 1.0" in metrics
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    logged = [line for line in lines if line["event"] == "reload_nack"]
    assert len(logged) == 1
    assert "routes/main.yaml:11:17" in logged[0]["diagnostics"][0]
    save(sidecar, CHANGED)
    assert (await reload(sidecar))[1]["result"] == "ack"
    assert (await sidecar.status())["rejected"] is None
    assert await text(sidecar) == "Another text."


async def test_going_back_clears_the_rejection(sidecar: Running, compiled_here: list[str]) -> None:
    before = sidecar.sidecar.reloader.snapshot
    save(sidecar, BROKEN)
    await reload(sidecar)
    save(sidecar, ROUTES)
    status, told = await reload(sidecar)
    assert (status, told["result"], told["rejected"]) == (200, "ack", None)
    assert sidecar.sidecar.reloader.snapshot is before


async def test_nothing_new_is_nothing_done(sidecar: Running, compiled_here: list[str]) -> None:
    before = sidecar.sidecar.reloader.snapshot
    save(sidecar, "# a comment changes no plan\n" + ROUTES)
    assert (await reload(sidecar))[1]["result"] == "unchanged"
    assert sidecar.sidecar.reloader.snapshot is before


async def test_an_upstream_that_stays_is_shared(sidecar: Running, compiled_here: list[str]) -> None:
    before = sidecar.sidecar.reloader.snapshot.upstreams["fake"]
    save(sidecar, CHANGED)
    await reload(sidecar)
    assert sidecar.sidecar.reloader.snapshot.upstreams["fake"] is before
    assert (await sidecar.chat()).status_code == 200


async def test_an_address_cannot_change(sidecar: Running, compiled_here: list[str]) -> None:
    save(sidecar, CHANGED)
    (sidecar.folder / "engine.yaml").write_text("listen: 127.0.0.1:9\nstate: memory\n")
    status, told = await reload(sidecar)
    assert status == 422
    assert told["rejected"]["diagnostics"][0]["code"] == "E501"
    assert told["rejected"]["revision"] is not None
    assert await text(sidecar) == "A fixed text."  # never half


async def test_other_settings_follow(sidecar: Running, compiled_here: list[str]) -> None:
    (sidecar.folder / "engine.yaml").write_text("listen: 127.0.0.1:0\nstate: memory\nbody_limit: 1KiB\n")
    await reload(sidecar)
    assert (await sidecar.chat(user="u" * 2000)).status_code == 413


async def test_what_cannot_be_provided_is_rejected(sidecar: Running, compiled_here: list[str]) -> None:
    """A decision log in a place that cannot be written."""
    more = "listen: 127.0.0.1:0\nstate: memory\ndecision_log: routes/main.yaml/log.jsonl\n"
    (sidecar.folder / "engine.yaml").write_text(more)
    status, told = await reload(sidecar)
    assert status == 422
    assert told["rejected"]["diagnostics"][0]["code"] == "E502"
    assert (await sidecar.chat()).status_code == 200


async def test_a_compiler_that_dies_is_a_rejection(sidecar: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    async def dies(self: Compiler, running: Plan | None, keep: Path | None = None) -> Compiled:
        raise CompileFault("the compiler ended with -9")

    monkeypatch.setattr(Compiler, "compile", dies)
    status, told = await reload(sidecar)
    assert (status, told["rejected"]["diagnostics"][0]["code"]) == (422, "E500")
    assert await text(sidecar) == "A fixed text."


async def test_many_ask_and_few_compile(sidecar: Running, compiled_here: list[str]) -> None:
    first = asyncio.create_task(reload(sidecar))
    await asyncio.sleep(0.01)
    save(sidecar, CHANGED)
    ended = await asyncio.gather(first, *(reload(sidecar) for _ in range(20)))
    assert len(compiled_here) <= 3
    assert {told["revision"] for _, told in ended[1:]} == {(await sidecar.status())["revision"]}
    assert await text(sidecar) == "Another text."


async def test_whoever_asked_may_leave(sidecar: Running, compiled_here: list[str]) -> None:
    """The worker that a client asked through may die: those who asked with it still get their reload."""
    reloader = sidecar.sidecar.reloader
    first = asyncio.create_task(reloader.reload("one"))
    while not compiled_here:
        await asyncio.sleep(0)
    leaves, stays = (asyncio.create_task(reloader.reload(why)) for why in ("leaves", "stays"))
    while len(compiled_here) < 2:
        await asyncio.sleep(0)
    save(sidecar, CHANGED)
    leaves.cancel()
    ended = await asyncio.gather(first, leaves, stays, return_exceptions=True)
    assert [getattr(each, "result", None) for each in ended] == ["unchanged", None, "ack"]
    assert await text(sidecar) == "Another text."
    save(sidecar, ROUTES)
    alone = asyncio.create_task(reloader.reload("alone"))
    while len(compiled_here) < 3:
        await asyncio.sleep(0)
    alone.cancel()
    async with asyncio.timeout(10):
        while await text(sidecar) != "A fixed text.":
            await asyncio.sleep(0.01)


async def test_calls_of_an_earlier_plan_say_nothing_of_another_place(
    sidecar: Running, vendor: Vendor, compiled_here: list[str]
) -> None:
    """A deployment moved away from under an open stream. What is known of its new address stays known."""
    gate = asyncio.Event()
    vendor.answer = streams(gate)
    async with begun(sidecar) as (_, lines):
        write_workspace(sidecar.folder, free_port())
        assert (await reload(sidecar))[1]["result"] == "ack"
        async with asyncio.timeout(20):
            while await breaker(sidecar) != "open":
                assert (await sidecar.chat("one")).status_code in (502, 503)
        gate.set()
        assert [line async for line in lines if line][-1] == "data: [DONE]"
    assert await breaker(sidecar) == "open"


async def breaker(sidecar: Running) -> str:
    told: str = (await sidecar.status())["deployments"]["near"]["health"]["breaker"]
    return told


async def test_an_end_of_the_process_ends_a_reload(sidecar: Running, compiled_here: list[str]) -> None:
    """Whoever waits for it is told, and does not hold up the drain."""
    save(sidecar, CHANGED)
    waits = asyncio.create_task(reload(sidecar))
    while not compiled_here:
        await asyncio.sleep(0)
    await sidecar.sidecar.reloader.stop()
    for status, told in (await waits, await reload(sidecar)):
        assert (status, told["error"]["code"]) == (503, "shutting_down")
    assert await text(sidecar) == "A fixed text."


async def test_reloads_under_load_fail_nobody(sidecar: Running, compiled_here: list[str]) -> None:
    stop = asyncio.Event()
    statuses: list[int] = []

    async def ask() -> None:
        while not stop.is_set():
            statuses.append((await sidecar.chat("both")).status_code)

    askers = [asyncio.create_task(ask()) for _ in range(4)]
    for number in range(8):
        save(sidecar, ROUTES.replace("A fixed text.", f"Text {number}."))
        assert (await reload(sidecar))[1]["result"] == "ack"
    stop.set()
    await asyncio.gather(*askers)
    assert len(statuses) > 8
    assert set(statuses) == {200}


@pytest.mark.parametrize("gone", [Path.unlink, lambda file: file.write_text("")], ids=["no file", "empty"])
async def test_the_last_route_is_not_given_up(
    gone: Callable[[Path], None], sidecar: Running, compiled_here: list[str]
) -> None:
    """A volume that is not mounted is an empty folder, a full disk leaves empty files, and both compile."""
    for file in (sidecar.folder / "routes").iterdir():
        gone(file)
    status, told = await reload(sidecar)
    assert (status, told["rejected"]["diagnostics"][0]["code"]) == (422, "E503")
    assert await text(sidecar) == "A fixed text."
    save(sidecar, CHANGED)
    status, told = await reload(sidecar)
    assert (status, told["result"]) == (200, "ack")
    assert told["state"]["deployments"] == {"survive": 2}
    assert await text(sidecar) == "Another text."
