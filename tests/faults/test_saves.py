"""Faults of saving (F3, F5 to F8, F11 of the fault matrix): however files change, their last word runs."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from running import CHAT, HELLO, ROUTES, write_workspace
from serving import Served, serve

from engine.bench.reloading.bench import Options, bench
from engine.control import fingerprint, garbage, slices
from engine.control.compile_child import compile_here
from engine.control.compiled import Receiver
from engine.control.provision import provision
from engine.control.retire import retire
from engine.control.watch import changes
from engine.observe.log import Log
from engine.plan.codec import canonical, digest
from engine.plan.plan import Plan
from engine.plan.types import Match, RouteSegment
from engine.upstream.choice import default_transport


class Ask:
    """A sidecar's process that follows its files, and a client of it."""

    def __init__(self, served: Served, client: httpx.AsyncClient, folder: Path) -> None:
        self._served, self.client, self.folder = served, client, folder

    async def text(self) -> str:
        answer = await self.client.post(self._served.url + CHAT, json={"model": "fixed", "messages": HELLO})
        assert answer.status_code == 200, answer.text
        told: str = answer.json()["choices"][0]["message"]["content"]
        return told

    async def until(self, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        return await self._served.until(holds, self.client)

    async def says(self, text: str) -> None:
        """Wait until the fixed answer is this."""
        async with asyncio.timeout(30):
            while await self.text() != text:
                await asyncio.sleep(0.03)

    async def reloads(self, acks: int = 0) -> dict[str, int]:
        """How reloads ended, once so many are counted: a plan answers a moment before it is."""
        async with asyncio.timeout(30):
            while (done := await self._reloads())["ack"] < acks:
                await asyncio.sleep(0.01)
        return done

    async def _reloads(self) -> dict[str, int]:
        rows = (await self.client.get(self._served.url + "/metrics")).text.splitlines()
        found = [row for row in rows if row.startswith("engine_reloads_total{")]
        return {row.split('"')[1]: int(float(row.rpartition(" ")[2])) for row in found}


@pytest.fixture
async def ask(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Ask]:
    folder = write_workspace(tmp_path / "ws", 9, settings=getattr(request, "param", ""))
    async with serve(folder) as served, httpx.AsyncClient(timeout=30) as client:
        made = Ask(served, client, folder)
        await _renamed(
            folder / "routes" / "main.yaml", routes("Begun.")
        )  # once it is seen, the watch listens
        async with asyncio.timeout(30):
            while await made.text() != "Begun.":
                await asyncio.sleep(0.05)
        yield made


def routes(text: str) -> str:
    return ROUTES.replace("A fixed text.", text)


def save(folder: Path, text: str) -> None:
    (folder / "routes" / "main.yaml").write_text(routes(text))


# --- F3: a thousand saves ----------------------------------------------------------------------------------


async def test_of_many_saves_the_last_wins_and_few_compile(ask: Ask) -> None:
    before = sum((await ask.reloads()).values())
    for number in range(300):
        save(ask.folder, f"Save {number}.")  # emptied, then written: between the two a busy machine may pause
        await asyncio.sleep(0.003)
        if number % 30 == 0:
            assert (await ask.text()).startswith(("Begun.", "Save "))
    await ask.says("Save 299.")
    told = await ask.until(lambda told: told["rejected"] is None)
    assert told["revision"]
    assert sum((await ask.reloads()).values()) - before < 60


# --- F5, F8: ways to save ----------------------------------------------------------------------------------


async def _slowly(file: Path, text: str) -> None:
    """Truncated, then written in pieces with pauses shorter than the debounce: no half of it may be seen."""
    with file.open("w") as handle:
        for at in range(0, len(text), 60):
            handle.write(text[at : at + 60])
            handle.flush()
            await asyncio.sleep(0.02)


async def _renamed(file: Path, text: str) -> None:
    other = file.with_name("main.yaml.tmp.1234")
    other.write_text(text)
    other.replace(file)


async def _as_vim(file: Path, text: str) -> None:
    """A swap file, a trial file, the old one moved away, the new one written, the old one removed."""
    swap, backup = file.with_name(".main.yaml.swp"), file.with_name("main.yaml~")
    swap.write_bytes(b"b0VIM 8.2\0")
    (file.parent / "4913").touch()
    (file.parent / "4913").unlink()
    file.rename(backup)
    await asyncio.sleep(0.01)
    file.write_text(text)
    backup.unlink()
    swap.unlink()


async def _as_emacs(file: Path, text: str) -> None:
    lock, auto = file.with_name(".#main.yaml"), file.with_name("#main.yaml#")
    lock.symlink_to("user@host.1234:1600000000")
    auto.write_text(text[:50])
    await _renamed(file, text)
    auto.unlink()
    lock.unlink()


async def _at_the_same_time(file: Path, text: str) -> None:
    stat = file.stat()
    file.write_text(text)
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))


