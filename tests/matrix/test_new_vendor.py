"""The 41st vendor: one file of at most 30 lines, and it serves chat, streams, tools and errors; no Python."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import openai
import pytest
import pytest_asyncio
from fakes import ARGUMENTS, TEXT, answers, encoded
from running import Running, running
from scripted import Connection, Scripted, head, whole

from engine.cli.main import main

pytestmark = pytest.mark.asyncio(loop_scope="module")

FILE: Final = Path(__file__).with_name("new_vendor.yaml")
HI: Final[Any] = [{"role": "user", "content": "Hello?"}]
TOOLS: Final[Any] = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
ROUTES: Final = """\
deployments:
  acme: {provider: acme, model: acme-1}
  over: {provider: acme, model: acme-1, region: us}
routes:
  acme: {start: acme, retry: {extra: 0}}
  over: {start: over, retry: {extra: 0}}
"""


class Acme(Scripted):
    """The vendor: `kind` is what it says next, `calls` what it was asked."""

    def __init__(self) -> None:
        super().__init__(self._run)
        self.kind = "text"
        self.calls: list[tuple[str, str, dict[str, Any]]] = []

    async def _run(self, connection: Connection) -> None:
        top, _, data = connection.last.partition(b"\r\n\r\n")
        body = json.loads(data)
        self.calls.append((top.split(b"\r\n")[0].decode().rpartition(" ")[0], top.decode().lower(), body))
        if self.kind in ERRORS:
            status, told = ERRORS[self.kind][:2]
            connection.send(whole(status, json.dumps(told).encode()))
        elif body.get("stream"):
            said = encoded("openai_chat", answers("openai_chat")[f"{self.kind}_stream"])
            connection.send(head(200, "text/event-stream", len(said)) + said)
        else:
            connection.send(whole(200, json.dumps(answers("openai_chat")[self.kind]).encode()))


#: What the vendor says of a failure, and what the SDK makes of it.
ERRORS: Final[dict[str, tuple[int, Any, type[openai.APIStatusError], str]]] = {
    "fast": (400, {"problem": "TOO_FAST", "wait_seconds": 3}, openai.RateLimitError, "rate_limit_exceeded"),
    "big": (422, {"problem": "PROMPT_TOO_BIG"}, openai.BadRequestError, "context_length_exceeded"),
    "teapot": (418, {}, openai.InternalServerError, "overloaded"),
    "key": (401, {}, openai.InternalServerError, "upstream_auth"),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def started(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[tuple[Acme, Running, openai.AsyncOpenAI]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ACME_KEY", "acme-secret")
        async with Acme() as acme:
            folder = tmp_path_factory.mktemp("acme")
            (folder / "routes").mkdir()
            (folder / "providers.d").mkdir()
            (folder / "engine.yaml").write_text("listen: 127.0.0.1:0\nstate: memory\n")
            (folder / "routes" / "main.yaml").write_text(ROUTES)
            text = FILE.read_text().replace("PORT", str(acme.port))
            (folder / "providers.d" / "acme.yaml").write_text(text)
            async with (
                running(folder) as sidecar,
                openai.AsyncOpenAI(base_url=f"{sidecar.url}/v1", api_key="any", max_retries=0) as sdk,
            ):
                yield acme, sidecar, sdk


@pytest.fixture
def acme(started: tuple[Acme, Running, openai.AsyncOpenAI]) -> Acme:
    started[0].kind = "text"
    started[0].calls.clear()
    started[1].sidecar.host.health.keep((), ())  # what it remembers of the failures before
    return started[0]


@pytest.fixture
def sdk(started: tuple[Acme, Running, openai.AsyncOpenAI]) -> openai.AsyncOpenAI:
    return started[2]


async def test_it_is_a_page_of_yaml() -> None:
    assert len(FILE.read_text().splitlines()) <= 30


async def test_chat(acme: Acme, sdk: openai.AsyncOpenAI) -> None:
    reply = await sdk.chat.completions.create(
        model="acme", messages=HI, max_completion_tokens=50, seed=7, temperature=1.5
    )
    assert reply.choices[0].message.content == TEXT
    ((called, top, body),) = acme.calls
    assert called == "POST /eu/api/generate/chat"
    assert "x-acme-key: acme-secret" in top
    assert "x-acme-version: 2026-11" in top
    assert body == {"model": "acme/one", "messages": HI, "limit": 50, "temperature": 1, "priority": 1}


async def test_another_region(acme: Acme, sdk: openai.AsyncOpenAI) -> None:
    await sdk.chat.completions.create(model="over", messages=HI)
    assert acme.calls[0][0] == "POST /us/api/generate/chat"


async def test_a_stream(acme: Acme, sdk: openai.AsyncOpenAI) -> None:
    async with sdk.chat.completions.stream(model="acme", messages=HI) as stream:
        async for _ in stream:
            pass
        reply = await stream.get_final_completion()
    assert reply.choices[0].message.content == TEXT


async def test_tools(acme: Acme, sdk: openai.AsyncOpenAI) -> None:
    acme.kind = "call"
    reply = await sdk.chat.completions.create(model="acme", messages=HI, tools=TOOLS)
    (call,) = reply.choices[0].message.tool_calls or ()
    assert json.loads(call.function.arguments) == ARGUMENTS  # type: ignore[union-attr]
    acme.kind = "text"
    result = {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
    messages: Any = [*HI, reply.choices[0].message.model_dump(exclude_none=True), result]
    reply = await sdk.chat.completions.create(model="acme", messages=messages, tools=TOOLS)
    assert reply.choices[0].message.content == TEXT
    assert acme.calls[-1][2]["messages"][-1] == result


@pytest.mark.parametrize("kind", ERRORS)
async def test_errors(kind: str, acme: Acme, sdk: openai.AsyncOpenAI) -> None:
    acme.kind = kind
    _, _, error, code = ERRORS[kind]
    with pytest.raises(openai.APIStatusError) as raised:
        await sdk.chat.completions.create(model="acme", messages=HI)
    assert type(raised.value) is error
    assert raised.value.code == code
    if kind == "fast":
        assert raised.value.response.headers["retry-after"] == "3"


async def test_the_commands_know_it(
    started: tuple[Acme, Running, openai.AsyncOpenAI], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(started[1].folder)
    assert main(["providers", "list", "--workspace", folder]) == 0
    assert "acme" in capsys.readouterr().out
    assert main(["providers", "check", "acme", "--workspace", folder]) == 0
    assert "1 samples, 0 failed" in capsys.readouterr().out
