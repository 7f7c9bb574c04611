"""What the fault tests share: a gateway in this process before a fault provider, a caller, and a baseline.

    async with Provider() as provider:
        folder = workspace(tmp_path, {"vendor": provider.url}, cases)
        async with gateway(folder, provider) as started:
            async with started.baseline():          # everything must come back
                got = await started.ask("u1", stream=True)

`baseline` holds after every test: no request open, no lease (reserved money), no attempt in flight, no task
and no socket more than before, no upstream connection that still waits for an answer; one decision record per
request with a stable failure class, every attempt's reserve closed; and no secret or prompt in any sink.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
from pulse import Pulse
from running import Running, running

from engine.bench.faults.provider import Provider
from engine.errors import ERROR_CODES
from engine.observe.log import Log
from engine.runtime.record import DecisionRecord
from engine.runtime.sinks import as_json

#: What may be seen by the vendor, and by nobody else.
KEY: Final = "sk-faults-0123456789abcdef0123456789"
#: What the client says; it may reach the vendor, never a log or a record.
PROMPT: Final = "canary-of-the-prompt-7f3a"
#: Everything has to be back by then.
WITHIN_S: Final = 30.0

PATHS: Final = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}


def provider_file(url: str, models: Mapping[str, str], **more: Any) -> dict[str, Any]:
    """A vendor at `url`. models: the vendor's name (a fault script) by ours."""
    prices = {"context": "100M", "output": "8k", "input_price": "$1/M", "output_price": "$10/M"}
    return {
        "dialect": "openai_chat",
        "base_url": url if "/fault/" in url else f"{url}/v1",
        "auth": {"bearer": "env:FAULTS_KEY"},
        "residency": "on_host",
        "models": {name: {"id": wire, **prices} for name, wire in models.items()},
        **more,
    }


def write_files(folder: Path, files: Mapping[str, Any]) -> Path:
    """Files of a workspace, written as JSON, which is YAML. `engine.yaml` has its defaults."""
    settings = {"listen": "127.0.0.1:0", "state": "memory", **files.get("engine.yaml", {})}
    for name, content in {**files, "engine.yaml": settings}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=1) + "\n")
    return folder


@dataclass
class Got:
    """An answer as its caller saw it. error: its `code`, whether it came as a body or as an event.

    seconds: by the clock, for what must take so long; loop_s: a `Pulse`'s, for what must not take longer.
    """

    status: int
    headers: Mapping[str, str]
    data: bytes
    seconds: float
    loop_s: float
    stream: bool
    text: str = ""
    finish: str | None = None
    usage: dict[str, Any] | None = None
    model: str | None = None
    ended: bool = False
    error: dict[str, Any] | None = None
    events: list[Any] = field(default_factory=list)
    broken: str | None = None  # the connection broke: how

    @property
    def code(self) -> str | None:
        return None if self.error is None else self.error.get("code") or self.error.get("type")


@dataclass
class Gateway:
    """A started sidecar before `providers`, with everything it told."""

    running: Running
    providers: tuple[Provider, ...]
    log: io.StringIO
    records: list[DecisionRecord]
    secrets: tuple[str, ...] = (KEY,)

    async def ask(
        self,
        model: str,
        *,
        stream: bool = False,
        shape: str = "openai",
        headers: Mapping[str, str] | None = None,
        **body: Any,
    ) -> Got:
        """One call over a connection of its own."""
        asked = {
            "model": model,
            "messages": [{"role": "user", "content": PROMPT}],
            "stream": stream,
            "max_tokens": 200,
            **({"stream_options": {"include_usage": True}} if stream and shape == "openai" else {}),
            **body,
        }
        began = time.monotonic()
        got = Got(0, {}, b"", 0.0, 0.0, stream)
        limits = httpx.Limits(max_keepalive_connections=0)
        async with (
            Pulse() as pulse,
            httpx.AsyncClient(base_url=self.running.url, limits=limits, timeout=30, verify=False) as client,
        ):
            try:
                async with client.stream("POST", PATHS[shape], json=asked, headers=headers) as answer:
                    got.status, got.headers = answer.status_code, answer.headers
                    async for piece in answer.aiter_bytes():
                        got.data += piece
            except httpx.HTTPError as error:
                got.broken = type(error).__name__
            got.seconds, got.loop_s = time.monotonic() - began, pulse.seconds
        _read(got, shape)
        return got

    def last(self) -> DecisionRecord:
        """The latest request's record."""
        return self.records[-1]

    def by_model(self, model: str) -> list[DecisionRecord]:
        return [record for record in self.records if record.model == model]

    # --- back to where it was ---------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def baseline(self, *, records: int | None = None) -> AsyncIterator[None]:
        """Asserts that the block leaves nothing. records: how many requests it makes; None: any number."""
        await self._quiet(self._held())
        before, known, logged = self._held(), len(self.records), self.log.tell()
        yield
        await self._quiet(before)
        told = self.records[known:]
        assert records is None or len(told) == records, f"{len(told)} records, {records} requests"
        assert len({record.id for record in told}) == len(told), "a request was recorded twice"
        for record in told:
            _check_record(record)
        self._no_secret(told, self.log.getvalue()[logged:])

    def _held(self) -> dict[str, int]:
        """What is open now; what a pool keeps for the next call is not counted."""
        sidecar, host = self.running.sidecar, self.running.sidecar.host
        transport = host._transport
        links = [link for provider in self.providers for link in provider.links if not link.closed.is_set()]
        playing = {id(link._task) for link in links}
        tasks = [task for task in asyncio.all_tasks() if id(task) not in playing and not task.done()]
        waiting = [link for link in links if link.seen is not None and not link.seen.answered]
        return {
            "requests": len(sidecar.service.open),
            "leases": host.state.open_leases(),
            "in flight": sum(
                host.state.in_flight(name) for name in sidecar.reloader.snapshot.plan.manifest.deployments
            ),
            "users of the plan": sidecar.reloader.snapshot.users,
            "tasks": len(tasks),
            "upstream calls": len(waiting),
            "sockets": sockets() - transport.open - len(links),  # type: ignore[attr-defined] # DirectTransport
        }

    async def _quiet(self, before: Mapping[str, int]) -> None:
        """Wait until nothing is held over `before`."""
        until = time.monotonic() + WITHIN_S
        while True:
            now = self._held()
            more = {
                name: f"{count}, was {before[name]}" for name, count in now.items() if count > before[name]
            }
            if not more:
                return
            if time.monotonic() > until:
                tasks = [str(task.get_coro()) for task in asyncio.all_tasks()] if "tasks" in more else ""
                raise AssertionError(f"still held {WITHIN_S:.0f} s later: {more} {tasks}")
            await asyncio.sleep(0.01)

    def _no_secret(self, told: list[DecisionRecord], log: str) -> None:
        records = json.dumps([as_json(record) for record in told])
        metrics = self.running.sidecar.metrics.exposition().decode()
        for secret in (*self.secrets, PROMPT):
            assert secret not in log, "a secret or a prompt is in the log"
            assert secret not in records, "a secret or a prompt is in a decision record"
            assert secret not in metrics, "a secret or a prompt is in the metrics"


