"""A sidecar keeps what it served: in the usage store, told by /admin/status, /metrics and `engine usage`."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from running import Running, running, write_workspace
from vendor import Vendor, streams

from engine.cli.main import main
from engine.control.compile_child import compile_here
from engine.control.recording import Recording
from engine.plan.types import Settings, UsageFile
from engine.usage import writer

KEPT = "usage: {file: u.db}\n"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "AGAIN_S", 0.01)
    monkeypatch.setattr(writer, "GATHER_S", 0.01)


@pytest.fixture
async def kept(vendor: Vendor, tmp_path: Path) -> AsyncIterator[Running]:
    async with running(write_workspace(tmp_path / "ws", vendor.port, settings=KEPT)) as started:
        yield started


async def settled(sidecar: Running, count: int) -> dict:
    async with asyncio.timeout(30):
        while (told := (await sidecar.status())["usage"])["written"] < count:
            await asyncio.sleep(0.01)
    return told


async def test_what_was_served_is_kept(kept: Running, capsys: pytest.CaptureFixture[str]) -> None:
    answers = [await kept.chat("both"), await kept.chat("fixed"), await kept.chat("nothing")]
    assert [answer.status_code for answer in answers] == [200, 200, 404]
    told = await settled(kept, 3)
    assert told == {"file": "u.db", "written": 3, "waiting": 0, "dropped": 0, "failing": None}
    assert main(["usage", str(kept.folder), "--by", "route,deployment", "--format", "json"]) == 0
    rows = {(r["route"], r["deployment"]): r for r in json.loads(capsys.readouterr().out)["rows"]}
    assert {key: (r["requests"], r["calls"], r["failed"]) for key, r in rows.items()} == {
        ("both", "gone"): (0, 2, 0),
        ("both", "near"): (1, 1, 0),
        ("fixed", ""): (1, 0, 0),
        ("", ""): (1, 0, 1),
    }
    paid = round(float(answers[0].headers["x-engine-cost"]) * 1e9)
    assert rows["both", "near"]["cost_nanos"] == paid > 0
    figures = (await kept.client.get("/metrics")).text
    assert "engine_usage_dropped_total 0.0" in figures


async def test_a_stream_is_kept_when_it_has_ended(kept: Running, vendor: Vendor) -> None:
    vendor.answer = streams()
    answer = await kept.chat(stream=True)
    assert "[DONE]" in answer.text
    await settled(kept, 1)
    db = sqlite3.connect(kept.folder / "u.db")
    assert db.execute("SELECT stream, output_tokens > 0, cost_nanos > 0 FROM usage").fetchall() == [(1, 1, 1)]
    db.close()


async def test_nothing_is_served_that_could_not_be_recorded(vendor: Vendor, tmp_path: Path) -> None:
    folder = write_workspace(tmp_path / "ws", vendor.port, settings="usage: {file: u.db, required: true}\n")
    async with running(folder) as sidecar:
        recording = sidecar.sidecar.host.recording
        assert (await sidecar.chat()).status_code == 200
        await settled(sidecar, 1)
        db = sqlite3.connect(folder / "u.db", isolation_level=None)
        recording._now.usage._store._db.execute("PRAGMA busy_timeout = 1")
        db.execute("BEGIN IMMEDIATE")
        assert (await sidecar.chat()).status_code == 200  # nobody knows yet
        async with asyncio.timeout(30):
            while (answer := await sidecar.chat()).status_code == 200:
                await asyncio.sleep(0.02)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert "requests have to be recorded" in answer.text
        assert "locked" in (await sidecar.status())["usage"]["failing"]
        db.execute("COMMIT")
        db.close()
        async with asyncio.timeout(30):
            while (await sidecar.chat()).status_code != 200:
                await asyncio.sleep(0.02)


async def test_a_store_that_nobody_asked_for_keeps_nobody_from_starting(
    vendor: Vendor, tmp_path: Path
) -> None:
    folder = write_workspace(tmp_path / "ws", vendor.port, settings=KEPT)
    (folder / "u.db").mkdir()
    plan = compile_here(folder, None).plan
    assert plan is not None
    settings = plan.manifest.settings
    recording = Recording(folder)
    with pytest.raises(ValueError, match="cannot be the usage store"):
        await recording.open(settings)
    assert settings.usage is not None
    opened = await recording.open(replace(settings, usage=replace(settings.usage, optional=True)))
    assert recording.take(opened) == []
    assert "cannot be the usage store" in recording.status()["failing"]
    await recording.close()


async def test_an_embedded_engine_leaves_no_file_that_nobody_asked_for(tmp_path: Path) -> None:
    asked = UsageFile("u.db", 10**9, 10**9)
    for usage, files in ((replace(asked, optional=True), []), (asked, ["u.db"])):
        recording = Recording(tmp_path, serves=False)
        opened = await recording.open(Settings(usage=usage))
        assert len(recording.take(opened)) == len(files)
        await recording.close()
        assert [path.name for path in tmp_path.iterdir()] == files


async def test_a_reload_keeps_the_store_that_both_plans_name(kept: Running) -> None:
    await kept.chat()
    before = kept.sidecar.host.recording._now.usage
    (kept.folder / "routes" / "main.yaml").write_text(
        "deployments: {near: {provider: fake, model: m-1}}\nroutes: {one: near}\n"
    )
    assert (await kept.client.post("/admin/reload")).json()["result"] == "ack"
    assert kept.sidecar.host.recording._now.usage is before
    settings = (kept.folder / "engine.yaml").read_text()
    (kept.folder / "engine.yaml").write_text(settings.replace("u.db", "v.db"))
    assert (await kept.client.post("/admin/reload")).json()["result"] == "ack"
    await kept.chat()
    assert (await settled(kept, 1))["file"] == "v.db"
