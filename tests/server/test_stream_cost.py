"""What a stream cost stands in its usage event, and every other byte of the vendor's passes as it came."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from running import CHAT, HELLO, Running, running, write_workspace
from scripted import Connection, chunk, head
from vendor import Vendor, streams

from engine.wire.stream_reader import BoundStreamRead

COST = {"cost": 0.000042, "deployment": "near", "calls": 1}
USAGE = {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15, "vendors_own": {"x": 1}}


def data(body: dict[str, Any]) -> bytes:
    # Spaces and order are no JSON library's own: whoever writes it anew is found out.
    return b"data:  " + json.dumps({"zz": 1, "id": "c-1", **body}, indent=None).encode() + b"\n\n"


def choice(finish: str | None = None, index: int = 0, **delta: Any) -> dict[str, Any]:
    return {"index": index, "delta": delta, "finish_reason": finish}


TEXT = data({"choices": [choice(content="Hi")]})
END = data({"choices": [choice("stop")]})
LAST = data({"choices": [], "usage": USAGE})
FINISH_AND_USAGE = data({"choices": [choice("stop")], "usage": USAGE})
SO_FAR = data({"choices": [choice(content="!")], "usage": {**USAGE, "completion_tokens": 1}})
DONE = b"data: [DONE]\n\n"
PING = b": ping\n\n"


async def ask(server: Running, vendor: Vendor, *parts: bytes, apart: bool, usage: bool = True) -> bytes:
    """The bytes of a stream whose vendor sends these, each in a packet of its own or all in one."""

    async def script(connection: Connection) -> None:
        connection.send(head(200, "text/event-stream"))
        for part in parts if apart else [b"".join(parts)]:
            connection.send(chunk(part))
        connection.send(b"0\r\n\r\n")

    vendor.answer = script
    body = {"model": "one", "messages": HELLO, "stream": True, "stream_options": {"include_usage": usage}}
    answer = await server.client.post(CHAT, json=body)
    assert answer.status_code == 200
    return answer.content


def read(event: bytes) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(event.removeprefix(b"data:"))
    return told


@pytest.mark.parametrize("apart", [True, False])
@pytest.mark.parametrize(
    ("parts", "before", "spliced", "after"),
    [
        ([TEXT, END, LAST, DONE], TEXT + END, LAST, DONE),
        ([TEXT, PING, END, LAST, PING, DONE], TEXT + PING + END, LAST, PING + DONE),
        ([TEXT, FINISH_AND_USAGE, DONE], TEXT, FINISH_AND_USAGE, DONE),
        ([TEXT, SO_FAR, FINISH_AND_USAGE, LAST, DONE], TEXT + SO_FAR + FINISH_AND_USAGE, LAST, DONE),
        ([TEXT, END, LAST], TEXT + END, LAST, DONE),  # the sentinel that the vendor forgot
    ],
)
async def test_the_cost_is_added_to_the_vendors_own_event(
    sidecar: Running,
    vendor: Vendor,
    parts: list[bytes],
    before: bytes,
    spliced: bytes,
    after: bytes,
    apart: bool,
) -> None:
    got = await ask(sidecar, vendor, *parts, apart=apart)
    assert got.startswith(before)
    assert got.endswith(after)
    assert read(got[len(before) : len(got) - len(after)]) == read(spliced) | {"x_engine": COST}


@pytest.mark.parametrize("apart", [True, False])
async def test_a_client_that_did_not_ask_gets_the_vendors_bytes(
    sidecar: Running, vendor: Vendor, apart: bool
) -> None:
    assert await ask(sidecar, vendor, TEXT, END, LAST, DONE, apart=apart, usage=False) == TEXT + END + DONE


async def test_a_vendor_that_says_no_usage_is_counted_for(sidecar: Running, vendor: Vendor) -> None:
    got = await ask(sidecar, vendor, TEXT, END, DONE, apart=True)
    assert got.startswith(TEXT + END)
    assert got.endswith(DONE)
    told = read(got[len(TEXT + END) : -len(DONE)])
    assert (told["id"], told["object"], told["choices"]) == ("c-1", "chat.completion.chunk", [])
    assert told["usage"]["completion_tokens"] == 1
    assert told["x_engine"].keys() == COST.keys()
    assert told["x_engine"]["cost"] > 0


async def test_of_an_answer_of_the_routes_own(sidecar: Running) -> None:
    body = {"model": "fixed", "messages": HELLO, "stream": True, "stream_options": {"include_usage": True}}
    answer = await sidecar.client.post(CHAT, json=body)
    *_, last, done, empty = answer.content.split(b"\n\n")
    assert (done, empty) == (b"data: [DONE]", b"")
    assert read(last)["x_engine"] == {"cost": 0.0, "calls": 0}


async def test_a_hidden_model_stays_hidden(vendor: Vendor, tmp_path: Path) -> None:
    """The vendor's own bytes would name it."""
    routes = "deployments: {near: {provider: fake, model: m-1}}\n"
    routes += "routes: {one: {start: near, reply_model: requested}}\n"
    async with running(write_workspace(tmp_path / "ws", vendor.port, routes=routes)) as server:
        whole = await server.chat()
        assert whole.json()["model"] == "one"
        vendor.answer = streams()
        body = {"model": "one", "messages": HELLO, "stream": True, "stream_options": {"include_usage": True}}
        stream = await server.client.post(CHAT, json=body)
    events = [read(line) for line in stream.content.split(b"\n\n") if b"{" in line]
    assert {event["model"] for event in events} == {"one"}
    assert events[-1]["x_engine"] == COST


