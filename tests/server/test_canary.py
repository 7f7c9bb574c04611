"""No client key, and nothing of one, is anywhere but with its client: in no log, no record, no file.

A whole sidecar, at the lowest level of its log, is shown keys in every place where clients put them, by
mistake too, while everything goes wrong that can; then all that it wrote and all that it tells is searched.
"""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from running import CHAT, HELLO, ROUTES, write_workspace
from serving import serve
from vendor import Vendor, answers, chat

from engine.keys.form import PREFIX, make
from engine.keys.hashing import PUBLIC, digest, proof, shown
from engine.state.keys import Said, StoredKey, new_id
from engine.state.sqlite_keys import SqliteKeys

IN_GIT, IN_STORE, REVOKED, STRANGE = (make() for _ in range(4))
TOKEN = (
    "eyJhbGciOiJSUzI1NiJ9."
    + base64.urlsafe_b64encode(b'{"sub":"canary-9c1e7a55"}').decode()
    + ".c2lnbmF0dXJl"
)

SETTINGS = """\
state: sqlite:.engine/state.db
decision_log: decisions.jsonl
usage: {file: .engine/usage.db}
"""
KEYS = f"""\
keys:
  clients:
    bot: {{hash: "{shown(digest(IN_GIT.encode(), PUBLIC))}"}}
"""


def traces(key: str) -> Iterator[bytes]:
    """What would give a key away: all of it, its secret part, how either looks as base64, its beginning."""
    secret = key.removeprefix(PREFIX)
    for text in (key, secret, secret[:43]):
        raw = text.encode()
        yield raw
        yield base64.b64encode(raw).rstrip(b"=")
        yield base64.urlsafe_b64encode(raw).rstrip(b"=")
        yield raw.hex().encode()
    yield base64.urlsafe_b64decode(secret[:43] + "=")
    yield secret[:8].encode()
    yield hashlib.sha256(key.encode()).hexdigest().encode()


async def _requests(client: httpx.AsyncClient, vendor: Vendor) -> set[int]:
    """Everything that clients do with keys, right and wrong."""
    body = {"model": "one", "messages": HELLO}
    told = []
    for key in (IN_GIT, IN_STORE, REVOKED, STRANGE, TOKEN):
        for headers in (
            {"authorization": f"Bearer {key}"},
            {"x-api-key": key},
            {"api-key": key, "x-api-key": STRANGE},
            {"authorization": f"Basic {key}"},
            {"cookie": f"key={key}", "proxy-authorization": key},
            {"authorization": f"Bearer {key}", "idempotency-key": key},
        ):
            told.append(await client.post(CHAT, json=body, headers=headers))
        mine = {"authorization": f"Bearer {IN_GIT}"}
        for wrong in (
            {**body, "model": key},
            {**body, "user": key, "metadata": {"note": key}, "stream": True},
            {**body, "messages": [{"role": "user", "content": key}]},
            {**body, "messages": key},
            {**body, "max_tokens": key, key: key},
        ):
            told.append(await client.post(CHAT, json=wrong, headers=mine))
        told.append(await client.post(CHAT, content=f'{{"model": "{key}'.encode(), headers=mine))
        told.append(await client.post(f"{CHAT}?key={key}", json=body, headers=mine))
        told.append(await client.get(f"/v1/{key}", headers=mine))
        told.append(await client.get("/v1/models", headers={"x-goog-api-key": key}))
        told.append(await client.post(CHAT, json=body, headers=mine | {"x-note": key * 2000}))
        told.append(await client.post(CHAT, json={**body, "model": "shut"}, headers=mine | {"x-trace": key}))
    return {each.status_code for each in told}


async def test_no_key_is_anywhere(vendor: Vendor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINE_LOG", "debug")
    folder = write_workspace(tmp_path / "ws", vendor.port, routes=ROUTES + KEYS)
    (folder / "engine.yaml").write_text("listen: 127.0.0.1:0\n" + SETTINGS)
    store = SqliteKeys(folder / ".engine" / "keys.db")
    for key, name in ((IN_STORE, "store"), (REVOKED, "gone")):
        made = StoredKey(digest(key.encode(), PUBLIC), new_id(), name, Said(), int(time.time()))
        await store.add(made, proof(PUBLIC))
        if key == REVOKED:
            await store.revoke([made], int(time.time()))
    await store.close()
    vendor.answer = answers(chat())
    async with (
        serve(folder, "--no-watch") as served,
        httpx.AsyncClient(base_url=served.url, timeout=30) as client,
    ):
        seen = await _requests(client, vendor)
        assert {200, 400, 401, 404, 431} <= seen
        told = [(await client.get(path)).content for path in ("/metrics", "/admin/status", "/admin/plan")]
        served.process.terminate()
        _, errors = await served.ended()
    assert "client_keys" in errors  # it logs, and at this level
    asked = b"".join(each.last.partition(b"\r\n\r\n")[0] for each in vendor.connections)
    written = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    assert any(b'"key":"bot"' in each for each in written)  # the record of who asked
    for where, data in (("told", told), ("log", [errors.encode()]), ("files", written), ("vendor", [asked])):
        for key in (IN_GIT, IN_STORE, REVOKED, STRANGE):
            for trace in traces(key):
                assert not any(trace in each for each in data), (where, trace)
        assert not any(b"canary-9c1e7a55" in each or TOKEN.encode() in each for each in data), where
