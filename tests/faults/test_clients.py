"""Clients that half-close and that pipeline (C3, C4 of the fault matrix), over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from caller import ENDS, FORMATS, STRICT, Caller, calling
from harness import KEY, PROMPT, Gateway

from engine.bench.faults.voices import TEXT, TOKENS

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def started(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FAULTS_KEY", KEY)
        async with calling(tmp_path_factory.mktemp("clients")) as made:
            yield made


@pytest.mark.parametrize(
    ("route", "stream", "form"),
    [
        (route, stream, form)
        for form in FORMATS
        for route, stream in (("slow", False), ("slow", True), ("paced", True), ("ok", False))
        if route != "paced" or form not in STRICT
    ],
)
async def test_c3_a_client_half_closes(started: Gateway, route: str, stream: bool, form: str) -> None:
    """It sends no more, but reads: its answer completes, and then the connection ends."""
    async with started.baseline(records=1):
        caller = await Caller.connect(started)
        caller.ask(route, form, stream=stream)
        if route == "paced":
            await caller.until(TOKENS[3].strip())
        caller.writer.write_eof()
        got = await caller.rest()
        caller.leave("close")
    final = got.replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"")
    assert final.startswith(b"HTTP/1.1 200 OK\r\n"), got[:300]
    assert got.count(b"HTTP/1.1 ") <= 2
    assert (started.last().failure, started.last().status) == (None, 200)
    assert (ENDS[form] if stream else TEXT[-20:].encode()) in final
    assert final.count(b"HTTP/1.1") == 1


async def test_c3_an_old_client_that_half_closes_has_left(started: Gateway) -> None:
    """HTTP/1.0 has no bytes that mean nothing, so a FIN counts as it always did."""
    async with started.baseline(records=1):
        caller = await Caller.connect(started)
        body = json.dumps({"model": "slow", "messages": [{"role": "user", "content": PROMPT}]})
        caller.writer.write(
            f"POST /v1/chat/completions HTTP/1.0\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode()
        )
        await asyncio.sleep(0.1)
        caller.writer.write_eof()
        assert await caller.rest() == b""
        caller.leave("close")
    assert started.last().failure == "cancelled"


@pytest.mark.parametrize("half", [False, True], ids=["open", "half-closed"])
async def test_c4_pipelined_requests(started: Gateway, half: bool) -> None:
    """Answered in their order, never mixed, though the second would be quicker."""
    routes = ["slow", "ok", "paced", "ok"]
    async with started.baseline(records=len(routes)):
        caller = await Caller.connect(started)
        for route in routes:
            caller.ask(route, stream=route == "paced")
        if half:
            caller.writer.write_eof()
            got = await caller.rest()
        else:
            async with asyncio.timeout(30):
                while caller.got.count(b"HTTP/1.1 200") < len(routes) or not caller.got.endswith(b"}"):
                    caller.got += await caller.reader.read(65536)
            got = caller.got
        caller.leave("close")
    heads = [row.split(b": ")[1].decode() for row in got.split(b"\r\n") if row.startswith(b"x-engine-route")]
    assert heads == routes
    assert got.count(b'"chat.completion"') == 3
    assert got.count(b"[DONE]") == 1
    with contextlib.suppress(ValueError):
        assert got.index(b"[DONE]") < got.rindex(b'"chat.completion"')
