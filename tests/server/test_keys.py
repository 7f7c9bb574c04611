"""Client keys at a real sidecar: who comes in, who does not, and what either is told."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from pulse import Pulse
from running import CHAT, HELLO, ROUTES, Running, post, running, write_workspace
from serving import Served, serve
from vendor import Vendor

from engine.keys.form import make
from engine.keys.hashing import PUBLIC, digest, proof, shown
from engine.server.entrances import StartError
from engine.state.keys import Said, StoredKey, new_id
from engine.state.sqlite_keys import SqliteKeys

GOOD, OTHER, OLD = make(), make(), make()

BODY = {"model": "one", "messages": HELLO}


def hashed(key: str, secret: bytes = PUBLIC) -> str:
    return shown(digest(key.encode(), secret))


KEYS = f"""\
keys:
  orgs: [acme]
  tags: {{team: [support, sales]}}
  clients:
    bot: {{hash: "{hashed(GOOD)}", org: acme, tags: {{team: support}}}}
    other: {{hash: "{hashed(OTHER)}"}}
    gone: {{hash: "{hashed(OLD)}", expires: "2026-01-01T00:00Z"}}
"""


@pytest.fixture
async def keyed(vendor: Vendor, tmp_path: Path) -> AsyncIterator[Running]:
    """A sidecar whose plan has three client keys, one of which has expired."""
    folder = write_workspace(tmp_path / "ws", vendor.port, routes=ROUTES + KEYS)
    async with running(folder) as started:
        yield started


async def test_every_formats_way_to_show_a_key(keyed: Running) -> None:
    for headers in (
        {"authorization": f"Bearer {GOOD}"},
        {"authorization": f"bearer  {GOOD}"},
        {"x-api-key": GOOD},
        {"api-key": GOOD},
        {"x-goog-api-key": GOOD},
        {"x-api-key": GOOD, "authorization": f"Bearer {GOOD}"},
        {"x-api-key": GOOD, "authorization": "Basic cHJveHk6cHJveHk="},
    ):
        answer = await keyed.client.post(CHAT, json=BODY, headers=headers)
        assert answer.status_code == 200, (headers, answer.text)


async def test_the_last_key_that_leaves_opens_nothing(keyed: Running) -> None:
    (keyed.folder / "routes" / "main.yaml").write_text(
        (keyed.folder / "routes" / "main.yaml").read_text().replace(KEYS, "")
    )
    assert (await keyed.sidecar.reloader.reload("asked")).result == "ack"
    assert keyed.sidecar.service.current().keyring is None or keyed.sidecar.service.current().keyring.empty
    assert (await keyed.client.post(CHAT, json=BODY)).status_code == 401


async def test_no_key_stands_in_the_query(keyed: Running) -> None:
    body = {"contents": [{"role": "user", "parts": [{"text": "Hello?"}]}]}
    path = "/v1beta/models/one:generateContent"
    assert (await keyed.client.post(f"{path}?key={GOOD}", json=body)).status_code == 400


async def test_unknown_expired_and_none_get_one_answer(keyed: Running, vendor: Vendor) -> None:
    tried = [f"Bearer {make()}", f"Bearer {OLD}", "Bearer sk-x", "Bearer", f"Basic {GOOD}", None]
    answers = []
    for each in tried:
        headers = {} if each is None else {"authorization": each}
        answers.append(await keyed.client.post(CHAT, json=BODY, headers=headers))
    for answer in answers:
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == "invalid_key"
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert answer.json() == answers[0].json()
    assert not vendor.bodies


async def test_the_answer_is_in_the_clients_format(keyed: Running) -> None:
    answer = await keyed.client.post(
        "/v1/messages", json={**BODY, "max_tokens": 5}, headers={"x-api-key": "no"}
    )
    assert answer.status_code == 401
    assert answer.json()["type"] == "error"
    assert answer.json()["error"]["type"] == "authentication_error"


async def test_two_credentials_are_a_fault(keyed: Running) -> None:
    for headers in (
        [("authorization", f"Bearer {GOOD}"), ("x-api-key", OTHER)],
        [("authorization", f"Bearer {GOOD}"), ("authorization", f"Bearer {GOOD}")],
        [("x-api-key", GOOD), ("x-api-key", OTHER)],
    ):
        answer = await keyed.client.post(CHAT, json=BODY, headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "two_credentials")
        assert GOOD not in answer.text


async def test_nothing_is_read_of_who_may_not_come_in(keyed: Running) -> None:
    """The answer comes while the body is still being sent."""
    head = post(b"", "authorization: Bearer nobody").replace(b"content-length: 0", b"content-length: 1000000")
    answer = await keyed.send_raw(head)
    assert answer.startswith(b"HTTP/1.1 401")


async def test_the_list_of_models_asks_for_a_key_too(keyed: Running) -> None:
    assert (await keyed.client.get("/v1/models")).status_code == 401
    listed = await keyed.client.get("/v1/models", headers={"x-api-key": GOOD})
    assert "one" in [each["id"] for each in listed.json()["data"]]


async def test_probes_ask_for_none(keyed: Running) -> None:
    assert (await keyed.client.get("/healthz")).status_code == 200
    assert (await keyed.client.get("/readyz")).status_code == 200


async def test_routes_read_the_key(vendor: Vendor, tmp_path: Path) -> None:
    routes = (
        "deployments:\n  near: {provider: fake, model: m-1}\nroutes:\n"
        '  one: {start: {switch: [{when: \'key.tags.team == "support" and key.org == "acme"\', use: near}], '
        "else: {respond: Who are you?}}}\n"
    )
    async with running(write_workspace(tmp_path / "ws", vendor.port, routes=routes + KEYS)) as started:
        mine = await started.client.post(CHAT, json=BODY, headers={"x-api-key": GOOD})
        theirs = await started.client.post(CHAT, json=BODY, headers={"x-api-key": OTHER})
    assert mine.headers["x-engine-calls"] == "1"
    assert theirs.json()["choices"][0]["message"]["content"] == "Who are you?"


async def test_hashes_under_a_secret(vendor: Vendor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "q8Zx0Yb1kq1J0d3lqk2mYb3m4w5n6s7a"
    monkeypatch.setenv("KEYS_SECRET", secret)
    mine, public = hashed(GOOD, secret.encode()), hashed(OTHER)
    keys = f'keys:\n  clients:\n    a: {{hash: "{mine}"}}\n    b: {{hash: "{public}"}}\n'
    folder = write_workspace(
        tmp_path / "ws", vendor.port, routes=ROUTES + keys, settings="keys_secret: env:KEYS_SECRET\n"
    )
    async with running(folder) as started:

        async def status(key: str) -> int:
            return (await started.client.post(CHAT, json=BODY, headers={"x-api-key": key})).status_code

        assert (await status(GOOD), await status(OTHER)) == (200, 401)


@pytest.mark.parametrize(("secret", "why"), [("", "is not set"), ("changeme-changeme", "placeholder")])
async def test_a_bad_secret_does_not_start(
    vendor: Vendor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, secret: str, why: str
) -> None:
    monkeypatch.setenv("KEYS_SECRET", secret)
    folder = write_workspace(tmp_path / "ws", vendor.port, settings="keys_secret: env:KEYS_SECRET\n")
    with pytest.raises(StartError, match=why):
        async with running(folder):
            pass


async def test_without_keys_everybody_may_come_in(sidecar: Running) -> None:
    """On loopback: an SDK's made-up key means nothing."""
    client: httpx.AsyncClient = sidecar.client
    assert (await client.post(CHAT, json=BODY, headers={"x-api-key": "made-up"})).status_code == 200


