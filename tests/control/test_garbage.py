"""Nothing of a plan, and nothing of a connection, waits for the collector: it may be told to look away."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
from running import HELLO, ROUTES, Running, post, running, write_workspace
from vendor import Vendor, begins_only, streams

from engine.control import garbage
from engine.control.compile_child import compile_here
from engine.control.provision import provision
from engine.control.retire import retire
from engine.plan.plan import Plan


@pytest.fixture
def no_collector() -> Iterator[None]:
    yield
    gc.enable()


def plan_of(folder: Path, text: str = "A fixed text.") -> Plan:
    routes = ROUTES + "".join(f"  r{n}: near\n" for n in range(300))
    plan = compile_here(write_workspace(folder, 9, routes=routes.replace("A fixed text.", text))).plan
    assert plan is not None
    return plan


async def test_a_plan_is_freed_when_it_is_let_go(tmp_path: Path, no_collector: None) -> None:
    plans = [plan_of(tmp_path), plan_of(tmp_path, "Another.")]
    gc.collect()
    gc.disable()
    old = await provision(plans[0])
    for name in old.plan.manifest.routes:
        old.route(name)
    for name in old.plan.manifest.dialects:
        old.dialect(name)
    gone = [weakref.ref(old), weakref.ref(old.plan)]
    new = await provision(plans[1], previous=old)
    plans.clear()
    new.route("both")
    end = asyncio.create_task(retire(old))
    del old
    await end
    del end
    assert [ref() for ref in gone] == [None, None]
    await new.close()
    assert gc.collect() < 20  # what modules leave that were imported meanwhile; none of three hundred routes


async def test_what_did_not_change_is_not_made_again(tmp_path: Path) -> None:
    old = await provision(plan_of(tmp_path))
    old.route("both")
    old.dialect("openai_chat")
    new = await provision(plan_of(tmp_path, "Another."), previous=old)
    assert new.plan.deployment("near") is old.plan.deployment("near")
    assert new.dialect("openai_chat") is old.dialect("openai_chat")
    assert new.dialects["gemini"] is old.dialects["gemini"]  # bound by neither
    for each in (old, new):
        await each.close()


def test_connections_leave_nothing_behind(tmp_path: Path) -> None:
    """Under the loop that serves in production; asyncio's own has cycles of its own."""
    uvloop = pytest.importorskip("uvloop")
    assert uvloop.run(_connections(tmp_path)) == [0, 0]


async def _connections(tmp_path: Path) -> list[int]:
    found = []
    for ends in (True, False):
        gate = asyncio.Event()
        async with Vendor() as vendor:
            vendor.answer = streams(gate) if ends else begins_only
            folder = write_workspace(tmp_path / str(ends), vendor.port)
            async with running(folder) as sidecar:
                found.append(await _streams(sidecar, gate, end=ends))
    return found


async def _streams(sidecar: Running, gate: asyncio.Event, *, end: bool) -> int:
    """Ten streams, ended or left. How many objects are garbage then."""
    held = [await sidecar.connect() for _ in range(10)]
    for _, writer in held:
        writer.write(post({"model": "one", "messages": HELLO, "stream": True}))
    for reader, _ in held:
        await reader.readuntil(b"Hel")
    gc.collect()
    gc.disable()
    try:
        if end:
            gate.set()
            for reader, _ in held:
                await reader.readuntil(b"[DONE]")
        for _, writer in held:
            writer.transport.abort()
        held.clear()
        del reader, writer
        async with asyncio.timeout(30):
            while sidecar.sidecar.service.open:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        return gc.collect()
    finally:
        gc.enable()


def test_a_large_plan_is_frozen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[int] = []
    monkeypatch.setattr(gc, "freeze", lambda: called.append(1))
    plan = plan_of(tmp_path)
    monkeypatch.setattr(garbage, "LARGE", 1_000)
    garbage.plan_is_live(plan)
    assert called == []
    monkeypatch.setattr(garbage, "LARGE", 5)
    garbage.plan_is_live(plan)
    assert called == [1]


def test_what_is_loaded_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[int] = []
    monkeypatch.setattr(gc, "freeze", lambda: called.append(1))
    gc.collect()
    with garbage.quiet():
        assert not gc.isenabled()
        few: list[list[int]] = [[] for _ in range(100)]
    assert gc.isenabled()
    assert called == []
    with garbage.quiet():
        many: list[list[int]] = [[] for _ in range(garbage.MUCH + 100)]
    assert called == [1]
    assert few
    assert many
    gc.disable()
    with garbage.quiet():
        pass
    assert not gc.isenabled()  # somebody else's doing
    gc.enable()