#: A save in steps has to stand still for longer than a busy machine may pause between two of them.
SLOW: Final = "debounce: 400ms\n"


@pytest.mark.parametrize(
    ("how", "ask"),
    [(_slowly, SLOW), (_renamed, ""), (_as_vim, SLOW), (_as_emacs, ""), (_at_the_same_time, SLOW)],
    indirect=["ask"],
)
async def test_every_way_to_save(how: Any, ask: Ask) -> None:
    await how(ask.folder / "routes" / "main.yaml", routes("Saved."))
    await ask.says("Saved.")
    done = await ask.reloads(acks=2)
    assert (done["ack"], done["nack"]) == (2, 0), "a half-written file was compiled"


# --- F6: ConfigMaps ----------------------------------------------------------------------------------------


async def test_a_hundred_swaps_of_a_configmap(tmp_path: Path) -> None:
    """As a kubelet does it: a new folder, `..data_tmp`, renamed over `..data`, the old folder removed."""
    mount = tmp_path / "routes"
    mount.mkdir()

    def swap(number: int) -> None:
        folder = mount / f"..2026_{number}"
        folder.mkdir()
        (folder / "main.yaml").write_text(f"routes: {{r{number}: gpt}}\n")
        old = (mount / "..data").readlink() if number else None
        (mount / "..data_tmp").symlink_to(folder.name)
        (mount / "..data_tmp").replace(mount / "..data")
        if old is not None:
            shutil.rmtree(mount / old)

    swap(0)
    (mount / "main.yaml").symlink_to("..data/main.yaml")
    known = [fingerprint.content(tmp_path)]
    seen = changes(tmp_path, lambda: known[0], Log("error"), settle_s=lambda: 0.002)
    async with contextlib.aclosing(seen):
        for number in range(1, 101):
            waiting = asyncio.ensure_future(anext(seen))
            await asyncio.sleep(0)
            swap(number)
            known[0] = await asyncio.wait_for(waiting, 30)
            assert known[0] == fingerprint.content(tmp_path)


# --- F7: gone, and back ------------------------------------------------------------------------------------


def _deleted(folder: Path, away: Path) -> None:
    (folder / "routes" / "main.yaml").rename(away)


def _unmounted(folder: Path, away: Path) -> None:
    folder.rename(away)
    folder.mkdir()


def _without_a_folder(folder: Path, away: Path) -> None:
    folder.rename(away)


def _a_link_to_nothing(folder: Path, away: Path) -> None:
    file = folder / "routes" / "main.yaml"
    file.rename(away)
    file.symlink_to("nowhere")


@pytest.mark.parametrize("how", [_deleted, _unmounted, _without_a_folder, _a_link_to_nothing])
async def test_what_is_gone_is_told_and_found_again(
    how: Callable[[Path, Path], None], ask: Ask, tmp_path: Path
) -> None:
    away = tmp_path / "away"
    how(ask.folder, away)
    told = await ask.until(lambda told: told["rejected"] is not None)
    found = [d for d in told["rejected"]["diagnostics"] if d["severity"] == "error"]
    assert found[0]["code"] in ("E001", "E005", "E503")
    assert await ask.text() == "Begun."
    if how in (_unmounted, _without_a_folder):
        shutil.rmtree(ask.folder, ignore_errors=True)
        away.rename(ask.folder)
    else:
        away.replace(ask.folder / "routes" / "main.yaml")
    await ask.until(lambda told: told["rejected"] is None)
    assert await ask.text() == "Begun."
    save(ask.folder, "Back.")
    await ask.says("Back.")


