"""Faults of the files (F1, F2, F4, F9, F10 of the fault matrix, and A3): what reloads do to who is served."""

from __future__ import annotations

import asyncio
import gc
import random
import weakref
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from harness import KEY, Gateway, gateway, provider_file, write_files

from engine.bench.faults.provider import Provider
from engine.cli.main import main
from engine.control.child import Compiler
from engine.control.compile_child import compile_here
from engine.control.compiled import Compiled
from engine.plan.plan import Plan

SCRIPTS = {"ok": "ok", "paced": "ok-paced", "slow": "slow-300ms"}


@pytest.fixture
async def vendor(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Provider]:
    monkeypatch.setenv("FAULTS_KEY", KEY)
    async with Provider() as made:
        yield made


@pytest.fixture
async def started(
    vendor: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Gateway]:
    """A gateway whose reloads compile in this process: what follows a compile needs no second interpreter."""

    async def compile_quickly(self: Compiler, running: Plan | None, keep: Path | None = None) -> Compiled:
        await asyncio.sleep(0)
        return compile_here(self.workspace, self.env)

    monkeypatch.setattr(Compiler, "compile", compile_quickly)
    write(tmp_path / "ws", vendor)
    async with gateway(tmp_path / "ws", vendor) as made:
        await made.ask("ok")
        await made.running.client.get("/metrics")  # its connection stays open
        yield made


def write(folder: Path, vendor: Provider, text: str = "one", **more: Any) -> Path:
    routes: dict[str, Any] = {name: name for name in SCRIPTS}
    routes["number"] = {"start": {"respond": text}}
    deployments: dict[str, Any] = {name: {"provider": "vendor", "model": name} for name in SCRIPTS}
    files = {
        "providers.d/vendor.yaml": provider_file(vendor.url, SCRIPTS),
        "routes/main.yaml": {"deployments": deployments, "routes": routes},
        **more,
    }
    return write_files(folder, files)


async def reload(made: Gateway) -> dict[str, Any]:
    told: dict[str, Any] = (await made.running.client.post("/admin/reload")).json()
    return told


async def figures(made: Gateway) -> dict[str, float]:
    rows = (await made.running.client.get("/metrics")).text.splitlines()
    return {
        name: float(value) for name, _, value in (r.rpartition(" ") for r in rows if r[:1] not in ("#", ""))
    }


def errors(told: dict[str, Any]) -> list[dict[str, Any]]:
    return [d for d in told["rejected"]["diagnostics"] if d["severity"] == "error"]


# --- F1, F2: files that are wrong --------------------------------------------------------------------------

WRONG = {
    "F1 not YAML": "routes: {a: [",
    "F1 cut in the middle": '{"deployments": {"ok": {"provider": "vendor", "mod',
    "F1 not text": "routes: \x00\x01",
    "F2 no model": '{"deployments": {"x": {"provider": "vendor", "model": "none"}}, "routes": {"y": "x"}}',
    "F2 no vendor": '{"deployments": {"x": {"provider": "nobody", "model": "ok"}}, "routes": {"x": "x"}}',
    "F2 unknown target": '{"routes": {"x": {"start": {"fallback": ["ok", "nowhere"]}}}}',
    "F2 a cycle": '{"nodes": {"a": {"fallback": ["b"]}, "b": {"fallback": ["a"]}}, "routes": {"x": "a"}}',
    "F2 a literal secret": '{"deployments": {"x": {"provider": "vendor", "model": "ok", '
    '"credentials": {"k": {"secret": "sk-live"}}}}, "routes": {"x": "x"}}',
}


