"""What clients get wrong: a status, a stable code, one shape of error, and nothing of what they sent."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from running import CHAT, HELLO, Running, post, running, write_workspace
from vendor import Vendor

CASES: list[dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("bad_requests.yaml").read_text())


@pytest.mark.parametrize(
    ("method", "body", "headers", "status", "word", "code"),
    [
        ("POST", "{}", {}, 400, "invalid_request_error", "missing_required_parameter"),
        ("POST", "{}", {"origin": "https://evil.example"}, 403, "permission_error", "cross_origin"),
        ("GET", "", {}, 405, "invalid_request_error", "method_not_allowed"),
        (
            "POST",
            '{"model": "nobody", "max_tokens": 1, "messages": [{"role": "user", "content": "x"}]}',
            {},
            404,
            "not_found_error",
            "model_not_found",
        ),
    ],
)
async def test_a_path_of_another_format_is_answered_in_it(
    method: str, body: str, headers: Any, status: int, word: str, code: str, sidecar: Running
) -> None:
    answer = await sidecar.client.request(method, "/v1/messages", content=body, headers=headers)
    assert answer.status_code == status
    told = answer.json()
    assert told["type"] == "error"
    assert told["error"]["type"] == word
    assert told["error"]["details"]["error_code"] == code


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
async def test_it_is_told(case: dict[str, Any], sidecar: Running, vendor: Vendor) -> None:
    body = json.dumps(case["json"]) if "json" in case else case.get("body", "")
    content = body.encode("utf-8", "surrogatepass")
    method, path = case.get("method", "POST"), case.get("path", CHAT)
    answer = await sidecar.client.request(method, path, content=content, headers=case.get("headers", {}))
    assert answer.status_code == case["status"], answer.text
    error = answer.json()["error"]
    assert error["code"] == case["code"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    assert error["param"] == case.get("param")
    assert answer.headers["x-engine-request-id"].startswith("req-")
    assert answer.headers["x-engine-revision"] == sidecar.sidecar.status.revision
    assert vendor.bodies == []


async def test_depth_is_limited_without_a_crash(sidecar: Running) -> None:
    for body in (b"[" * 100_000, b'{"model":' * 30_000, b'{"a":' + b"[" * 400 + b"]" * 400 + b"}"):
        answer = await sidecar.client.post(CHAT, content=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_json")


async def test_deep_tool_schemas_are_no_fault(sidecar: Running) -> None:
    """Many brackets are not many levels."""
    tools = [
        {
            "type": "function",
            "function": {"name": f"t{n}", "parameters": {"type": "object", "properties": {}}},
        }
        for n in range(60)
    ]
    assert (await sidecar.chat(tools=tools)).status_code == 200


def _resident() -> int:
    fields = Path("/proc/self/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("announced", [True, False], ids=["with a length", "chunked"])
async def test_a_body_of_100_mb_is_refused_early(sidecar: Running, announced: bool) -> None:
    """413 long before it was read; nothing of it is kept, and the connection ends."""
    total, piece = 100 * 1024 * 1024, b"x" * 65536
    reader, writer = await sidecar.connect()
    how = f"content-length: {total}" if announced else "transfer-encoding: chunked"
    writer.write(f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\n{how}\r\n\r\n".encode())
    before, sent = _resident(), 0
    answer = asyncio.ensure_future(reader.readuntil(b"}}"))
    with contextlib.suppress(ConnectionError):
        while sent < total and not answer.done():
            writer.write(piece if announced else b"10000\r\n" + piece + b"\r\n")
            await writer.drain()
            sent += len(piece)
    told = await asyncio.wait_for(answer, 30)
    assert told.startswith(b"HTTP/1.1 413 ")
    assert b'"code":"request_too_large"' in told
    assert b"connection: close" in told.lower()
    limit = sidecar.sidecar.service.body_limit
    assert sent < (12 if announced else limit // 1024 / 1024 + 12) * 1024 * 1024
    if not announced:
        assert _resident() - before < limit + 30 * 1024 * 1024
    writer.close()
    assert (await sidecar.chat()).status_code == 200


async def test_the_limit_is_the_workspaces(vendor: Vendor, tmp_path: Path) -> None:
    folder = write_workspace(tmp_path / "ws", vendor.port, settings="body_limit: 1KiB\n")
    async with running(folder) as small:
        fits = await small.client.post(CHAT, json={"model": "one", "messages": HELLO})
        over = await small.client.post(CHAT, json={"model": "one", "messages": HELLO, "user": "u" * 1024})
    assert (fits.status_code, over.status_code) == (200, 413)


@pytest.mark.parametrize(
    ("name", "data", "status"),
    [
        ("length and chunks", post(b"{}", "transfer-encoding: chunked"), b"400"),
        ("folded header", b"GET /healthz HTTP/1.1\r\nhost: a\r\nx: 1\r\n 2\r\n\r\n", b"400"),
        ("bare line feeds", b"GET /healthz HTTP/1.1\nhost: a\n\n", b"400"),
        ("no Host", b"GET /healthz HTTP/1.1\r\n\r\n", b"400"),
        ("two Hosts", b"GET /healthz HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", b"400"),
        (
            "bad chunk",
            post(b"").replace(b"content-length: 0", b"transfer-encoding: chunked") + b"zz\r\n",
            b"400",
        ),
        ("blank before the colon", b"GET /healthz HTTP/1.1\r\nhost : a\r\n\r\n", b"400"),
        ("many headers", b"GET /healthz HTTP/1.1\r\nhost: a\r\n" + b"x: y\r\n" * 1000 + b"\r\n", b"431"),
        ("a large header", b"GET /healthz HTTP/1.1\r\nhost: a\r\nx: " + b"y" * 200_000 + b"\r\n\r\n", b"431"),
        ("an endless header", b"GET /healthz HTTP/1.1\r\nhost: a\r\nx: " + b"y" * 200_000, b"431"),
        ("no HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello\r\n\r\n", b"400"),
    ],
)
async def test_malformed_http_ends_the_connection(
    sidecar: Running, name: str, data: bytes, status: bytes
) -> None:
    answer = await sidecar.send_raw(data)
    assert answer.split(b" ")[1] == status, answer
    assert b"connection: close" in answer.lower()
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"]


async def test_options_and_head(sidecar: Running) -> None:
    options = await sidecar.client.options(CHAT)
    assert (options.status_code, options.headers["allow"]) == (204, "POST, OPTIONS")
    head = await sidecar.client.head("/v1/models")
    full = await sidecar.client.get("/v1/models")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == full.headers["content-length"]
    assert "access-control-allow-origin" not in options.headers


async def test_an_upstreams_words_do_not_leak_a_key(sidecar: Running, vendor: Vendor) -> None:
    """Our credential was refused: the client is told that, not what the vendor said about it."""
    from vendor import answers

    vendor.answer = answers(
        {"error": {"message": "Incorrect API key provided: sk-live-123", "code": "k"}}, 401
    )
    answer = await sidecar.chat()
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_auth")
    assert "sk-live" not in answer.text


async def test_a_head_that_does_not_come(sidecar: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that says nothing is closed; one that begins a request and stops is told why."""
    from engine.server import http

    monkeypatch.setattr(http, "HEAD_S", 0.1)
    assert await sidecar.send_raw(b"") == b""
    answer = await sidecar.send_raw(b"GET /healthz HTTP/1.1\r\nhost: loc")
    assert answer.split(b" ")[1] == b"408"


async def test_a_body_that_stops_coming(sidecar: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    from engine.server import body

    monkeypatch.setattr(body, "BODY_IDLE_S", 0.1)
    data = post(b"x" * 100)
    answer = await sidecar.send_raw(data[:-50])
    assert answer.split(b" ")[1] == b"408"
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == "request_timeout"


async def test_a_client_that_leaves_inside_its_body(sidecar: Running, vendor: Vendor) -> None:
    _, writer = await sidecar.connect()
    writer.write(post(b"x" * 100)[:-50])
    await asyncio.sleep(0.05)
    writer.close()
    assert (await sidecar.chat()).status_code == 200
    assert len(vendor.bodies) == 1