# --- F11: a plan a hundred times as large ------------------------------------------------------------------


def large(plan: Plan, count: int, text: str) -> Plan:
    """The plan with `count` more routes, sealed as the compiler would."""
    route = plan.route("both")
    segments = dict(plan.segments)
    names, matches = dict(plan.manifest.routes), list(plan.manifest.matches)
    for number in range(count):
        one = replace(route, name=f"{text}{number}", match=Match(models=(f"{text}{number}",)))
        segment = canonical(RouteSegment(one))
        names[one.name] = digest(segment)
        segments[names[one.name]] = segment
        matches.append((one.name, one.match))
    matches.sort(key=lambda each: each[0])
    return Plan.seal(replace(plan.manifest, routes=names, matches=tuple(matches)), segments)


class Looks:
    """How long the loop worked on one thing, in ms of the processor, whatever else the machine does."""

    def __init__(self) -> None:
        self.worst = 0.0

    @contextlib.asynccontextmanager
    async def looking(self) -> AsyncIterator[None]:
        async def look() -> None:
            while True:
                used = time.thread_time()
                await asyncio.sleep(0)
                self.worst = max(self.worst, (time.thread_time() - used) * 1e3)

        task = asyncio.create_task(look())
        await asyncio.sleep(0)
        yield
        task.cancel()


@pytest.fixture
def collector() -> Iterator[None]:
    """As it was, afterwards."""
    was = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*was)


async def test_twenty_thousand_routes_do_not_hold_up_the_loop(tmp_path: Path, collector: None) -> None:
    """Received, checked, bound, and the one before freed; a slice has 2 ms, a stall would be 100."""
    compiled = compile_here(write_workspace(tmp_path, 9))
    assert compiled.plan is not None
    plans = [large(compiled.plan, 20_000, text) for text in ("a", "b")]
    sent = [b"".join(replace(compiled, plan=plan).frames()) for plan in plans]
    plans.clear()
    transport, looks = default_transport(), Looks()
    # What serves already has been imported, and has its plan.
    running = await provision(compiled.plan, transport=transport)
    garbage.spare()
    async with looks.looking():
        for data in sent:
            receiver = Receiver(running.plan.segments)
            for at in range(0, len(data), 1 << 18):
                await slices.run(receiver.feed(data[at : at + (1 << 18)]))
            await slices.run(receiver.finish())
            plan = receiver.result().plan
            assert plan is not None
            del receiver
            old, running = running, await provision(plan, transport=transport, previous=running)
            garbage.plan_is_live(plan)
            end = asyncio.create_task(retire(old))
            del old
            await end
    assert looks.worst < 20
    assert running.matcher.find("b7", "chat", lambda *_: True) == "b7"
    await running.close()
    await transport.close()


def test_the_benchmark_runs() -> None:
    """`engine bench reload --smoke`: what must be none is none on any machine."""
    report = bench(Options(reloads=4, busy=4, streams=10, smoke=True))
    rows = {row.name: row.value for row in report.rows}
    for name in ("failed", "connections reset", "streams broken", "answers of a plan that was never taken"):
        assert rows[name] == 0, name
    assert rows["not answered, or otherwise than it should be"] == 0
    assert rows["streams that ended whole"] == 10
    assert rows["answered: taken (ACK)"] == 2
    assert report.ok


async def test_a_stop_waits_for_a_body_that_is_coming(tmp_path: Path) -> None:
    async with serve(write_workspace(tmp_path / "ws", 9), "--no-watch") as served:
        host, _, port = served.hello["listen"].rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        body = json.dumps({"model": "fixed", "messages": HELLO}).encode()
        writer.write(b"POST %b HTTP/1.1\r\nhost: localhost\r\n" % CHAT.encode())
        writer.write(b"expect: 100-continue\r\ncontent-length: %d\r\n\r\n" % len(body))
        await asyncio.wait_for(reader.readuntil(b" 100 Continue\r\n\r\n"), 30)
        writer.write(body[:9])
        served.process.terminate()
        await served.draining()
        writer.write(body[9:])
        answer = await asyncio.wait_for(reader.read(), 30)
        writer.close()
        assert answer.startswith(b"HTTP/1.1 200")
        assert (await served.ended())[0] == 0
