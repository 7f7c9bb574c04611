"""`on_cut: continue` over real sockets: every way a stream can break, every format a client may speak.

The vendor knows one text. Asked for it, it breaks off half-way; asked to go on, it checks that what it is
given is exactly how the text begins, and says the rest.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
import pytest_asyncio
from clients import STREAMS
from running import Running, running, write_workspace
from scripted import Connection, chunk, head, whole
from vendor import DONE, USAGE, Vendor, event

TEXT = " ".join(f"word{number}" for number in range(60)) + "\n\nThe end."
WORDS = [*(piece + " " for piece in TEXT.split(" ")[:-1]), TEXT.split(" ")[-1]]
assert "".join(WORDS) == TEXT

PROVIDER = """\
dialect: openai_chat
base_url: http://127.0.0.1:{port}/v1
auth: none
residency: on_host
models:
  able: {{context: 32k, output: 4k, price: free, can: [tools, json_object, prefill, stream]}}
  unable: {{context: 32k, output: 4k, price: free, can: [tools, json_object, stream]}}
"""

ROUTES = """\
defaults:
  timeout: {connect: 1s, first_token: 2s, idle: 300ms}
  retry: {extra: 1, backoff: 5ms}
deployments:
  able: {provider: fake, model: able}
  unable: {provider: fake, model: unable}
  other: {provider: fake, model: able, wire_model: other}
routes:
  same: {start: {fallback: [able, unable]}, stream: {on_cut: continue}}
  next: {start: {fallback: [{use: unable, retry: {extra: 0}}, other]}, stream: {on_cut: continue}}
  nobody: {start: {fallback: [{use: unable, retry: {extra: 0}}, unable]}, stream: {on_cut: continue}}
