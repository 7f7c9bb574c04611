"""Fake vendors on loopback, one per dialect, all at one port: `answers/NAME.yaml` is what each of them says.

A fake is as strict as its vendor: a call must be to the path and with the method that the vendor documents,
and its body is judged by the vendor's own types (`judges.py`). What is wrong is kept in `faults`, and the
call is answered 418, so that no test can pass by it. Each file holds:

    model, base            the vendor's name of a model, and the path before all its paths
    asked                  method and path of a call (`whole`, `stream`, `count`)
    usage                  what its counts come to, all input counted
    text, call, job        whole answers; text_stream, call_stream, stream_error: streams, event by event
    errors                 by failure class: status, headers, body
    headers                headers of every answer; provider: more of a provider file
    without                what the vendor does not have: tools, schema
"""

from __future__ import annotations

import asyncio
import json
import re
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml
from judges import request_faults
from scripted import Connection, Scripted, head, whole

from engine.wire.framing import FRAMINGS

HERE: Final = Path(__file__).parent
DIALECTS: Final = sorted(path.stem for path in (HERE / "answers").glob("*.yaml"))
TEXT: Final = "Größe: Paris 👋."
FORM: Final = '{"city":"Paris","days":2}'
ARGUMENTS: Final = {"city": "Rome", "days": 2}
ENCODING: Final = {"ollama": "ndjson", "bedrock_converse": "aws_eventstream"}


@cache
def answers(dialect: str) -> dict[str, Any]:
    """What the vendor of that dialect says."""
    found: dict[str, Any] = yaml.safe_load((HERE / "answers" / f"{dialect}.yaml").read_text())
    return found


def has(dialect: str, thing: str) -> bool:
    """Whether the vendor has `tools`, or `schema`: answers of a promised form."""
    return thing not in answers(dialect).get("without", ())


def encoded(dialect: str, events: list[Any]) -> bytes:
    """The bytes of a stream in the vendor's framing."""
    encode = FRAMINGS[ENCODING.get(dialect, "sse")].encode
    assert encode is not None
    return b"".join(encode(*_datum(event)) for event in events)


def _datum(event: Any) -> tuple[bytes, str]:
    """The data and the name of an event."""
    if isinstance(event, str):
        return event.encode(), ""
    name = event.get("$exception") or event.get("$event") or ""
    data = event.get("$data", {key: value for key, value in event.items() if not key.startswith("$")})
    # Text with line breaks is several `data` lines of one event.
    lines = "\ndata: ".join(re.split("\r\n|\r|\n", data)) if isinstance(data, str) else json.dumps(data)
    return lines.encode(), name


