"""Requests that go well: headers, whole answers and streams, failing over, probes and metrics."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from running import HELLO, Running, post, running, write_workspace
from vendor import Vendor, answers, chat, streams


async def test_a_whole_answer_passes_through(sidecar: Running, vendor: Vendor) -> None:
    vendor.answer = answers(chat("Hi there.") | {"vendor_field": {"kept": True}})
    answer = await sidecar.chat(temperature=0.5, vendor_extra=[1])
    assert answer.status_code == 200
    assert answer.json()["choices"][0]["message"]["content"] == "Hi there."
    assert answer.json()["vendor_field"] == {"kept": True}
    assert vendor.bodies[0]["model"] == "m-1"
    assert vendor.bodies[0]["temperature"] == 0.5
    assert vendor.bodies[0]["vendor_extra"] == [1]
    headers = answer.headers
    assert headers["x-engine-route"] == "one"
    assert headers["x-engine-deployment"] == "near"
    assert headers["x-engine-calls"] == "1"
    assert headers["x-engine-cost"] == "0.000042"  # 12 in at $1/M, 3 out at $10/M
    assert headers["x-engine-revision"] == sidecar.sidecar.status.revision
    assert "server" not in headers


async def test_ids_are_ours_and_differ(sidecar: Running) -> None:
    sent = await sidecar.client.post(
        "/v1/chat/completions", json={"model": "one", "messages": HELLO}, headers={"x-request-id": "theirs"}
    )
    other = await sidecar.chat()
    ids = {answer.headers["x-engine-request-id"] for answer in (sent, other)}
    assert len(ids) == 2
    assert "theirs" not in ids


async def test_a_stream_arrives_as_it_comes(sidecar: Running, vendor: Vendor) -> None:
    gate = asyncio.Event()
    vendor.answer = streams(gate)
    body = {"model": "one", "messages": HELLO, "stream": True}
    async with sidecar.client.stream("POST", "/v1/chat/completions", json=body) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["x-engine-deployment"] == "near"
        lines = answer.aiter_lines()
        async for line in lines:
            if "Hel" in line:
                break
        gate.set()  # only now does the vendor say the rest
        rest = [line async for line in lines if line]
    assert rest[-1] == "data: [DONE]"
    text = "".join(
        choice["delta"].get("content", "")
        for line in rest[:-1]
        for choice in json.loads(line.removeprefix("data: "))["choices"]
    )
    assert text == "lo!"


async def test_a_closed_port_is_passed_over(sidecar: Running, vendor: Vendor) -> None:
    for stream in (False, True):
        vendor.answer = streams() if stream else answers(chat())
        answer = await sidecar.chat("both", stream=stream)
        assert answer.status_code == 200
        assert answer.headers["x-engine-deployment"] == "near"
        assert int(answer.headers["x-engine-calls"]) >= 2


async def test_nobody_answers(sidecar: Running) -> None:
    answer = await sidecar.chat("shut")
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_unreachable")
    assert answer.headers["x-engine-route"] == "shut"


async def test_a_limit_of_the_vendors_says_when_to_come_back(sidecar: Running, vendor: Vendor) -> None:
    vendor.answer = answers({"error": {"message": "slow down", "code": "rate_limit"}}, 429, "retry-after: 7")
    answer = await sidecar.chat("once")
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert answer.headers["retry-after"] == "7"


async def test_a_cut_stream_ends_with_an_error_event(sidecar: Running, vendor: Vendor) -> None:
    async def cuts(connection: object) -> None:
        from vendor import begin

        begin(connection)  # type: ignore[arg-type] # the vendor's own type
        await asyncio.sleep(0.05)
        connection.reset()  # type: ignore[attr-defined]

    vendor.answer = cuts
    answer = await sidecar.chat(stream=True)
    last = answer.text.strip().splitlines()[-1]
    assert json.loads(last.removeprefix("data: "))["error"]["code"] == "upstream_cut"


async def test_a_fixed_text_and_the_list_of_models(sidecar: Running) -> None:
    answer = await sidecar.chat("fixed")
    assert answer.json()["choices"][0]["message"]["content"] == "A fixed text."
    assert answer.headers["x-engine-calls"] == "0"
    models = (await sidecar.client.get("/v1/models")).json()
    assert [model["id"] for model in models["data"]] == ["both", "fixed", "once", "one", "shut", "small"]


async def test_pipelined_requests_are_answered_in_order(sidecar: Running) -> None:
    reader, writer = await sidecar.connect()
    writer.write(
        post({"model": "fixed", "messages": HELLO}) + b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"
    )
    both = b""
    async with asyncio.timeout(30):
        while both.count(b"HTTP/1.1 200 OK") < 2 or not both.endswith(b"}"):
            both += await reader.read(65536)
    assert both.index(b"A fixed text.") < both.index(b'"status":"ok"')
    writer.close()


async def test_probes(sidecar: Running) -> None:
    client = sidecar.client
    assert (await client.get("/healthz")).json() == {"status": "ok"}
    assert (await client.get("/readyz")).json()["revision"] == sidecar.sidecar.status.revision
    assert (await client.get("/readyz?route=one")).status_code == 200


async def test_metrics_are_views_of_what_happened(sidecar: Running, vendor: Vendor) -> None:
    await sidecar.chat()
    await sidecar.chat("both")
    await sidecar.chat("nobody")
    await sidecar.client.get("/nowhere")
    text = (await sidecar.client.get("/metrics")).text
    found = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert found["engine_requests_total", ("route", "one"), ("status", "200")] == 1
    assert found["engine_requests_total", ("route", ""), ("status", "404")] == 1
    assert found["engine_attempts_total", ("deployment", "near"), ("failure", "")] == 2
    assert found["engine_attempts_total", ("deployment", "gone"), ("failure", "connect")] >= 1
    assert found["engine_tokens_total", ("deployment", "near"), ("kind", "input")] == 24
    assert found["engine_cost_usd_total", ("deployment", "near")] == 84e-6
    assert found["engine_requests_refused_total", ("code", "unknown_path")] == 1
    assert found["engine_request_duration_seconds_count", ("route", "one")] == 1
    assert found["engine_plan_info", ("revision", sidecar.sidecar.status.revision)] == 1
    assert found["engine_in_flight",] == 0


async def test_listeners_of_their_own(vendor: Vendor, tmp_path: Path) -> None:
    """With `admin`, the clients' address has no admin paths; `probes` has nothing else."""
    more = "admin: 127.0.0.1:0\nprobes: 127.0.0.1:0\nadmin_key: env:TEST_ADMIN_KEY\n"
    folder = write_workspace(tmp_path / "ws", vendor.port, settings=more)
    import os

    os.environ["TEST_ADMIN_KEY"] = "a-key-that-is-long-enough"
    try:
        async with running(folder) as started:
            client, where = started.client, started.sidecar.hello()
            key = {"authorization": "Bearer a-key-that-is-long-enough"}
            wrong = {"authorization": "Bearer a-key-that-is-long-enouhg"}

            async def status(name: str, path: str, headers: dict[str, str] | None = None) -> int:
                return (await client.get(f"http://{where[name]}{path}", headers=headers)).status_code

            assert await status("listen", "/admin/status", key) == 404
            assert await status("listen", "/metrics") == 200
            assert await status("admin", "/admin/status") == 401
            assert await status("admin", "/admin/status", wrong) == 401
            assert await status("admin", "/admin/status", key) == 200
            assert await status("admin", "/v1/models", key) == 404
            assert await status("probes", "/readyz") == 200
            assert await status("probes", "/admin/status", key) == 404
            assert await status("probes", "/metrics") == 404
    finally:
        del os.environ["TEST_ADMIN_KEY"]
