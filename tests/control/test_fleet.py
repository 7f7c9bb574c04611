"""The fleet's decisions with workers that are no processes: plans in two steps, deaths, the end."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import io
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from engine.control import fleet as fleet_module
from engine.control import worker as worker_module
from engine.control.channel import Answers, Frame, Hears
from engine.control.compiled import Receiver
from engine.control.fleet import Fleet
from engine.control.settings import ProcessSettings
from engine.control.worker import Worker, WorkerDied, WorkerFault
from engine.observe.log import Log
from engine.observe.merge import Merger
from engine.plan.plan import Plan
from engine.plan.types import SCHEMA_VERSION, Manifest, Settings

SETTINGS = ProcessSettings(
    **dict.fromkeys((f.name for f in dataclasses.fields(ProcessSettings)), 0)
    | {"tls": None, "trusted_proxies": (), "state": "memory"}
)  # type: ignore[arg-type]


def plan(name: str) -> Plan:
    """A plan of nothing whose revision follows `name`."""
    empty: dict[str, Any] = {
        field.name: () if "tuple[tuple" in str(field.type) and "Mapping" not in str(field.type) else {}
        for field in dataclasses.fields(Manifest)
    }
    return Plan.seal(
        Manifest(**{**empty, "schema": SCHEMA_VERSION, "settings": Settings(decision_log=name)}), {}
    )


class Fake(Worker):
    """Does what it is asked at once. `on`: by op, what happens first; it may raise."""

    def __init__(self, index: int) -> None:
        super().__init__(index, ())
        self.lives = 0
        self.running: str | None = None
        self.prepared: str | None = None
        self.listens: set[int] = set()
        self.on: dict[str, Callable[[], None]] = {}
        self.silent = False
        self.slow: dict[str, float] = {}  # by op, how long it takes
        self.told: list[str] = []
        self._end = asyncio.Event()
        self._code = 0

    @property
    def pid(self) -> int | None:
        return self.lives * 100 + self.index

    async def launch(self, answers: Answers, hears: Hears) -> None:
        self.lives += 1
        self.state = "starting"
        self.running, self.prepared, self.listens = None, None, set()
        self._end = asyncio.Event()

    async def ask(
        self, op: str, words: dict[str, Any] | None = None, data: bytes = b"", limit_s: float = 10
    ) -> Frame:
        await asyncio.sleep(0)
        if self.silent:
            raise WorkerFault("it says nothing")
        if self.slow.get(op, 0) > limit_s:
            raise WorkerFault(f"it did not answer `{op}` within {limit_s:.0f} s")
        if op in self.on:
            self.on[op]()
        if self.state == "down":
            raise WorkerDied(f"{self.name} died before it answered `{op}`")
        words = words or {}
        if op == "prepare":
            receiver = Receiver()
            for _ in (*receiver.feed(data), *receiver.finish()):
                pass
            found = receiver.result().plan
            assert found is not None
            self.prepared = found.revision
        elif op == "commit":
            if self.prepared != words["revision"]:
                raise WorkerFault("it has not prepared that")
            self.running, self.prepared = self.prepared, None
        elif op == "listen":
            self.listens.add(words["socket"])
        return Frame({"in_flight": 1} if op == "status" else {})

    def tell(self, op: str, words: dict[str, Any] | None = None) -> None:
        self.told.append(op)
        if self.state != "up":
            return
        match op:
            case "abandon":
                self.prepared = None
            case "adopt":
                self.listens.add((words or {})["socket"])
            case "return":
                self.listens.discard((words or {})["socket"])
            case "drain" if "drain" not in self.on:
                self.die(0)

    async def ended(self) -> str:
        await self._end.wait()
        self.state = "ended" if self._code == 0 else "down"
        return f"exit status {self._code}"

    def die(self, code: int = -9) -> None:
        if self.state in ("up", "starting"):
            self.state, self._code = "down", code
            self._end.set()

    def kill(self) -> None:
        self.die()


class Desk:
    """What a life of a worker holds."""

    def __init__(self) -> None:
        self.did: list[str] = []

    async def answers(self, op: str, frame: Frame) -> Frame:
        return Frame()

    def hears(self, op: str, frame: Frame) -> None: ...

    def lose(self) -> None:
        self.did.append("lose")

    async def close(self) -> None:
        self.did.append("close")


class Sidecar:
    """Three workers and what was logged."""

    def __init__(self) -> None:
        self.stream = io.StringIO()
        self.workers = [Fake(index) for index in range(3)]
        self.desks: dict[int, list[Desk]] = {0: [], 1: [], 2: []}
        self.fleet = Fleet(self.workers, {}, self._desk, Merger(), Log(stream=self.stream, text=False))

    def _desk(self, worker: Worker) -> Desk:
        self.desks[worker.index].append(Desk())
        return self.desks[worker.index][-1]

    def running(self) -> list[str | None]:
        return [worker.running for worker in self.workers]

    def events(self) -> list[str]:
        return [json.loads(line)["event"] for line in self.stream.getvalue().splitlines()]

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not holds():
                await asyncio.sleep(0.001)


@contextlib.asynccontextmanager
async def started(first: Plan) -> AsyncIterator[Sidecar]:
    sidecar = Sidecar()
    await sidecar.fleet.start(first, SETTINGS, 1.0)
    yield sidecar
    for worker in sidecar.workers:
        worker.on.clear()
    await sidecar.fleet.drain(50, asyncio.Event())


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "FIRST_S", 0.002)
    monkeypatch.setattr(fleet_module, "LOOK_S", 0.01)
    monkeypatch.setattr(fleet_module, "BACK_S", 1.0)


async def test_a_plan_is_run_by_all() -> None:
    one, two = plan("one"), plan("two")
    async with started(one) as sidecar:
        assert sidecar.running() == [one.revision] * 3
        assert [worker.listens for worker in sidecar.workers] == [{0}, {1}, {2}]
        await sidecar.fleet.prepare(two)
        assert sidecar.running() == [one.revision] * 3
        await sidecar.fleet.publish(two, SETTINGS, 2.0)
        assert sidecar.running() == [two.revision] * 3
        assert {worker.revision for worker in sidecar.workers} == {two.revision}
        assert [words for _, words in await sidecar.fleet.gather("status")] == [{"in_flight": 1}] * 3


async def test_what_one_refuses_is_given_up_by_all() -> None:
    one, two = plan("one"), plan("two")
    async with started(one) as sidecar:

        def refuse() -> None:
            raise WorkerFault("worker 1: no room")

        sidecar.workers[1].on["prepare"] = refuse
        with pytest.raises(WorkerFault, match="no room"):
            await sidecar.fleet.prepare(two)
        assert [worker.prepared for worker in sidecar.workers] == [None] * 3
        assert sidecar.running() == [one.revision] * 3
        del sidecar.workers[1].on["prepare"]
        await sidecar.fleet.prepare(two)
        await sidecar.fleet.publish(two, SETTINGS, 2.0)
        assert sidecar.running() == [two.revision] * 3


async def test_a_plan_that_kills_is_refused() -> None:
    one, two = plan("one"), plan("two")
    async with started(one) as sidecar:
        worker = sidecar.workers[0]
        worker.on["prepare"] = lambda: worker.die() if worker.state == "up" else None
        with pytest.raises(WorkerFault, match="died"):
            await sidecar.fleet.prepare(two)
        assert worker.lives >= 2
        worker.on.clear()
        await sidecar.until(lambda: sidecar.running() == [one.revision] * 3)


async def test_who_dies_once_while_it_prepares_is_waited_for() -> None:
    one, two = plan("one"), plan("two")
    async with started(one) as sidecar:
        worker = sidecar.workers[0]

        def dies_once() -> None:
            worker.on.clear()
            worker.die()

        worker.on["prepare"] = dies_once
        await sidecar.fleet.prepare(two)
        assert worker.lives == 2
        await sidecar.fleet.publish(two, SETTINGS, 2.0)
        assert sidecar.running() == [two.revision] * 3


async def test_a_plan_waits_for_somebody_to_run_it() -> None:
    """It is not refused because nobody was there: whoever saved it would have to save it again."""
    one, two = plan("one"), plan("two")
    async with started(one) as sidecar:
        back = asyncio.Event()

        def not_yet() -> None:
            if not back.is_set():
                raise WorkerFault("not yet")

        for worker in sidecar.workers:
            worker.on["begin"] = not_yet
            worker.die()
        coming = asyncio.create_task(sidecar.fleet.prepare(two))
        await sidecar.until(lambda: sidecar.events().count("worker_fault") > 3)
        assert not coming.done()
        back.set()
        await coming
        await sidecar.fleet.publish(two, SETTINGS, 2.0)
        await sidecar.until(lambda: sidecar.running() == [two.revision] * 3)


async def test_who_is_not_running_has_died() -> None:
    with pytest.raises(WorkerDied):
        await Worker(0, ()).ask("prepare")


async def test_who_dies_between_the_steps_comes_back_with_the_new_plan() -> None:
    one, two = plan("one"), plan("two")
    async with started(one) as sidecar:
        await sidecar.fleet.prepare(two)
        sidecar.workers[2].die()
        await sidecar.fleet.publish(two, SETTINGS, 2.0)
        await sidecar.until(lambda: sidecar.running() == [two.revision] * 3)


async def test_who_returns_between_the_steps_gets_the_plan_too() -> None:
    one, two = plan("one"), plan("two")
    async with started(one) as sidecar:
        await sidecar.fleet.prepare(two)
        sidecar.workers[2].die()
        await sidecar.until(lambda: sidecar.workers[2].state == "up")
        await sidecar.fleet.publish(two, SETTINGS, 2.0)
        assert sidecar.running() == [two.revision] * 3
        assert sidecar.workers[2].lives == 2


async def test_a_worker_that_cannot_follow_is_started_anew() -> None:
    one, two = plan("one"), plan("two")
    async with started(one) as sidecar:
        await sidecar.fleet.prepare(two)
        sidecar.workers[0].prepared = None
        await sidecar.fleet.publish(two, SETTINGS, 2.0)
        await sidecar.until(lambda: sidecar.running() == [two.revision] * 3)
        assert sidecar.workers[0].lives == 2
        assert "worker_fault" in sidecar.events()


async def test_a_neighbour_takes_connections_meanwhile() -> None:
    async with started(plan("one")) as sidecar:
        first, second, third = sidecar.workers
        hold = asyncio.Event()

        def never() -> None:
            if not hold.is_set():
                raise WorkerFault("worker 0: not yet")

        first.on["begin"] = never
        first.die()
        await sidecar.until(lambda: 0 in second.listens)
        second.on["begin"] = never
        second.die()
        await sidecar.until(lambda: third.listens == {0, 1, 2})
        await sidecar.until(lambda: first.restarts >= 2)  # a start that fails is followed by another
        hold.set()
        await sidecar.until(lambda: first.listens == {0} and second.listens == {1} and third.listens == {2})
        assert sidecar.events().count("worker_died") == 2


async def test_the_first_to_return_takes_the_connections_of_all() -> None:
    async with started(plan("one")) as sidecar:
        hold = asyncio.Event()

        def never() -> None:
            if not hold.is_set():
                raise WorkerFault("not yet")

        for worker in sidecar.workers[1:]:
            worker.on["begin"] = never
        for worker in sidecar.workers:
            worker.die()
        await sidecar.until(lambda: sidecar.workers[0].listens == {0, 1, 2})
        hold.set()
        await sidecar.until(lambda: [worker.listens for worker in sidecar.workers] == [{0}, {1}, {2}])


async def test_what_the_dead_held_is_given_back_once_the_new_one_is_there() -> None:
    async with started(plan("one")) as sidecar:
        sidecar.workers[1].die()
        await sidecar.until(lambda: len(sidecar.desks[1]) == 2 and sidecar.workers[1].state == "up")
        await sidecar.until(lambda: sidecar.desks[1][0].did == ["lose", "close"])
        assert sidecar.desks[1][1].did == []


async def test_a_worker_that_says_nothing_is_ended() -> None:
    async with started(plan("one")) as sidecar:
        worker = sidecar.workers[1]
        worker.silent = True
        await sidecar.until(lambda: worker.state == "down")
        worker.silent = False
        await sidecar.until(lambda: worker.state == "up")
        assert "worker_hung" in sidecar.events()


async def test_a_busy_machine_may_be_long_in_starting_interpreters() -> None:
    sidecar = Sidecar()
    sidecar.workers[1].slow["begin"] = 60
    await sidecar.fleet.start(plan("first"), SETTINGS, 1.0)
    assert len(sidecar.fleet.up) == 3
    await sidecar.fleet.drain(50, asyncio.Event())


async def test_a_fleet_that_cannot_start_leaves_no_process() -> None:
    sidecar = Sidecar()

    def refuse() -> None:
        raise WorkerFault("worker 2: no such thing")

    sidecar.workers[2].on["prepare"] = refuse
    with pytest.raises(WorkerFault, match="no such thing"):
        await sidecar.fleet.start(plan("one"), SETTINGS, 1.0)
    assert not sidecar.fleet.up


async def test_the_end_of_all() -> None:
    async with started(plan("one")) as sidecar:
        assert await sidecar.fleet.drain(1000, asyncio.Event()) is True
        assert [worker.state for worker in sidecar.workers] == ["ended"] * 3
        assert [desks[-1].did for desks in sidecar.desks.values()] == [["lose", "close"]] * 3
        assert "worker_died" not in sidecar.events()


async def test_who_does_not_end_is_hurried_and_then_killed() -> None:
    sidecar = Sidecar()
    await sidecar.fleet.start(plan("one"), SETTINGS, 1.0)
    sidecar.workers[0].on["drain"] = lambda: None
    hurry = asyncio.Event()
    hurry.set()
    worker = sidecar.workers[0]
    sidecar.fleet.grace_s = 0.01
    assert await sidecar.fleet.drain(60_000, hurry) is False
    assert "hurry" in worker.told
    assert worker.state == "down"
