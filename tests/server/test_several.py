"""`hedge`, `ensemble`, `cascade` and `mirror` over real sockets: what is open, what is closed, who waits."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from running import HELLO, Running, post, running, write_workspace
from scripted import Connection
from vendor import Vendor, answers, begins_only, chat, silence, streams

from engine.server.drain import drain

ROUTES = """\
deployments:
  slow: {provider: fake, model: m-1, wire_model: slow}
  stuck: {provider: fake, model: m-1, wire_model: stuck}
  quick: {provider: fake, model: m-1, wire_model: quick}
  judge: {provider: fake, model: m-1, wire_model: judge}
routes:
  hedged: {start: {hedge: [slow, quick], after: 20ms}}
  buffered: {stream: {switch_until: complete}, start: {hedge: [stuck, quick], after: 20ms}}
  nobody: {start: {hedge: [slow, stuck], after: 20ms}, stream: {switch_until: complete}}
  merged: {start: {ensemble: [quick, slow], merge: vote}}
  judged: {start: {cascade: [quick, slow], escalate: [{judge_below: 0.5, judge: judge}]}}
  mirrored: {start: {mirror: quick, to: slow}}
"""


class Models(Vendor):
    """Answers by the model that is asked: `quick` at once, `slow` never, `stuck` begins and stops."""

    def __init__(self) -> None:
        super().__init__()
        self.by_model: dict[str, Connection] = {}
        self.slow = silence
        self.first: str | None = None  # who is asked, and has said its words, before `quick` answers
        self.answer = self._by_model

    async def _by_model(self, connection: Connection) -> None:
        body = self.bodies[-1]
        self.by_model[body["model"]] = connection
        if body["model"] == "judge":
            await answers(chat('{"score": 1}'))(connection)
        elif body["model"] == "slow":
            await self.slow(connection)
        elif body["model"] == "stuck" and body.get("stream"):
            await begins_only(connection)
        elif body["model"] == "stuck":
            await silence(connection)
        else:
            if self.first is not None:
                await self.until_asked(self.first)
                await asyncio.sleep(0.01)
            await (streams() if body.get("stream") else answers(chat()))(connection)

    async def until_asked(self, *models: str) -> list[Connection]:
        async with asyncio.timeout(30):
            while not set(models) <= self.by_model.keys():
                await asyncio.sleep(0.005)
        return [self.by_model[model] for model in models]


@pytest.fixture
async def models() -> AsyncIterator[Models]:
    async with Models() as served:
        yield served


@pytest.fixture
async def several(models: Models, tmp_path: Path) -> AsyncIterator[Running]:
    async with running(write_workspace(tmp_path / "ws", models.port, routes=ROUTES)) as started:
        yield started


async def rests(sidecar: Running) -> None:
    """Nothing of any request is left: no lease, no pin, no task of the executor's."""
    async with asyncio.timeout(30):
        while sidecar.sidecar.reloader.snapshot.users or sidecar.sidecar.service.open:
            await asyncio.sleep(0.005)
    assert sidecar.sidecar.host.state.open_leases() == 0
    assert len(sidecar.sidecar.host.executor.asides) == 0


@pytest.mark.parametrize("stream", [False, True])
async def test_the_losers_socket_is_closed(several: Running, models: Models, stream: bool) -> None:
    models.first = "slow"
    answer = await several.chat("hedged", stream=stream)
    assert answer.status_code == 200
    assert "lo!" in answer.text
    lost = models.by_model["slow"]
    await asyncio.wait_for(lost.closed.wait(), 30)
    assert not models.by_model["quick"].closed.is_set()  # goes back to the pool
    if not stream:
        # 12 tokens in and 3 out of the winner, and about 2 in of the loser: $1 and $10 a million.
        assert float(answer.headers["x-engine-cost"]) == pytest.approx((12 + 30 + 2) / 1e6, abs=1e-6)
    await rests(several)


async def test_a_loser_in_the_middle_of_its_stream(several: Running, models: Models) -> None:
    """Its stream had begun; the other one came to its end first."""
    models.first = "stuck"
    answer = await several.chat("buffered", stream=True, stream_options={"include_usage": True})
    assert "lo!" in answer.text
    lost = models.by_model["stuck"]
    await asyncio.wait_for(lost.closed.wait(), 30)
    last = json.loads(answer.text.strip().split("\n\n")[-2].removeprefix("data: "))
    assert last["x_engine"]["calls"] == 2
    assert last["x_engine"]["cost"] > (12 + 30) / 1e6
    await rests(several)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("route", "asked"), [("nobody", ("slow", "stuck")), ("merged", ("slow", "quick"))])