def _check_record(record: DecisionRecord) -> None:
    """One structured account of the request: a stable class, and money that is settled or released once."""
    assert record.failure is None or record.failure in ERROR_CODES, record.failure
    assert record.duration_ms is not None
    for attempt in record.attempts:
        assert attempt.failure is None or attempt.failure in ERROR_CODES, attempt.failure
        assert attempt.closed in ("settled", "released"), (
            f"attempt {attempt.number} closed {attempt.closed!r}"
        )
        assert attempt.ended_ms is not None, f"attempt {attempt.number} has no end"
        assert attempt.closed == "settled" or attempt.cost.total == 0


def sockets() -> int:
    """Open sockets of this process, as the kernel counts them; 0 where it does not tell."""
    return sum(1 for name in _open_files() if name.startswith("socket:"))


def _open_files() -> Iterator[str]:
    fds = Path("/proc/self/fd")
    for fd in fds.iterdir() if fds.exists() else ():
        with contextlib.suppress(OSError):  # the folder's own
            yield str(fd.readlink())


@contextlib.asynccontextmanager
async def gateway(folder: Path, *providers: Provider, **options: Any) -> AsyncIterator[Gateway]:
    """The workspace in `folder`, served in this process; FAULTS_KEY must be in the environment."""
    told = io.StringIO()
    async with running(folder, log=Log("debug", stream=told, text=False), **options) as started:
        records: list[DecisionRecord] = []
        started.sidecar.host.executor.sinks.append(records.append)
        yield Gateway(started, providers, told, records)


# --- reading an answer --------------------------------------------------------------------------------------


def _read(got: Got, shape: str) -> None:
    kind = got.headers.get("content-type", "")
    if "event-stream" in kind:
        for line in got.data.decode(errors="replace").splitlines():
            if line.startswith("data:"):
                _event(got, line[5:].strip(), shape)
        return
    try:
        body = json.loads(got.data)
    except ValueError:
        return
    if body.get("error"):
        got.error = body["error"]
        return
    got.model, got.usage, got.ended = body.get("model"), body.get("usage"), True
    if shape == "openai":
        choice = body["choices"][0]
        got.text, got.finish = choice["message"].get("content") or "", choice["finish_reason"]
    else:
        got.text = "".join(part.get("text", "") for part in body["content"])
        got.finish = body["stop_reason"]


def _event(got: Got, data: str, shape: str) -> None:
    if data == "[DONE]":
        got.ended = True
        return
    try:
        event = json.loads(data)
    except ValueError:
        got.events.append(None)
        got.broken = f"an event is not JSON: {data[:60]}"
        return
    got.events.append(event)
    assert got.error is None, "something came after an error event"
    if event.get("error"):
        got.error = event["error"]
    elif shape == "openai":
        got.model, got.usage = event.get("model") or got.model, event.get("usage") or got.usage
        for choice in event.get("choices") or ():
            got.text += (choice.get("delta") or {}).get("content") or ""
            got.finish = choice.get("finish_reason") or got.finish
    elif event["type"] == "content_block_delta":
        got.text += event["delta"].get("text", "")
    elif event["type"] == "message_delta":
        got.finish, got.usage = event["delta"].get("stop_reason"), event.get("usage")
    elif event["type"] == "message_stop":
        got.ended = True