"""


async def cut(connection: Connection) -> None:
    connection.end()


async def reset(connection: Connection) -> None:
    connection.reset()


async def truncated(connection: Connection) -> None:
    connection.send(b"0\r\n\r\n")


async def silent(connection: Connection) -> None:
    await asyncio.sleep(3600)


async def drip(connection: Connection) -> None:
    for byte in b'data: {"choices": [{"index": 0, "delta": {"content": "never the end of this event':
        connection.send(chunk(bytes([byte])))
        await asyncio.sleep(0.05)


async def comments(connection: Connection) -> None:
    while True:
        connection.send(chunk(b": still here\n\n"))
        await asyncio.sleep(0.05)


async def no_json(connection: Connection) -> None:
    connection.send(chunk(b'data: {"choices": [{"delta": {"content": "wo\n\n') + event({"content": "never"}))
    await asyncio.sleep(3600)


async def told(connection: Connection) -> None:
    error = {"error": {"message": "The server is overloaded.", "type": "server_error", "code": None}}
    connection.send(chunk(b"data: " + json.dumps(error).encode() + b"\n\n"))


async def long_line(connection: Connection) -> None:
    for _ in range(50):
        connection.send(chunk(b"x" * (1 << 20)))
        await asyncio.sleep(0)


BREAKS: dict[str, Callable[[Connection], Awaitable[None]]] = {
    each.__name__: each for each in (cut, reset, truncated, silent, drip, comments, no_json, told, long_line)
}


pytestmark = pytest.mark.asyncio(loop_scope="module")


class Teller(Vendor):
    """Tells the text; `breaks` is how it breaks off after 40 words, `bodies` what it was asked."""

    breaks = staticmethod(cut)

    async def _run(self, connection: Connection) -> None:
        body = json.loads(connection.last.partition(b"\r\n\r\n")[2])
        self.bodies.append(body)
        last = body["messages"][-1]
        if last["role"] != "assistant":
            connection.send(head(200, "text/event-stream") + event({"role": "assistant", "content": ""}))
            for word in WORDS[:40]:
                connection.send(event({"content": word}))
            await asyncio.sleep(0.01)
            await self.breaks(connection)
        elif body["model"] == "unable" or not TEXT.startswith(last["content"]) or last["content"][-1] == " ":
            refused = {"error": {"message": "The last message may not be the assistant's.", "code": None}}
            connection.send(whole(400, json.dumps(refused).encode()))
        else:
            connection.send(head(200, "text/event-stream") + event({"role": "assistant", "content": ""}))
            for word in TEXT[len(last["content"]) :].split(" "):
                connection.send(event({"content": f" {word}"} if word else {"content": ""}))
            connection.send(event({}, "stop") + USAGE + DONE)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def started(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Teller, Running]]:
    """One for all tests here: compiling takes longer than any of them."""
    async with Teller() as teller:
        assert isinstance(teller, Teller)
        folder = write_workspace(tmp_path_factory.mktemp("ws"), teller.port, routes=ROUTES)
        (folder / "providers.d" / "fake.yaml").write_text(PROVIDER.format(port=teller.port))
        async with running(folder) as served:
            yield teller, served


@pytest.fixture
def teller(started: tuple[Teller, Running]) -> Teller:
    started[0].breaks = cut  # type: ignore[method-assign] # what a test may set
    started[0].bodies.clear()
    return started[0]


@pytest.fixture
def served(started: tuple[Teller, Running]) -> Running:
    return started[1]


async def ask(served: Running, dialect: str, model: str) -> tuple[httpx.Response, list[Any], dict[str, Any]]:
    """The answer, its events as the dialect itself reads them, and the decision record."""
    path, body = STREAMS[dialect]
    records: list[Any] = []
    sinks = served.sidecar.host.executor.sinks
    sinks.append(records.append)
    answer = await served.client.post(path.replace("MODEL", model), json={"model": model, **body})
    sinks.remove(records.append)
    assert answer.status_code == 200, answer.text
    reader = served.sidecar.reloader.snapshot.dialect(dialect).stream_reader("chat")
    events: list[Any] = reader.feed(answer.content)
    return answer, events + reader.eof(), records[-1]


def text_of(events: list[Any]) -> str:
    return "".join(each["text"] for each in events if each["type"] == "text")


def nothing_open(served: Running) -> None:
    assert served.sidecar.host.state.open_leases() == 0
    assert served.sidecar.service.open == set()


@pytest.mark.parametrize("model", ["same", "next"])
@pytest.mark.parametrize("broken", BREAKS)
async def test_the_whole_exact_text(served: Running, teller: Teller, broken: str, model: str) -> None:
    teller.breaks = BREAKS[broken]  # type: ignore[method-assign, assignment]
    answer, events, _ = await ask(served, "openai_chat", model)
    assert text_of(events) == TEXT
    assert events[-1]["type"] == "usage"
    assert answer.content.endswith(b"data: [DONE]\n\n")
    asked = [(body["model"], body["messages"][-1]["role"]) for body in teller.bodies]
    first, then = ("able", "able") if model == "same" else ("unable", "other")
    assert asked == [(first, "user"), (then, "assistant")]
    chunks = [json.loads(row[6:]) for row in answer.text.split("\n\n") if row.startswith("data: {")]
    assert {(each["id"], each["model"]) for each in chunks} == {("chatcmpl-1", chunks[0]["model"])}
    assert sum(each["choices"][0]["delta"].get("role") is not None for each in chunks if each["choices"]) == 1
    nothing_open(served)


@pytest.mark.parametrize("dialect", STREAMS)
async def test_in_every_format(served: Running, teller: Teller, dialect: str) -> None:
    _, events, record = await ask(served, dialect, "same")
    assert text_of(events) == TEXT
    assert [each["type"] for each in events if each["type"] != "text"] == ["start", "finish", "usage"]
    assert [each.role for each in record.attempts] == ["answer", "continue"]
    nothing_open(served)


@pytest.mark.parametrize("dialect", STREAMS)
async def test_nobody_goes_on(served: Running, teller: Teller, dialect: str) -> None:
    """What came, then an error event in the client's format; a refused prefill is never shown."""
    answer, events, record = await ask(served, dialect, "nobody")
    assert text_of(events) == "".join(WORDS[:40])
    assert events[-1]["type"] == "error"
    assert b"assistant's" not in answer.content
    assert len(teller.bodies) == 1
    assert record.failure == "cut"
    nothing_open(served)