class Fakes(Scripted):
    """`fakes.say(...)` sets what every fake answers next; `calls` and `faults` are what came."""

    def __init__(self) -> None:
        super().__init__(self._run)
        self.reset()

    def reset(self) -> None:
        self.kind = "text"
        self.heard: list[str] = []
        self.job_lasts = 0
        self.calls: list[tuple[str, str, dict[str, Any]]] = []
        self.heads: list[dict[str, str]] = []
        self.faults: list[str] = []

    def say(self, kind: str, heard: list[str] | None = None) -> None:
        """`text`, `call`, `form` (the text is JSON), `stream_error`, or `error:CLASS`.

        heard: what the client has read; a stream's error is said once there is some of it.
        """
        self.kind, self.heard = kind, [] if heard is None else heard

    async def _run(self, connection: Connection) -> None:
        top, _, data = connection.last.partition(b"\r\n\r\n")
        first, *rows = top.decode("latin-1").split("\r\n")
        method, path, _ = first.split(" ")
        dialect, _, path = path.removeprefix("/").partition("/")
        path = f"/{path}"
        self.heads.append({k.lower(): v.strip() for k, _, v in (row.partition(":") for row in rows)})
        body = json.loads(data) if data else {}
        self.calls.append((dialect, f"{method} {path}", body))
        data = self._answer(dialect, f"{method} {path}", body)
        if self.kind != "stream_error":
            connection.send(data)
            return
        # Where both come at once the engine may ask another vendor: here the client has read the text.
        failing = encoded(dialect, answers(dialect)["stream_error"][-1:])
        connection.send(data.removesuffix(failing))
        if data.endswith(failing):
            while not any(self.heard):
                await asyncio.sleep(0.001)
            connection.send(failing)

    def _answer(self, dialect: str, called: str, body: dict[str, Any]) -> bytes:
        said = answers(dialect)
        if called.startswith("GET ") and "job" in said:
            return self._followed(dialect, called)
        if "job" in said and called.endswith("/cancel"):
            return whole(200, self._own({**said["job"], "status": "canceled"}))
        streamed = self._is_stream(said, body)
        if called == said["asked"].get("count"):
            return whole(200, json.dumps(said["counted"]).encode())
        kind = "stream" if streamed else "whole"
        faults = request_faults(dialect, body, said)
        if called != said["asked"][kind]:
            faults.append(f"{called} is not {said['asked'][kind]}")
        if faults:
            self.faults += faults
            return whole(418, json.dumps({"wrong": faults}).encode())
        if self.kind.startswith("error:"):
            error = said["errors"][self.kind.removeprefix("error:")]
            data = json.dumps(error["body"]).encode()
            return whole(error["status"], data, "application/json", *_rows(error))
        if "job" in said and (streamed or self.job_lasts):
            return whole(201, self._own(said["job"]))
        if streamed:
            return self._stream(dialect)
        return whole(200, self._own(self._whole(said)), "application/json", *_rows(said))

    def _is_stream(self, said: dict[str, Any], body: dict[str, Any]) -> bool:
        asked = said["asked"]
        if asked["stream"] != asked["whole"]:
            return self.calls[-1][1] == asked["stream"]
        if "stream_header" in said:
            return said["stream_header"] in self.heads[-1]
        return bool(body.get("stream"))

    def _whole(self, said: dict[str, Any]) -> Any:
        return _formed(said["text"]) if self.kind == "form" else said[self.kind]

    def _stream(self, dialect: str) -> bytes:
        kind = self.kind if self.kind == "stream_error" else f"{self.kind}_stream"
        said = answers(dialect)
        data = encoded(dialect, said[kind])
        framing = FRAMINGS[ENCODING.get(dialect, "sse")]
        return head(200, framing.media_type, len(data), *_rows(said)) + data

    def _followed(self, dialect: str, called: str) -> bytes:
        """A job's state, or its stream."""
        if called.endswith("/stream"):
            return self._stream(dialect)
        self.job_lasts = max(0, self.job_lasts - 1)
        said = answers(dialect)
        state = {**said["job"], "status": "processing"} if self.job_lasts else self._whole(said)
        return whole(200, self._own(state))

    def _own(self, body: Any) -> bytes:
        """A body in which `{self}` is this fake."""
        return json.dumps(body).replace("{self}", f"{self.url}/replicate").encode()


def _rows(said: dict[str, Any]) -> list[str]:
    return [f"{name}: {value}" for name, value in said.get("headers", {}).items()]


def _formed(value: Any) -> Any:
    """An answer whose text is of the form that was asked for."""
    if isinstance(value, dict):
        return {key: _formed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_formed(item) for item in value]
    return FORM if value == TEXT else value


PROVIDER: Final = """\
dialect: {dialect}
base_url: http://127.0.0.1:{port}/{dialect}{base}
auth: {{bearer: env:MATRIX_KEY}}
residency: on_host
operations: [{operations}]
{more}
models:
  m: {{id: "{model}", context: 32k, output: 4k, input_price: $1/M, output_price: $10/M}}
"""


def write_matrix(folder: Path, port: int) -> Path:
    """A workspace with a provider, a deployment and a route for each dialect, all of the dialect's name."""
    for name in ("routes", "providers.d"):
        (folder / name).mkdir(parents=True)
    (folder / "engine.yaml").write_text("listen: 127.0.0.1:0\nstate: memory\n")
    rows = []
    for dialect in DIALECTS:
        said = answers(dialect)
        settings = said.get("settings", {})
        operations = "chat, count_tokens" if "count" in said["asked"] else "chat"
        own = {"settings": {name: {"about": name} for name in settings}, **said.get("provider", {})}
        more = "\n".join(f"{name}: {json.dumps(value)}" for name, value in own.items() if value)
        text = PROVIDER.format(
            dialect=dialect, port=port, base=said["base"], model=said["model"], operations=operations,
            more=more,
        )  # fmt: skip
        (folder / "providers.d" / f"fake_{dialect}.yaml").write_text(text)
        rows.append(f"  {dialect}: {{provider: fake_{dialect}, model: m, settings: {json.dumps(settings)}}}")
    routes = [f"  {dialect}: {{start: {dialect}, retry: {{extra: 0}}}}" for dialect in DIALECTS]
    text = "\n".join(["deployments:", *rows, "routes:", *routes, ""])
    (folder / "routes" / "main.yaml").write_text(text)
    return folder