MIDDLE = [data({"choices": [choice(content="abc ")]})] * 200


async def test_the_middle_of_a_stream_that_passes_through_is_not_parsed(
    sidecar: Running, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[bytes] = []
    real = BoundStreamRead.__init__

    def counting(self: BoundStreamRead, *args: Any) -> None:
        real(self, *args)
        parse = self.parse

        def counted(datum: bytes) -> Any:
            parsed.append(datum)
            return parse(datum)

        self.parse = counted

    monkeypatch.setattr(BoundStreamRead, "__init__", counting)
    got = await ask(sidecar, vendor, TEXT, *MIDDLE, END, DONE, apart=False)
    # What came first, and the finish. Beside them, the size of the middle is guessed from its beginning,
    # because this vendor says no usage.
    assert len([datum for datum in parsed if b"abc" not in datum]) == 2
    assert len(parsed) < 120
    assert got.startswith(TEXT + b"".join(MIDDLE) + END)
    told = read(got.removeprefix(TEXT + b"".join(MIDDLE) + END).removesuffix(DONE))
    assert abs(told["usage"]["completion_tokens"] - len("Hi" + "abc " * 200) // 4) < 10

    parsed.clear()
    got = await ask(sidecar, vendor, TEXT, *MIDDLE, END, LAST, DONE, apart=False, usage=False)
    assert got == TEXT + b"".join(MIDDLE) + END + DONE
    # The beginning, the first of the middle, whose form the others have, and the end.
    assert len(parsed) == 4


async def test_a_stream_that_is_written_anew_is_read_whole(vendor: Vendor, tmp_path: Path) -> None:
    routes = "deployments: {near: {provider: fake, model: m-1}}\n"
    routes += "routes: {one: {start: near, reply_model: requested}}\n"
    async with running(write_workspace(tmp_path / "ws", vendor.port, routes=routes)) as server:
        got = await ask(server, vendor, TEXT, *MIDDLE, END, LAST, DONE, apart=True)
    texts = [read(line)["choices"] for line in got.split(b"\n\n") if b"{" in line]
    assert "".join(each[0]["delta"].get("content") or "" for each in texts if each) == "Hi" + "abc " * 200
