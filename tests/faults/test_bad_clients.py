"""What clients get wrong (C5 to C10, C12 of the fault matrix): `clients.yaml` row by row, over sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml
from harness import KEY, Gateway, gateway, provider_file, write_files
from pulse import Pulse

from engine.bench.faults.provider import Provider

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    id: str
    name: str
    status: int | list[int]
    path: str = "/v1/chat/completions"
    host: str | None = "localhost"
    head: list[str] = field(default_factory=list)
    heads: int = 1
    body: str = ""
    bytes: str | None = None
    times: int = 1
    deep: int = 0
    digits: int = 0
    length: bool | int = True
    chunked: int | None = None
    raw: str | None = None
    code: str | None = None
    says: str | None = None
    closes: bool = False
    asked: str | None = None
    within_ms: float | None = None
    at_most: int | None = None

    def pieces(self) -> Iterator[bytes]:
        """What is sent."""
        if self.raw is not None:
            yield self.raw.encode("latin-1")
            return
        filler = "[" * self.deep + "]" * self.deep if self.deep else "9" * self.digits
        body = bytes.fromhex(self.bytes) if self.bytes else self.body.replace("@", filler).encode()
        rows = [f"POST {self.path} HTTP/1.1", *([f"host: {self.host}"] if self.host else [])]
        rows += [row.replace("@", filler) for row in self.head] * self.heads
        if self.chunked is not None:
            yield ("\r\n".join([*rows, "transfer-encoding: chunked"]) + "\r\n\r\n").encode()
            piece = b"%x\r\n%s\r\n" % (self.chunked, body * self.chunked)
            for _ in range(self.times // self.chunked):
                yield piece
            return
        body *= self.times
        if self.length is not False:
            rows.append(f"content-length: {len(body) if self.length is True else self.length}")
        yield ("\r\n".join(rows) + "\r\n\r\n").encode() + body


CASES = [Case(**row) for row in yaml.safe_load(Path(__file__).with_name("clients.yaml").read_text())]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def started(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FAULTS_KEY", KEY)
        async with Provider() as vendor:
            files = {
                "providers.d/vendor.yaml": provider_file(vendor.url, {"ok": "ok", "other": "ok#other"}),
                "routes/main.yaml": {
                    "deployments": {name: {"provider": "vendor", "model": name} for name in ("ok", "other")},
                    "routes": {"ok": "ok", "other": "other"},
                },
            }
            folder = write_files(tmp_path_factory.mktemp("clients"), files)
            async with gateway(folder, vendor) as made:
                await made.ask("ok")  # what is bound at a first request is bound
                yield made


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, id=f"{case.id} {case.name}") for case in CASES],
)
async def test_case(started: Gateway, case: Case) -> None:
    (vendor,) = started.providers
    asked = len(vendor.seen)
    async with started.baseline():
        worked = time.thread_time()
        async with Pulse() as pulse:
            answer, closed, taken = await send(started, case)
            seconds = max(pulse.seconds, time.thread_time() - worked)  # waited for, or worked on
        head, _, body = answer.partition(b"\r\n\r\n")
        statuses = case.status if isinstance(case.status, list) else [case.status]
        assert head.startswith(b"HTTP/1.1 "), answer[:200]
        assert int(head.split(b" ")[1]) in statuses, answer[:400]
        if case.status != 200:
            error = json.loads(body)["error"]
            assert error["message"]
            if case.code is not None:
                assert error["code"] == case.code, error
            if case.says is not None:
                assert case.says in error["message"], error
        if case.closes:
            assert b"connection: close" in head.lower(), head
            assert closed, "the connection stayed open"
        if case.within_ms is not None:
            assert seconds * 1000 < case.within_ms
        if case.at_most is not None:
            assert taken < case.at_most, "more was taken than the limit and a little"
    assert [seen.model for seen in vendor.seen[asked:]] == ([case.asked] if case.asked else [])


async def send(started: Gateway, case: Case) -> tuple[bytes, bool, int]:
    """The answer, whether the connection was closed after it, and how many bytes were taken before."""
    reader, writer = await started.running.connect()
    taken = 0
    answering = asyncio.create_task(_answer(reader))
    try:
        for piece in case.pieces():
            writer.write(piece)
            if case.chunked is not None:
                with contextlib.suppress(ConnectionError):
                    await asyncio.wait_for(writer.drain(), 30)
            if answering.done():
                break
            taken += len(piece)
        answer = await asyncio.wait_for(answering, 30)
        closed = True
        try:
            async with asyncio.timeout(20 if case.closes else 0.001):
                with contextlib.suppress(ConnectionError):
                    while await reader.read(65536):
                        pass
        except TimeoutError:
            closed = False
        return answer, closed, taken
    finally:
        answering.cancel()
        writer.transport.abort()


async def _answer(reader: asyncio.StreamReader) -> bytes:
    """One whole answer with a length."""
    got = b""
    while True:
        piece = await reader.read(65536)
        got += piece
        head, end, body = got.partition(b"\r\n\r\n")
        length = [
            row.split(b":")[1] for row in head.lower().split(b"\r\n") if row.startswith(b"content-length:")
        ]
        if not piece or (end and length and len(body) >= int(length[0])):
            return got


async def test_the_gateway_answers_still(started: Gateway) -> None:
    async with started.baseline(records=1):
        got: Any = await started.ask("ok")
    assert got.status == 200
