"""`on_cut: continue` where the vendor speaks the client's own format, so that its bytes pass through.

The vendor of each format is made of the engine's own writer of it: it tells half of a text and hangs up, and
tells the rest to whoever begins the answer for it.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from clients import STREAMS
from running import Running, running, write_workspace
from scripted import Connection, chunk, head, whole
from vendor import Vendor

from engine.wire.dialect import BoundDialect

TEXT = "".join(f"word{number} " for number in range(30)) + "\nThe end."
HALF = TEXT[:95]
assert HALF.endswith(" ")

#: Without a place for turns of the assistant's there is nothing to begin an answer with.
FORMATS = sorted(STREAMS.keys() - {"openai_completions"})

PROVIDER = """\
dialect: {dialect}
base_url: http://127.0.0.1:{port}/{dialect}
auth: none
residency: on_host
models:
  able: {{context: 32k, output: 4k, price: free, can: [prefill, stream]}}
"""


class Polyglot(Vendor):
    """A vendor of every format; the first part of the path says which. `dialects` is set by the fixture."""

    def __init__(self) -> None:
        super().__init__()
        self.dialects: dict[str, BoundDialect] = {}

    async def _run(self, connection: Connection) -> None:
        line, _, rest = connection.last.partition(b"\r\n")
        dialect = self.dialects[line.split(b"/")[1].decode()]
        body = json.loads(rest.partition(b"\r\n\r\n")[2])
        self.bodies.append(body)
        messages: Any = dialect.read_request("chat", {"model": "able", **body}, {}).get("messages")
        writer = dialect.stream_writer("chat", {"include_usage": True})
        said = "".join(part["text"] for part in messages[-1]["content"])
        if messages[-1]["role"] != "assistant":
            said = ""
        elif not TEXT.startswith(said) or said != said.rstrip():
            connection.send(whole(400, b'{"message": "this is not how it begins"}'))
            return
        rest_of_it = TEXT[len(said) :] if said else HALF
        words = [{"type": "text", "text": rest_of_it[at : at + 10]} for at in range(0, len(rest_of_it), 10)]
        events: Any = [{"type": "start", "id": f"id-{len(self.bodies)}", "model": "vendors-name"}, *words]
        connection.send(head(200, writer.media_type) + chunk(writer.events(events)))
        if said:
            end: Any = [
                {"type": "finish", "finish_reason": "stop"},
                {"type": "usage", "usage": {"input_tokens": 7, "output_tokens": 3}},
            ]
            connection.send(chunk(writer.events(end) + writer.end()) + b"0\r\n\r\n")
        else:
            connection.send(b"0\r\n\r\n")


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def started(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Polyglot, Running]]:
    deployments = "".join(f"  {name}: {{provider: p_{name}, model: able}}\n" for name in FORMATS)
    routes = "".join(f"  r_{name}: {{start: {name}, stream: {{on_cut: continue}}}}\n" for name in FORMATS)
    written = f"defaults: {{retry: {{extra: 1, backoff: 5ms}}}}\ndeployments:\n{deployments}routes:\n{routes}"
    async with Polyglot() as vendor:
        assert isinstance(vendor, Polyglot)
        folder = write_workspace(tmp_path_factory.mktemp("ws"), vendor.port, routes=written)
        for name in FORMATS:
            text = PROVIDER.format(port=vendor.port, dialect=name)
            (folder / "providers.d" / f"p_{name}.yaml").write_text(text)
        async with running(folder) as served:
            vendor.dialects = {name: served.sidecar.reloader.snapshot.dialect(name) for name in FORMATS}
            yield vendor, served


@pytest.mark.parametrize("name", FORMATS)
async def test_bytes_then_events(started: tuple[Polyglot, Running], name: str) -> None:
    vendor, served = started
    vendor.bodies.clear()
    path, body = STREAMS[name]
    model = f"r_{name}"
    records: list[Any] = []
    served.sidecar.host.executor.sinks.append(records.append)
    answer = await served.client.post(path.replace("MODEL", model), json={"model": model, **body})
    served.sidecar.host.executor.sinks.remove(records.append)
    reader = vendor.dialects[name].stream_reader("chat")
    events: Any = reader.feed(answer.content) + reader.eof()
    assert "".join(each["text"] for each in events if each["type"] == "text") == TEXT, answer.text
    assert [each["type"] for each in events if each["type"] != "text"] == ["start", "finish", "usage"]
    assert len(vendor.bodies) == 2
    assert [each.role for each in records[-1].attempts] == ["answer", "continue"]
    # One answer: where the format names it in every event, it is one name.
    assert b"id-2" not in answer.content
    if name != "openai_responses":  # its events are numbered, so all of them are ours
        assert answer.content.startswith(_first(vendor.dialects[name]))
    assert served.sidecar.host.state.open_leases() == 0


def _first(dialect: BoundDialect) -> bytes:
    """What the vendor sent first, as it sent it."""
    first: Any = [{"type": "start", "id": "id-1", "model": "vendors-name"}]
    return dialect.stream_writer("chat", {"include_usage": True}).events(first)
