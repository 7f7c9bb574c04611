"""Models that another process keeps: both ends here, words between them as JSON, the model a fake."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from asking import ask

from engine.local.desk import ModelDesk
from engine.local.errors import ModelError
from engine.local.pool import Spec
from engine.local.protocol import WINDOW
from engine.local.remote import LineCut, LineRefused, RemoteModels
from engine.local.request import Refused

SPEC = Spec("m")


class Model:
    """Says `pieces` pieces, one a batch, as fast as it is read."""

    answers = True

    def __init__(self, pieces: int) -> None:
        self.pieces = pieces
        self.said = 0
        self.closed = 0
        self.begun = False

    async def generate(
        self, request: Any, *, max_tokens: int, begun: bool = False
    ) -> AsyncGenerator[list[Any], None]:
        self.begun = begun
        try:
            yield [{"type": "start", "id": "1", "model": "m", "created": 1}]
            for number in range(self.pieces):
                self.said += 1
                yield [{"type": "text", "text": f"{number} "}]
            yield [{"type": "finish", "finish_reason": "stop"}]
        finally:
            self.closed += 1

    async def count(self, request: Any) -> int:
        if request["messages"] == []:
            raise Refused("bad_request", "nothing to count")
        return 5


class Pool:
    """One model under any name but `none`."""

    def __init__(self, model: Model) -> None:
        self.model, self.held = model, 0

    async def acquire(self, spec: Spec) -> Model:
        if spec.model == "none":
            raise ModelError("unknown", "there is no such model", "add it")
        self.held += 1
        return self.model

    async def release(self, spec: Spec) -> None:
        self.held -= 1

    def status(self) -> list[Any]:
        return []

    async def close(self) -> None: ...


class Line:
    """Words between the two as JSON, a turn of the loop apart."""

    def __init__(self, pool: Pool) -> None:
        self.cut = False
        self.desk = ModelDesk(pool, self._back)
        self.models = RemoteModels(self)

    async def ask(self, op: str, words: dict[str, Any]) -> dict[str, Any]:
        if self.cut:
            raise LineCut
        told: dict[str, Any] = await self.desk.ask(op, json.loads(json.dumps(words)))
        return told

    def tell(self, op: str, words: dict[str, Any]) -> None:
        if not self.cut:
            asyncio.get_running_loop().call_soon(self.desk.hear, op, json.loads(json.dumps(words)))

    def _back(self, op: str, words: dict[str, Any]) -> None:
        if not self.cut:
            asyncio.get_running_loop().call_soon(self.models.hear, op, json.loads(json.dumps(words)))


@pytest.fixture
def model() -> Model:
    return Model(1000)


@pytest.fixture
def pool(model: Model) -> Pool:
    return Pool(model)


@pytest.fixture
def line(pool: Pool) -> Line:
    return Line(pool)


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_an_answer_comes_whole_and_in_order(line: Line, model: Model) -> None:
    remote = await line.models.acquire(SPEC)
    batches = remote.generate(ask(), max_tokens=5, begun=True)
    events = [event async for batch in batches for event in batch]
    assert model.begun
    assert [event["type"] for event in (events[0], events[-1])] == ["start", "finish"]
    assert "".join(event.get("text", "") for event in events) == "".join(f"{n} " for n in range(1000))
    await settled()
    assert (model.closed, line.desk.open()) == (1, 0)


async def test_a_slow_reader_holds_up_the_model(line: Line, model: Model) -> None:
    remote = await line.models.acquire(SPEC)
    batches = remote.generate(ask(), max_tokens=5)
    await anext(batches)
    await asyncio.sleep(0.02)
    assert model.said <= 2 * WINDOW  # what the reader has taken, and as much again
    await batches.aclose()


async def test_closing_cancels_the_model(line: Line, model: Model) -> None:
    remote = await line.models.acquire(SPEC)
    batches = remote.generate(ask(), max_tokens=5)
    await anext(batches)
    await batches.aclose()
    await settled()
    assert (model.closed, line.desk.open()) == (1, 0)


async def test_what_goes_wrong_is_told_as_it_would_be_here(line: Line, pool: Pool) -> None:
    with pytest.raises(ModelError) as caught:
        await line.models.acquire(Spec("none"))
    assert (caught.value.code, caught.value.help) == ("unknown", "add it")
    remote = await line.models.acquire(SPEC)
    assert await remote.count(ask()) == 5
    with pytest.raises(Refused) as refused:
        await remote.count({"operation": "chat", "messages": []})
    assert refused.value.failure == "bad_request"
    with pytest.raises(LineRefused):
        await line.desk.ask("model.count", {"spec": Spec("other").as_json(), "request": ask()})


async def test_a_keeper_that_is_gone_ends_every_answer(line: Line) -> None:
    remote = await line.models.acquire(SPEC)
    batches = remote.generate(ask(), max_tokens=5)
    await anext(batches)
    await anext(batches)
    line.cut = True
    line.models.cut()
    rest = [event async for batch in batches for event in batch]
    assert (rest[-1]["type"], rest[-1]["error"]["failure"]) == ("error", "cut")
    later = [event async for batch in remote.generate(ask(), max_tokens=5) for event in batch]
    assert [event["error"]["failure"] for event in later] == ["server"]


async def test_a_reader_that_dies_gives_back_what_it_held(line: Line, model: Model, pool: Pool) -> None:
    remote = await line.models.acquire(SPEC)
    await line.models.acquire(SPEC)
    batches = remote.generate(ask(), max_tokens=5)
    await anext(batches)
    line.cut = True
    line.desk.lose()
    await settled()
    assert (model.closed, pool.held) == (1, 2)
    await line.desk.close()
    assert pool.held == 0


@pytest.mark.parametrize(
    "spec",
    [Spec("m"), Spec("m", None, ("cuda", "cpu")), Spec("m", execution_providers=())],
)
def test_a_spec_comes_back_as_it_went(spec: Spec) -> None:
    assert Spec.from_json(json.loads(json.dumps(spec.as_json()))) == spec