@pytest.mark.parametrize("fault", WRONG)
async def test_a_wrong_file_saved_under_load(
    fault: str, started: Gateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A NACK with its place, told everywhere; nobody who is served notices; nothing is half applied."""
    folder = tmp_path / "ws"
    async with started.baseline():
        before = (await started.running.status())["revision"]
        asking = [
            asyncio.create_task(started.ask("slow" if n % 2 else "paced", stream=n % 3 == 0))
            for n in range(6)
        ]
        await asyncio.sleep(0.05)
        (folder / "routes" / "wrong.yaml").write_text(WRONG[fault])
        told = await reload(started)
        assert (told["result"], told["revision"]) == ("nack", before)
        assert all(found["file"] == "routes/wrong.yaml" and found["line"] for found in errors(told))
        assert (await started.running.status())["rejected"] is not None
        now = await figures(started)
        assert now['engine_reloads_total{result="nack"}'] == 1
        assert now["engine_plan_rejected"] == 1
        got = await asyncio.gather(*asking)
        assert [(each.status, each.ended, each.broken) for each in got] == [(200, True, None)] * 6
        assert {each.headers["x-engine-revision"] for each in got} == {before}
        assert (await started.ask("number")).text == "one"
    assert "sk-live" not in started.log.getvalue() + str(told)
    assert main(["validate", str(folder)]) == 1
    capsys.readouterr()


# --- A3: what is broken never runs -------------------------------------------------------------------------


async def test_broken_mutations_never_change_the_plan(
    started: Gateway, vendor: Provider, tmp_path: Path
) -> None:
    """Three hundred rejections of files that were changed at random."""
    folder = tmp_path / "ws"
    file = folder / "routes" / "main.yaml"
    good, draw, rejected = file.read_text(), random.Random(3), 0
    reloader = started.running.sidecar.reloader
    while rejected < 300:
        file.write_text(mutated(good, draw))
        before = reloader.snapshot
        done = await reloader.reload("test")
        if done.result != "nack":
            continue  # still a workspace
        rejected += 1
        assert reloader.snapshot is before
        found = [d for d in done.diagnostics if d["severity"] == "error"]
        assert found
        for each in found:
            assert each["code"] not in ("E500", "E502"), each
            placed = each["file"] is not None and each["line"] is not None and each["column"] is not None
            assert placed or each["code"] == "E503", each
        if rejected % 50 == 0:
            assert (await started.ask("ok")).status in (200, 404)
    file.write_text(good)
    assert (await reload(started))["rejected"] is None
    assert (await started.ask("number")).text == "one"


STRAY = ("{", "}", "[", "]", ":", ",", '"', "\\", "\t", "\x00", "\u00e9", "null", "- ", "!!python/object")


def mutated(text: str, draw: random.Random) -> str:
    """A file with one to three faults: cut, doubled, changed, or with what does not belong there."""
    for _ in range(draw.randint(1, 3)):
        at = draw.randrange(len(text))
        to = min(len(text), at + draw.choice((1, 1, 2, 8, 40)))
        put = draw.choice(("", "", text[at:to] * 2, *STRAY))
        text = text[:at] + put + text[to:]
    return text


# --- F4: reload while streams run --------------------------------------------------------------------------


async def test_streams_outlive_their_plan_and_then_it_is_gone(
    started: Gateway, vendor: Provider, tmp_path: Path
) -> None:
    async with started.baseline():
        reloader = started.running.sidecar.reloader
        began, kept = reloader.snapshot.revision, weakref.ref(reloader.snapshot)
        streams = [asyncio.create_task(started.ask("paced", stream=True)) for _ in range(60)]
        async with asyncio.timeout(30):
            while reloader.snapshot.users < 60:
                await asyncio.sleep(0.01)
        for text in ("two", "three"):
            write(tmp_path / "ws", vendor, text)
            assert (await reload(started))["result"] == "ack"
            assert (await started.ask("number")).text == text
        assert kept() is not None
        got = await asyncio.gather(*streams)
        assert [(each.ended, each.broken, each.error) for each in got] == [(True, None, None)] * 60
        assert {each.headers["x-engine-revision"] for each in got} == {began}
        del got, streams
        async with asyncio.timeout(30):
            while kept() is not None:
                gc.collect()  # asyncio's own transports are in cycles
                await asyncio.sleep(0.01)


async def test_a_body_that_is_long_in_coming_keeps_its_plan(
    started: Gateway, vendor: Provider, tmp_path: Path
) -> None:
    """It began before the reload, its body ends after it: it is served, on the plan it began with."""
    async with started.baseline():
        began = started.running.sidecar.reloader.snapshot.revision
        body = b'{"model": "ok", "messages": [{"role": "user", "content": "hi"}]}'
        reader, writer = await started.running.connect()
        writer.write(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
            b"content-length: %d\r\n\r\n" % len(body) + body[:10]
        )
        await asyncio.sleep(0.1)
        (tmp_path / "ws" / "providers.d" / "vendor.yaml").write_text("")
        other = {**provider_file(vendor.url, SCRIPTS), "headers": {"x-other": "1"}}
        write(tmp_path / "ws", vendor, "two", **{"providers.d/vendor.yaml": other})
        assert (await reload(started))["result"] == "ack"
        await asyncio.sleep(0.1)
        writer.write(body[10:])
        answer = await asyncio.wait_for(reader.read(), 30)
        writer.close()
        assert answer.startswith(b"HTTP/1.1 200")
        assert f"x-engine-revision: {began}".encode() in answer


# --- F9: secrets -------------------------------------------------------------------------------------------


async def test_a_secret_is_rotated_under_load(vendor: Provider, tmp_path: Path) -> None:
    """A hundred times: every call has the key of its moment, none fails, no plan changes."""
    place = tmp_path / "key"
    place.write_text("sk-faults-0")
    provider = {**provider_file(vendor.url, SCRIPTS), "auth": {"bearer": f"file:{place}"}}
    folder = write(tmp_path / "ws", vendor, **{"providers.d/vendor.yaml": provider})
    async with gateway(folder, vendor) as made:
        made.secrets = tuple(f"sk-faults-{n}" for n in range(101))
        await made.ask("ok")
        async with made.baseline():
            before = made.running.sidecar.reloader.snapshot
            for number in range(1, 101):
                other = place.with_suffix(".new")
                other.write_text(f"sk-faults-{number}")
                other.replace(place)
                if number % 10 == 0:
                    got = await asyncio.gather(*(made.ask("ok") for _ in range(3)))
                    assert [each.status for each in got] == [200] * 3
                    shown = {seen.headers["authorization"] for seen in vendor.seen[-3:]}
                    assert shown == {f"Bearer sk-faults-{number}"}
            assert made.running.sidecar.reloader.snapshot is before


async def test_a_secret_that_is_not_there_is_told_and_others_serve(
    vendor: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment lacks a key: its deployment is passed over, by a name and never by a value."""
    monkeypatch.delenv("FAULTS_KEY")
    open_too = {**provider_file(vendor.url, {"ok": "ok#spare"}), "auth": "none"}
    files = {
        "providers.d/vendor.yaml": provider_file(vendor.url, SCRIPTS),
        "providers.d/spare.yaml": open_too,
        "routes/main.yaml": {
            "deployments": {
                "ok": {"provider": "vendor", "model": "ok"},
                "b": {"provider": "spare", "model": "ok"},
            },
            "routes": {"both": {"start": {"fallback": ["ok", "b"]}}, "one": "ok"},
        },
    }
    async with gateway(write_files(tmp_path / "ws", files), vendor) as made, made.baseline():
        assert (await made.ask("both")).status == 200
        got = await made.ask("one")
        assert got.status >= 400
        assert got.error is not None
        assert all(record.attempts[0].failure == "auth" for record in made.records)
        assert len(vendor.seen) == 1  # nothing was sent without its key


async def test_a_reload_that_lacks_a_secret_is_refused(
    started: Gateway, vendor: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what is new is asked for: what runs may have lost its own, and others go on."""
    place = tmp_path / "key"
    new = {**provider_file(vendor.url, SCRIPTS), "auth": {"bearer": f"file:{place}"}}
    files = {"providers.d/vendor.yaml": new}
    async with started.baseline():
        write(tmp_path / "ws", vendor, "two", **files)
        told = await reload(started)
        assert (told["result"], [found["code"] for found in errors(told)]) == ("nack", ["E244"])
        assert str(place) in errors(told)[0]["message"]
        assert (await started.ask("ok")).status == 200
        place.write_text(KEY)
        assert (await reload(started))["result"] == "ack"
        assert (await started.ask("ok")).status == 200
        place.unlink()
        write(tmp_path / "ws", vendor, "three", **files)
        assert (await reload(started))["result"] == "ack"


# --- F10: addresses ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{"listen": "127.0.0.1:9"}, {"admin": "127.0.0.1:0"}, {"workers": 2}])
async def test_what_a_process_cannot_change_is_refused_whole(
    settings: dict[str, Any], started: Gateway, vendor: Provider, tmp_path: Path
) -> None:
    async with started.baseline():
        write(tmp_path / "ws", vendor, "two", **{"engine.yaml": settings})
        told = await reload(started)
        assert (told["result"], errors(told)[0]["code"]) == ("nack", "E501")
        assert (await started.ask("number")).text == "one"
        write(tmp_path / "ws", vendor, "two")
        assert (await reload(started))["result"] == "ack"
        assert (await started.ask("number")).text == "two"


async def test_no_connection_is_closed_by_a_reload(
    started: Gateway, vendor: Provider, tmp_path: Path
) -> None:
    """Keep-alive holds over plans, on both sides."""
    transport: Any = started.running.sidecar.host._transport
    async with httpx.AsyncClient(base_url=started.running.url, timeout=30) as client:
        await client.get("/healthz")
        pool: Any = client._transport
        (mine,) = pool._pool.connections
        for text in ("two", "three", "four"):
            write(tmp_path / "ws", vendor, text)
            assert (await reload(started))["result"] == "ack"
            body = {"model": "ok", "messages": [{"role": "user", "content": "hi"}]}
            assert (await client.post("/v1/chat/completions", json=body)).status_code == 200
            assert pool._pool.connections == [mine]
        assert transport.open <= 2