async def test_who_leaves_closes_all(
    several: Running, models: Models, route: str, asked: tuple[str, ...], stream: bool
) -> None:
    tasks = len(asyncio.all_tasks())
    _, writer = await several.connect()
    writer.write(post({"model": route, "messages": HELLO, "stream": stream}))
    upstream = await models.until_asked(*asked)
    await asyncio.sleep(0.03)
    writer.close()
    waiting = [each for each in upstream if each is not models.by_model.get("quick")]
    await asyncio.wait_for(asyncio.gather(*(each.closed.wait() for each in waiting)), 30)
    await rests(several)
    async with asyncio.timeout(30):
        while len(asyncio.all_tasks()) > tasks + len(models.connections):
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_judge_gets_words_alone(several: Running, models: Models, stream: bool) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    answer = await several.chat(
        "judged", stream=stream, tools=[tool], temperature=1.5, stop=["x"], n=1, max_tokens=9
    )
    assert "Hello!" in answer.text
    assert answer.headers["content-type"].startswith("text/event-stream" if stream else "application/json")
    first, judge = models.bodies
    assert first["tools"] == [tool]
    assert (first["model"], judge["model"]) == ("quick", "judge")
    assert first.get("stream") in (None, False)
    known = {"model", "messages", "max_tokens", "max_completion_tokens", "stream"}
    assert judge.keys() <= known
    await rests(several)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_mirror_never_delays(several: Running, models: Models, stream: bool) -> None:
    """The copy's vendor has not said a word when the answer is there; what it says then is settled."""
    gate = asyncio.Event()

    async def late(connection: Connection) -> None:
        await gate.wait()
        await answers(chat("a copy"))(connection)

    models.slow = late
    answer = await several.chat("mirrored", stream=stream)
    assert "lo!" in answer.text
    assert len(several.sidecar.host.executor.asides) == 1
    await models.until_asked("slow")
    copied = next(body for body in models.bodies if body["model"] == "slow")
    assert copied["messages"] == HELLO
    told = await figures(several)
    assert told['engine_requests_total{route="mirrored",status="200"}'] == 1
    assert told['engine_open_attempts{deployment="slow"}'] == 1
    gate.set()
    await rests(several)
    told = await figures(several)
    assert told['engine_requests_total{route="mirrored",status="200"}'] == 1
    assert told['engine_open_attempts{deployment="slow"}'] == 0
    assert told['engine_attempts_total{deployment="slow",failure=""}'] == 1


async def test_a_mirror_that_cannot_be_reached(several: Running, models: Models) -> None:
    async def refuses(connection: Connection) -> None:
        connection.reset()

    models.slow = refuses
    assert (await several.chat("mirrored")).status_code == 200
    await rests(several)


async def test_a_drain_waits_for_copies(several: Running, models: Models) -> None:
    gate = asyncio.Event()

    async def late(connection: Connection) -> None:
        await gate.wait()
        await answers(chat("a copy"))(connection)

    models.slow = late
    assert (await several.chat("mirrored")).status_code == 200
    await models.until_asked("slow")
    draining = asyncio.create_task(drain(several.sidecar.service, [], 5.0, asyncio.Event()))
    await asyncio.sleep(0.15)
    assert not draining.done()
    gate.set()
    assert await asyncio.wait_for(draining, 30)
    await rests(several)


async def test_a_stream_beats_while_stages_are_looked_at(models: Models, tmp_path: Path) -> None:
    """A client that streams hears that it is served, long before there is an answer to replay."""
    gate = asyncio.Event()

    async def late(connection: Connection) -> None:
        await gate.wait()
        await answers(chat("at last"))(connection)

    models.slow = late
    routes = ROUTES.replace("cascade: [quick, slow]", "cascade: [slow, quick]")
    folder = write_workspace(tmp_path / "ws", models.port, routes=routes, settings="heartbeat: 50ms\n")
    async with running(folder) as started:
        reader, writer = await started.connect()
        writer.write(post({"model": "judged", "messages": HELLO, "stream": True}))
        beats = await asyncio.wait_for(reader.readuntil(b"\n\n"), 30)
        assert beats.endswith(b"\r\n: \n\n"), beats
        assert not gate.is_set()
        gate.set()
        await asyncio.wait_for(reader.readuntil(b"at last"), 30)
        writer.close()


async def test_an_end_with_copies_under_way(models: Models, tmp_path: Path) -> None:
    """Who ends the process does not wait for ever for a copy: it is cancelled, and its socket closed."""
    async with running(write_workspace(tmp_path / "ws", models.port, routes=ROUTES)) as started:
        assert (await started.chat("mirrored")).status_code == 200
        (copy,) = await models.until_asked("slow")
    await asyncio.wait_for(copy.closed.wait(), 30)


async def figures(sidecar: Running) -> dict[str, float]:
    text = (await sidecar.client.get("/metrics")).text
    rows = (row.rpartition(" ") for row in text.splitlines() if not row.startswith("#"))
    return {name: float(value) for name, _, value in rows}
