"""Heads that are too large, and credentials where none may stand: refused, told, and in no log."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme
from running import CHAT, HELLO, Running, post, running, write_workspace
from vendor import Vendor, begins_only

from engine.observe.log import Log

MEGABYTE = 1024 * 1024
#: No word of any message: wherever it is found, a client's key was kept.
CANARY = "canary0123456789"


def resident() -> int:
    fields = Path("/proc/self/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")


async def ask(address: str, head: bytes, context: ssl.SSLContext | None = None) -> bytes:
    """What comes back until the server ends the connection."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port), ssl=context)

    async def sends() -> None:
        with contextlib.suppress(ConnectionError):
            for at in range(0, len(head), 65536):
                writer.write(head[at : at + 65536])
                await writer.drain()

    sending = asyncio.create_task(sends())
    async with asyncio.timeout(20):
        told = await reader.read()
    await sending
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return told


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "TLS"])
async def test_a_key_of_3_mb(vendor: Vendor, tmp_path: Path, encrypted: bool) -> None:
    """431, also to a client that sends all of it first; then the end. Five of them leave nothing behind."""
    settings, context = "", None
    if encrypted:
        authority = trustme.CA()
        certificate = authority.issue_cert("127.0.0.1")
        certificate.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "both.pem"))
        settings = "tls: {{certificate: 'file:{0}', key: 'file:{0}'}}\n".format(tmp_path / "both.pem")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        authority.configure_trust(context)
    lines = io.StringIO()
    folder = write_workspace(tmp_path / "ws", vendor.port, settings=settings)
    head = f"POST {CHAT} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {CANARY}".encode()
    head += b"A" * (3 * MEGABYTE) + b"\r\ncontent-length: 2\r\n\r\n{}"
    async with running(folder, log=Log(stream=lines, text=False)) as served:
        told = await ask(served.address, head, context)
        before = resident()
        for _ in range(5):
            again = await ask(served.address, head, context)
            assert again == told
        assert resident() - before < 8 * MEGABYTE
        assert told.startswith(b"HTTP/1.1 431 ")
        assert b"connection: close" in told
        assert b'"code":"head_too_large"' in told
        assert CANARY.encode() not in told
    assert vendor.bodies == []
    assert CANARY not in lines.getvalue()
    assert "AAAA" not in lines.getvalue()


async def test_a_client_that_never_stops_is_cut_off(sidecar: Running) -> None:
    """Its answer waits for it; what it goes on to send is not taken for ever."""
    endless = b"GET /healthz HTTP/1.1\r\nhost: a\r\nx: " + b"y" * (32 * MEGABYTE)
    host, _, port = sidecar.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    with contextlib.suppress(ConnectionError):
        for at in range(0, len(endless), MEGABYTE):
            writer.write(endless[at : at + MEGABYTE])
            await asyncio.wait_for(writer.drain(), 30)
    with contextlib.suppress(ConnectionError):
        await asyncio.wait_for(reader.read(), 30)
    writer.close()
    assert (await sidecar.chat()).status_code == 200


async def test_where_the_limits_are(sidecar: Running) -> None:
    for rows, status in (
        ([f"x-{n}: y" for n in range(190)], b"200"),
        ([f"x-{n}: y" for n in range(1000)], b"431"),
        (["x: " + "y" * 60_000], b"200"),
        (["x: " + "y" * 66_000], b"431"),
        (["x: " + "y" * 33_000, "z: " + "y" * 33_000], b"431"),
    ):
        answer = await sidecar.send_raw(post({"model": "one", "messages": HELLO}, *rows))
        assert answer.split(b" ")[1] == status, (rows[0][:10], answer[:200])


NO_BODIES = {
    "a trailer": (b"2\r\n{}\r\n0\r\nx-more: ", b"y"),
    "a chunk's extension": (b"2;x=", b"y"),
    "many trailers": (b"2\r\n{}\r\n0\r\n", b"x-more: y\r\n"),
}


async def test_what_is_no_body_does_not_grow_in_place_of_one(sidecar: Running) -> None:
    head = f"POST {CHAT} HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n".encode()
    for name, (start, more) in NO_BODIES.items():
        sent = head + start + more * (16 * MEGABYTE // len(more))
        await ask(sidecar.address, sent)
        before = resident()
        told = await ask(sidecar.address, sent)
        assert told.startswith(b"HTTP/1.1 431 "), name
        assert resident() - before < 8 * MEGABYTE, name


async def test_a_trailer_is_no_header(sidecar: Running, vendor: Vendor) -> None:
    """Proxies look at heads; what comes behind a body would be what they have not seen."""
    body = json.dumps({"model": "one", "messages": HELLO}).encode()
    rows = f"POST {CHAT} HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
    trailers = b"0\r\nx-engine-timeout-ms: soon\r\nhost: b\r\nauthorization: Bearer x\r\n\r\n"
    answer = await sidecar.send_raw(rows.encode() + b"%x\r\n%b\r\n" % (len(body), body) + trailers)
    assert answer.split(b" ")[1] == b"200", answer


async def test_a_bad_head_behind_an_open_answer_is_no_part_of_it(sidecar: Running, vendor: Vendor) -> None:
    """A pipelined request that makes no sense ends the connection; it writes nothing into the stream."""
    vendor.answer = begins_only
    reader, writer = await sidecar.connect()
    writer.write(post({"model": "one", "messages": HELLO, "stream": True}))
    got = await asyncio.wait_for(reader.readuntil(b"Hel"), 30)
    writer.write(b"no request\r\n\r\n")
    got += await asyncio.wait_for(reader.read(), 30)
    writer.close()
    assert got.count(b"HTTP/1.1 ") == 1


CHATS: dict[str, Any] = {"model": "one", "messages": HELLO}


async def test_a_credential_stands_once(sidecar: Running) -> None:
    for name in ("authorization", "x-api-key", "api-key", "x-goog-api-key"):
        for second in ("", "other"):
            rows = [f"{name}: Bearer {CANARY}", f"{name.title()}: Bearer {CANARY}{second}"]
            answer = await sidecar.send_raw(post(CHATS, *rows))
            assert answer.split(b" ")[1] == b"400"
            assert b'"code":"two_credentials"' in answer
            assert CANARY.encode() not in answer


KEYS = ["key=@", "alt=sse&key=@", "api_key=@", "API-Key=@", "access_token=@", "k%65y=@", "x=1&token=@"]
NO_KEYS = ["alt=sse", "key=", "monkey=1", "api-version=2024-10-21", ""]


async def test_no_key_stands_in_an_address(vendor: Vendor, tmp_path: Path) -> None:
    """Other parameters are nobody's business."""
    lines = io.StringIO()
    folder = write_workspace(tmp_path / "ws", vendor.port)
    async with running(folder, log=Log("debug", stream=lines, text=False)) as served:
        for path in (CHAT, "/v1/models", "/v1/nothing"):
            for query in KEYS:
                where = f"{path}?{query.replace('@', CANARY)}"
                answer = await served.client.request("GET" if "models" in path else "POST", where, json=CHATS)
                assert (answer.status_code, answer.json()["error"]["code"]) == (400, "key_in_address")
                assert CANARY not in answer.text
        assert vendor.bodies == []
        for query in NO_KEYS:
            assert (await served.client.post(f"{CHAT}?{query}", json=CHATS)).status_code == 200
    assert CANARY not in lines.getvalue()