# --- keys of the state store ------------------------------------------------------------------------------


async def _until(started: Running, key: str, status: int) -> float:
    """Seconds of this loop until a key gets this status."""
    async with asyncio.timeout(30), Pulse() as pulse:
        while (await started.client.get("/v1/models", headers={"x-api-key": key})).status_code != status:
            await asyncio.sleep(0.02)
        return pulse.seconds


def _stored(key: str, name: str, **more: Any) -> StoredKey:
    return StoredKey(digest(key.encode(), PUBLIC), new_id(), name, Said(**more), int(time.time()))


@pytest.fixture
def durable(vendor: Vendor, tmp_path: Path) -> Path:
    folder = write_workspace(tmp_path / "ws", vendor.port)
    settings = folder / "engine.yaml"
    settings.write_text(settings.read_text().replace("state: memory", "state: sqlite:.engine/state.db"))
    return folder


async def test_a_sidecar_follows_the_store(durable: Path) -> None:
    """The first key ends anonymity, a new one opens, a rotated one ends, a revoked one opens nothing."""
    async with running(durable) as started:
        assert (await started.chat()).status_code == 200
        keys = SqliteKeys(durable / ".engine" / "keys.db")
        first = _stored(GOOD, "bot", models=("one",))
        await keys.add(first, proof(PUBLIC))
        await _until(started, make(), 401)
        assert (await started.client.post(CHAT, json=BODY, headers={"x-api-key": GOOD})).status_code == 200
        listed = (await started.client.get("/v1/models", headers={"x-api-key": GOOD})).json()
        assert [each["id"] for each in listed["data"]] == ["one"]
        new = replace(first, digest=digest(OTHER.encode(), PUBLIC))
        await keys.replace([replace(first, expires=int(time.time()))], new, proof(PUBLIC))
        await _until(started, OTHER, 200)
        await _until(started, GOOD, 401)
        await keys.revoke([new], int(time.time()))
        await _until(started, OTHER, 401)
        assert (await started.chat()).status_code == 401  # nobody is anonymous any more
        told = (await started.status())["keys"]
        assert told == {"stored": 2, "store": "ok"}
        await keys.close()


