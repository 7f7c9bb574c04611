"""`engine explain` prints, for each attempt, the very request that its vendor gets, with secrets masked."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, Final

import pytest
from running import running
from scripted import Connection, Scripted, whole

from engine.cli.main import main

#: The environment's secrets: none of them may be printed.
SECRETS: Final = {
    "OPENAI_API_KEY": "sk-proj-openaiopenaiopenai",
    "ANTHROPIC_API_KEY": "sk-ant-api03-" + "a" * 93 + "AA",
    "AWS_ACCESS_KEY_ID": "AKIAABCDEFGHIJKLMNOP",
    "AWS_SECRET_ACCESS_KEY": "bedrock+secret/bedrock+secret/bedrock+se",
    "GEMINI_API_KEY": "AIza" + "g" * 35,
}
ROUTES: Final = """\
credentials:
  aws: {{provider: bedrock, access_key: env:AWS_ACCESS_KEY_ID, secret_key: env:AWS_SECRET_ACCESS_KEY}}
deployments:
  gpt: {{provider: openai, model: gpt-6-luna, endpoint: "http://127.0.0.1:{port}/o/v1"}}
  claude: {{provider: anthropic, model: claude-sonnet-5-5, endpoint: "http://127.0.0.1:{port}/a"}}
  rock: {{provider: bedrock, model: "anthropic.claude-haiku-5-5-v1:0", region: eu-central-1, credentials: aws,
         endpoint: "http://127.0.0.1:{port}/b"}}
  gem: {{provider: gemini, model: gemini-3.5-flash, endpoint: "http://127.0.0.1:{port}/g/v1beta"}}
routes:
  all: {{start: {{fallback: [gpt, claude, rock, gem], retry: {{extra: 0}}}}}}
"""
WEATHER: Final = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CALL: Final = {"name": "weather", "arguments": '{"city":"Rome"}'}
TALK: Final[dict[str, Any]] = {
    "model": "all",
    "max_tokens": 200,
    "temperature": 0.25,
    "messages": [
        {"role": "system", "content": "Be brief, naïvely 👋."},
        {"role": "user", "content": "How is {{ Rome }}?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "call_1", "type": "function", "function": CALL}],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
    ],
    "tools": [{"type": "function", "function": {"name": "weather", "parameters": WEATHER}}],
}
#: What each vendor is asked, of the request above: method and path.
ASKED: Final = [
    "POST /o/v1/responses",
    "POST /a/v1/messages",
    "POST /b/model/anthropic.claude-haiku-5-5-v1%3A0/converse",
    "POST /g/v1beta/models/gemini-3.5-flash:generateContent",
]
PLAIN: Final = {**TALK, "messages": TALK["messages"][:2], "tools": None, "stream": True}
STREAMED: Final = [
    "POST /o/v1/chat/completions",
    "POST /a/v1/messages",
    "POST /b/model/anthropic.claude-haiku-5-5-v1%3A0/converse-stream",
    "POST /g/v1beta/models/gemini-3.5-flash:streamGenerateContent?alt=sse",
]


#: Headers that belong to a call at its time.
OF_THE_CALL: Final = {"host", "content-length", "connection", "accept-encoding", "x-amz-date"}


class Refuses(Scripted):
    """Answers every call with a fault, and keeps what came: (method and path, headers, body)."""

    def __init__(self) -> None:
        super().__init__(self._run)
        self.calls: list[tuple[str, dict[str, str], Any]] = []

    async def _run(self, connection: Connection) -> None:
        top, _, data = connection.last.partition(b"\r\n\r\n")
        first, *rows = top.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (row.partition(":") for row in rows)}
        self.calls.append((first.rpartition(" ")[0], headers, json.loads(data)))
        connection.send(whole(500, b"{}"))


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_BEARER_TOKEN_BEDROCK", raising=False)


def workspace(folder: Path, port: int) -> Path:
    (folder / "routes").mkdir(parents=True)
    (folder / "engine.yaml").write_text("listen: 127.0.0.1:0\nstate: memory\n")
    (folder / "routes" / "main.yaml").write_text(ROUTES.format(port=port))
    return folder


@pytest.mark.parametrize(("body", "asked"), [(TALK, ASKED), (PLAIN, STREAMED)], ids=["tools", "streamed"])
async def test_what_is_printed_is_what_is_sent(
    body: dict[str, Any], asked: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    body = {name: value for name, value in body.items() if value is not None}
    (tmp_path / "request.json").write_text(json.dumps(body))
    async with Refuses() as vendor:
        folder = workspace(tmp_path / "ws", vendor.port)
        async with running(folder) as sidecar:
            answer = await sidecar.client.post("/v1/chat/completions", json=body)
        assert answer.status_code >= 500
        fails = [f"--fail={name}=server" for name in ("gpt", "claude", "rock", "gem")]
        told = (str(tmp_path / "request.json"), "--route", "all", "-w", str(folder), *fails)
        code = await asyncio.to_thread(main, ["explain", *told, "--format", "json"])
        printed = capsys.readouterr().out
        assert code == 0
        requests = json.loads(printed)["requests"]
        assert [each["attempt"] for each in requests] == [1, 2, 3, 4]
        assert [called for called, _, _ in vendor.calls] == asked
        for each, (called, headers, sent) in zip(requests, vendor.calls, strict=True):
            assert f"{each['method']} {each['url']}" == called.replace(" ", f" {vendor.url}", 1)
            assert each["body"] == sent
            masked = {name for name, value in each["headers"].items() if "***" in value}
            for name, value in each["headers"].items():
                assert name in headers
                assert name in masked or headers[name] == value
            hidden = headers.keys() - each["headers"].keys()
            assert hidden <= OF_THE_CALL
            assert masked == {*MASKED[each["deployment"]]}
        assert not any(secret in printed for secret in SECRETS.values())


#: The headers whose values are secrets, or follow from them.
MASKED: Final = {
    "gpt": ["authorization"],
    "claude": ["x-api-key"],
    "rock": ["authorization"],
    "gem": ["x-goog-api-key"],
}


async def test_people_are_told_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "request.json").write_text(json.dumps(TALK))
    folder = workspace(tmp_path / "ws", 9)
    code = await asyncio.to_thread(
        main, ["explain", str(tmp_path / "request.json"), "--route", "all", "-w", str(folder)]
    )
    printed = capsys.readouterr().out
    assert code == 0
    assert "1. gpt: POST http://127.0.0.1:9/o/v1/responses (openai_responses)" in printed
    assert "authorization: ***" in printed
    assert not any(secret in printed for secret in SECRETS.values())
