"""Plans built by hand, upstreams that answer by script, and an executor on a virtual clock."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from random import Random
from typing import Any

import pytest

from engine.errors import EngineError
from engine.kinds.balance import Balance
from engine.kinds.fallback import Fallback
from engine.kinds.switch import Arm, Switch
from engine.kinds.use import Use
from engine.plan.codec import canonical, digest
from engine.plan.money import NO_MONEY, MoneySegment
from engine.plan.plan import Plan
from engine.plan.types import (
    SCHEMA_VERSION,
    Admit,
    Call,
    Ceilings,
    Deployment,
    DeploymentSegment,
    Manifest,
    Match,
    Node,
    NodeSegment,
    ProviderSegment,
    Route,
    RouteSegment,
    Settings,
    Streaming,
)
from engine.plan.values import Expr
from engine.plan.vendors import Auth, Facts, PriceRow, Provider, Region
from engine.runtime.clock import VirtualClock
from engine.runtime.execute import Answer, Executor, Inbound
from engine.runtime.funds import Alerts, no_alerts
from engine.runtime.record import DecisionRecord
from engine.runtime.shared import Shared
from engine.runtime.snapshot import Snapshot
from engine.state.ledger import Ledger
from engine.state.memory import MemoryState
from engine.state.memory_ledger import MemoryLedger
from engine.upstream.protocol import Ask, Chunk, Flow, Whole
from engine.wire.canonical import Choice, Error, Event, Message, Part, Reply, Request, Usage

NO_CALL = Call()
PRICE = PriceRow(input=2_000_000_000, output=6_000_000_000)  # $2 and $6 a million tokens


def use(name: str, **call: Any) -> Use:
    return Use(id=f"r/{name}", call=Call(**call), deployment=name)


def fallback(*children: Node, id: str = "r/fallback", **call: Any) -> Fallback:
    return Fallback(id=id, call=Call(**call), children=children)


def balance(*children: Node, rank: str = "weight", tries: int | None = None, **call: Any) -> Balance:
    weights = (1.0,) * len(children)
    return Balance(
        id="r/balance", call=Call(**call), children=children, weights=weights, rank=rank, tries=tries
    )


def more_tokens_than(count: int) -> Expr:
    ir = ["cmp", ">", ["a", ["p", 0], "input_tokens"], ["c", count], "plain"]
    return Expr(source=f"request.input_tokens > {count}", scope="route", type="bool", ir=ir)


def when_org(name: str) -> Expr:
    ir = ["cmp", "==", ["a", ["p", 1], "org"], ["c", name], "plain"]
    return Expr(source=f'key.org == "{name}"', scope="route", type="bool", ir=ir)


def switch(when: Expr, then: Node, otherwise: Node) -> Switch:
    return Switch(id="r/switch", call=NO_CALL, arms=(Arm(when, then),), otherwise=otherwise)


def deployment(name: str, **changes: Any) -> Deployment:
    fields: dict[str, Any] = {
        "name": name,
        "provider": "fake",
        "model": f"model-{name}",
        "wire_model": f"model-{name}",
        "region": "here",
        "base_url": "http://fake.invalid",
        "residency": "unknown",
        "credentials": (),
        "facts": Facts(prices=(PRICE,), output=1_000),
        "call": NO_CALL,
    }
    return Deployment(**{**fields, **changes})


PROVIDER = Provider(
    name="fake",
    title="Fake",
    category="test",
    dialect=None,
    auth=Auth("none", {}),
    regions={"here": Region("here", "http://fake.invalid", "unknown")},
    default_region="here",
    headers={},
    paths={},
    rename={},
    drop=(),
    params={},
    errors=(),
    retry_after=(),
)


def route(start: Node, name: str = "r", **changes: Any) -> Route:
    fields: dict[str, Any] = {
        "name": name,
        "match": Match(models=(name,)),
        "start": start,
        "call": NO_CALL,
        "admit": Admit(),
        "per_request": Ceilings(),
        "stream": Streaming(),
    }
    return Route(**{**fields, **changes})


def plan(
    *routes: Route,
    deployments: tuple[Deployment, ...],
    nodes: Mapping[str, Node] | None = None,
    money: MoneySegment = NO_MONEY,
) -> Plan:
    segments: dict[str, bytes] = {}

    def keep(segment: Any) -> str:
        text = canonical(segment)
        segments[digest(text)] = text
        return digest(text)

    manifest = Manifest(
        schema=SCHEMA_VERSION,
        settings=Settings(),
        routes={r.name: keep(RouteSegment(r)) for r in routes},
        nodes={name: keep(NodeSegment(name, node)) for name, node in (nodes or {}).items()},
        providers={"fake": keep(ProviderSegment(PROVIDER))},
        dialects={},
        matches=tuple((r.name, r.match) for r in routes),
        deployments={d.name: "fake" for d in deployments},
        deployment_segments={d.name: keep(DeploymentSegment(d)) for d in deployments},
        ingress={},
        probes={d.name: d.probe.every_ms for d in deployments if d.probe is not None},
        money="" if money == NO_MONEY else keep(money),
    )
    return Plan.seal(manifest, segments)


# --- upstreams that answer by script ------------------------------------------------------------------


class Say:
    """An answer: pieces of text, each after `every` ms; `end` says how it stops."""

    def __init__(
        self,
        *texts: str,
        first: float = 0,
        every: float = 0,
        end: str = "usage",
        usage: Usage | None = None,
        raw: bool = False,
    ) -> None:
        self.texts = texts or ("hello", " world")
        self.first = first
        self.every = every
        self.end = end  # usage, silent, or a failure class
        self.usage: Usage = {"input_tokens": 10, "output_tokens": 5} if usage is None else usage
        self.raw = raw


class Fail:
    """A failure before any content."""

    def __init__(
        self, failure: str, after: float = 0, retry_after_ms: int | None = None, *, unsent: bool = False
    ) -> None:
        self.error = Error(failure=failure, message=f"told: {failure}", status=500)  # type: ignore[typeddict-item]
        self.after = after
        if unsent:
            self.error["unsent"] = True
        if retry_after_ms is not None:
            self.error["retry_after_ms"] = retry_after_ms


class Scripted:
    """An upstream that does what its script says, deployment by deployment, call by call.

    The last entry of a script repeats. `asked` keeps every Ask, `closed` counts closed flows.
    """

    def __init__(self, clock: VirtualClock, script: Mapping[str, list[Say | Fail]]) -> None:
        self.clock = clock
        self.script = {name: list(entries) for name, entries in script.items()}
        self.asked: list[Ask] = []
        self.opened = 0
        self.closed = 0
        self.shut = False

    def _next(self, ask: Ask) -> Say | Fail:
        self.asked.append(ask)
        entries = self.script.get(ask.deployment.name, [Say()])
        return entries.pop(0) if len(entries) > 1 else entries[0]

    @property
    def calls(self) -> list[str]:
        return [ask.deployment.name for ask in self.asked]

    async def whole(self, ask: Ask) -> Whole:
        entry = self._next(ask)
        if isinstance(entry, Fail):
            await self.clock.sleep(entry.after)
            return Whole(None, error=entry.error)
        await self.clock.sleep(entry.first + entry.every * len(entry.texts))
        if entry.end not in {"usage", "silent"}:
            return Whole(None, error=Error(failure=entry.end, message="cut"))  # type: ignore[typeddict-item]
        message = Message(role="assistant", content=[Part(type="text", text="".join(entry.texts))])
        reply = Reply(id="x", choices=[Choice(index=0, message=message, finish_reason="stop")])
        if entry.end == "usage":
            reply["usage"] = dict(entry.usage)  # type: ignore[typeddict-item]
        return Whole(reply, raw=b"raw" if entry.raw else None)

    async def flow(self, ask: Ask) -> Flow | Whole:
        entry = self._next(ask)
        if isinstance(entry, Fail):
            await self.clock.sleep(entry.after)
            return Whole(None, error=entry.error)
        self.opened += 1
        return SayFlow(self, entry)

    async def close(self) -> None:
        self.shut = True


class SayFlow:
    """The stream of a `Say`."""

    dropped: tuple[str, ...] = ()

    def __init__(self, upstream: Scripted, entry: Say) -> None:
        self.raw_ok = entry.raw
        self.upstream = upstream
        self.entry = entry
        self.ended = False
        self._chunks = self._events()

    def __aiter__(self) -> SayFlow:
        return self

    async def __anext__(self) -> Chunk:
        assert not self.ended, "read after its end"
        events = next(self._chunks)
        if events is None:
            self.ended = True
            raise StopAsyncIteration
        if events[0]["type"] == "text":
            first = events[0]["text"] is self.entry.texts[0]
            await self.upstream.clock.sleep(self.entry.first if first else self.entry.every)
        mine = b"" if events[0]["type"] == "error" else b"raw"  # never the vendor's own error
        return Chunk(events, raw=mine if self.entry.raw else None)

    def _events(self) -> Iterator[list[Event] | None]:
        yield [Event(type="start", id="x", model="wire-name")]
        for text in self.entry.texts:
            yield [Event(type="text", text=text)]
        if self.entry.end == "usage":
            yield [Event(type="finish", finish_reason="stop")]
            yield [Event(type="usage", usage=self.entry.usage)]
        elif self.entry.end != "silent":
            error = Error(failure=self.entry.end, message="it broke")  # type: ignore[typeddict-item]
            yield [Event(type="error", error=error)]
        yield None

    async def close(self) -> None:
        self.upstream.closed += 1


# --- a bench to run requests on -----------------------------------------------------------------------


class Bench:
    """An executor over one plan and one scripted upstream, on a virtual clock."""

    def __init__(
        self,
        start: Node,
        script: Mapping[str, list[Say | Fail]],
        *,
        deployments: tuple[Deployment, ...] | None = None,
        missing: Mapping[str, str] | None = None,
        routes: tuple[Route, ...] = (),
        seed: int = 1,
        money: MoneySegment = NO_MONEY,
        alerts: Alerts = no_alerts,
        ledger: Callable[[MemoryLedger], Ledger] = lambda counts: counts,
        **changes: Any,
    ) -> None:
        self.clock = VirtualClock()
        self.state = MemoryState()
        self.records: list[DecisionRecord] = []
        self.upstream = Scripted(self.clock, script)
        made = deployments or tuple(deployment(name) for name in script)
        self.plan = plan(route(start, **changes), *routes, deployments=made, money=money)
        self.snapshot = Snapshot(self.plan, {"fake": Shared(self.upstream).hold()}, missing)
        self.ledger = MemoryLedger()
        self.executor = Executor(
            self.state,
            self.clock,
            Random(seed),
            [self.records.append],
            ledger=ledger(self.ledger),
            alerts=alerts,
        )
        self._ids = itertools.count(1)

    def inbound(self, text: str = "hi", **request: Any) -> Inbound:
        message = Message(role="user", content=[Part(type="text", text=text)])
        body = Request(model="r", messages=[message], **request)
        return Inbound(request=body, request_id=f"req-{next(self._ids)}")

    async def run(self, inbound: Inbound | None = None, **request: Any) -> Answer:
        return await self.executor.execute(self.snapshot, inbound or self.inbound(**request))

    async def fails(self, inbound: Inbound | None = None, **request: Any) -> EngineError:
        with pytest.raises(EngineError) as caught:
            await self.run(inbound, **request)
        assert caught.value.record is self.records[-1]
        return caught.value

    async def read(self, answer: Answer) -> tuple[str, list[Event]]:
        """A stream to its end: its text, and all its events."""
        assert answer.flow is not None
        events = [event async for chunk in answer.flow for event in chunk.events]
        return "".join(e["text"] for e in events if e["type"] == "text"), events

    @property
    def record(self) -> DecisionRecord:
        return self.records[-1]

    def check(self) -> None:
        """What must hold whenever no request is under way."""
        audit = self.state.audit
        assert self.state.open_leases() == 0
        assert self.ledger.open_holds() == 0
        assert audit.granted == audit.settled + audit.released
        assert self.snapshot.users == 0
        assert self.executor.health.trials() == 0
        assert self.executor.ledger.open_holds() == 0
        assert not self.executor.quotas.lines
        for lines in (self.executor.queues.deployments, self.executor.queues.routes):
            assert all(lines.open(name) == lines.waiting(name) == 0 for name in lines.seen())
        assert self.upstream.opened == self.upstream.closed
        for record in self.records:
            assert all(a.closed in {"settled", "released"} for a in record.attempts), record
            assert record.duration_ms is not None


@pytest.fixture
def bench() -> Iterator[Callable[..., Bench]]:
    """Makes benches, and checks each at the end: leases closed once, snapshot let go, streams closed."""
    made: list[Bench] = []

    def make(*args: Any, **kwargs: Any) -> Bench:
        made.append(Bench(*args, **kwargs))
        return made[-1]

    yield make
    for each in made:
        each.check()


class Asked:
    """A ledger in memory that has to be asked: every answer takes a turn of the loop."""

    def __init__(self, counts: MemoryLedger) -> None:
        self.counts = counts

    async def _later(self, what: str, *args: Any) -> Any:
        await asyncio.sleep(0)
        found = getattr(self.counts, what)(*args)
        await asyncio.sleep(0)
        return found

    def __getattr__(self, what: str) -> Any:
        found = getattr(self.counts, what)
        return partial(self._later, what) if what in ASKED else found


ASKED = ("reserve", "sent", "settle", "release", "look", "rows", "once")


class Kit:
    """The builders, for test modules (which cannot import a conftest)."""

    use = staticmethod(use)
    fallback = staticmethod(fallback)
    balance = staticmethod(balance)
    switch = staticmethod(switch)
    when_org = staticmethod(when_org)
    more_tokens_than = staticmethod(more_tokens_than)
    deployment = staticmethod(deployment)
    route = staticmethod(route)
    plan = staticmethod(plan)
    Money = MoneySegment
    Say = Say
    Fail = Fail
    Scripted = Scripted
    Bench = Bench
    Asked = Asked


@pytest.fixture(scope="session")
def kit() -> type[Kit]:
    return Kit


async def until(condition: Callable[[], bool], turns: int = 200) -> None:
    for _ in range(turns):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it did not come to that")


Waiter = Callable[[Callable[[], bool]], Awaitable[None]]


@pytest.fixture(name="until", scope="session")
def _until() -> Waiter:
    return until