async def test_a_revocation_is_known_within_a_second(durable: Path) -> None:
    keys = SqliteKeys(durable / ".engine" / "keys.db")
    async with running(durable) as started:
        made = _stored(GOOD, "bot")
        await keys.add(made, proof(PUBLIC))
        await _until(started, GOOD, 200)
        await keys.revoke([made], int(time.time()))
        took = await _until(started, GOOD, 401)
    await keys.close()
    assert took < 1.0


async def test_a_store_that_is_taken_away_opens_nothing(durable: Path) -> None:
    keys = SqliteKeys(durable / ".engine" / "keys.db")
    await keys.add(_stored(GOOD, "bot"), proof(PUBLIC))
    await keys.close()
    async with running(durable) as started:
        await _until(started, GOOD, 200)
        (durable / ".engine" / "keys.db").unlink()
        await _until(started, GOOD, 401)


async def test_keys_of_another_secret_do_not_start(durable: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = SqliteKeys(durable / ".engine" / "keys.db")
    await keys.add(_stored(GOOD, "bot"), proof(PUBLIC))
    await keys.close()
    monkeypatch.setenv("KEYS_SECRET", "q8Zx0Yb1kq1J0d3lqk2mYb3m4w5n6s7a")
    with (durable / "engine.yaml").open("a") as file:
        file.write("keys_secret: env:KEYS_SECRET\n")
    with pytest.raises(OSError, match="another `keys_secret`"):
        async with running(durable):
            pass


@pytest.mark.parametrize("where", ["nowhere", "git", "store"])
async def test_other_machines_are_let_in_with_keys_only(durable: Path, where: str) -> None:
    if where == "git":
        (durable / "routes" / "keys.yaml").write_text(KEYS)
    elif where == "store":
        keys = SqliteKeys(durable / ".engine" / "keys.db")
        await keys.add(_stored(GOOD, "bot"), proof(PUBLIC))
        await keys.close()
    text = (durable / "engine.yaml").read_text().replace("127.0.0.1:0", "0.0.0.0:0")
    (durable / "engine.yaml").write_text(text)
    if where == "nowhere":
        with pytest.raises(StartError, match="engine keys new"):
            async with running(durable):
                pass
        return
    async with running(durable) as started:
        port = started.address.rpartition(":")[2]
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            assert (await client.get("/v1/models")).status_code == 401
            assert (await client.get("/v1/models", headers={"x-api-key": GOOD})).status_code == 200
            for path in ("/metrics", "/admin/status"):  # nobody gave them an admin key
                assert (await client.get(path)).status_code == 404
            assert (await client.get("/healthz")).status_code == 200


@pytest.mark.skipif(os.name != "posix", reason="several workers need a POSIX system")
async def test_every_worker_follows_the_store(durable: Path) -> None:
    """Each request is a connection of its own, so that all workers are asked."""

    async def seen(served: Served, key: str) -> set[int]:
        statuses = set()
        for _ in range(12):
            async with httpx.AsyncClient(base_url=served.url, timeout=30) as client:
                statuses.add((await client.get("/v1/models", headers={"x-api-key": key})).status_code)
        return statuses

    async def until(served: Served, key: str, status: int) -> None:
        async with asyncio.timeout(20):
            while await seen(served, key) != {status}:
                await asyncio.sleep(0.05)

    keys = SqliteKeys(durable / ".engine" / "keys.db")
    made = _stored(GOOD, "bot")
    await keys.add(made, proof(PUBLIC))
    async with serve(durable, "--workers", "2", "--no-watch") as served:
        assert await seen(served, OTHER) == {401}
        await until(served, GOOD, 200)
        await keys.revoke([made], int(time.time()))
        await until(served, GOOD, 401)
        async with httpx.AsyncClient(base_url=served.url, timeout=30) as client:
            assert (await served.status(client))["keys"] == {"stored": 1, "store": "ok"}
    await keys.close()


async def test_a_reload_without_its_secret_is_refused(durable: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan that serves, and its keys, go on serving."""
    (durable / "routes" / "keys.yaml").write_text(KEYS)
    monkeypatch.delenv("KEYS_SECRET", raising=False)
    async with running(durable) as started:
        with (durable / "engine.yaml").open("a") as file:
            file.write("keys_secret: env:KEYS_SECRET\n")
        done = await started.sidecar.reloader.reload("asked")
        assert done.result == "nack"
        rejected = str(started.sidecar.status.as_json()["rejected"])
        assert "KEYS_SECRET is not set" in rejected
        assert (await started.client.get("/v1/models", headers={"x-api-key": GOOD})).status_code == 200
