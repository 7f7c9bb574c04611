"""The one scripted driver: a request through the real executor, with scripted upstreams and virtual time.

Nothing is sent and nothing is waited for: deployments answer or fail as their script says, waits and timeouts
move a clock that stands still otherwise, chance comes from a seed. So `engine explain`, policy cases and
simulations see exactly what the sidecar would do, down to the milliseconds of its timetable.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, cast

from engine.errors import EngineError
from engine.explain.limit_use import LimitUse, limit_uses
from engine.explain.used import UsedLedger
from engine.explain.worst_cost import worst_of
from engine.plan.plan import Plan
from engine.policies.failures import FailureClass
from engine.runtime.clock import VirtualClock
from engine.runtime.execute import Answer, Executor, Inbound
from engine.runtime.people import Person
from engine.runtime.record import DecisionRecord
from engine.runtime.run import Run
from engine.runtime.shared import Shared
from engine.runtime.snapshot import Snapshot
from engine.runtime.views import ANONYMOUS, Key
from engine.state.memory import MemoryState
from engine.state.protocol import Granted, Hold
from engine.upstream.protocol import Ask, Chunk, Flow, Upstream, Whole
from engine.wire.canonical import Choice, Error, Event, Message, Part, Reply, Usage
from engine.wire.operations import (
    AnyReply,
    AnyRequest,
    Embedding,
    EmbeddingReply,
    EmbeddingRequest,
    RerankReply,
    RerankRequest,
    RerankResult,
    TokenCount,
)
from engine.wire.whole import events_of

#: How long an answer takes where its script does not say: nothing of a timetable should rest on it.
ANSWER_MS = 0.0

_FOREVER_MS = 7 * 86_400_000.0


@dataclass(frozen=True, slots=True)
class Play:
    """What a deployment does with one call.

    failure: a failure class, None = it answers. `timeout` is silence until a limit of the plan ends it,
    `full` a lease that is not given.
    after_ms: how long it takes to answer or to fail.
    retry_after_ms: the delay that the vendor names with its failure.
    usage: what the answer used.
    """

    failure: FailureClass | None = None
    after_ms: float = ANSWER_MS
    retry_after_ms: int | None = None
    usage: Usage = field(default_factory=lambda: Usage(input_tokens=10, output_tokens=10))
    text: str = "(a scripted answer)"


#: deployment -> what it does, call by call; the last entry goes on for ever.
Script = Mapping[str, Sequence[Play]]

#: Why nothing would be sent for an attempt; None: something would.
Refuses = Callable[[Ask], Error | None]


@dataclass(slots=True)
class Driven:
    """What came of a request: its record, and a reply or an error. Costs in nano-dollars.

    copies: the records of the copies that mirrors got.
    limits: what it counted in.
    asks: what each attempt was asked, in order. worst_cost: the most that this request may cost on its way
    through the route; None where a price or a limit is unknown. timetable is in the record's attempts.
    """

    record: DecisionRecord
    reply: AnyReply | None
    error: EngineError | None
    asks: list[Ask]
    worst_cost: int | None
    unscripted: list[str]
    copies: list[DecisionRecord] = field(default_factory=list)
    limits: list[LimitUse] = field(default_factory=list)


def drive(
    plan: Plan,
    request: AnyRequest,
    *,
    operation: str = "chat",
    script: Script | None = None,
    route: str | None = None,
    wall: float = 0.0,
    key: Key = ANONYMOUS,
    headers: Mapping[str, str] | None = None,
    dialect: str | None = None,
    body: dict[str, Any] | None = None,
    seed: int = 0,
    state: MemoryState | None = None,
    refuses: Refuses | None = None,
    used: Mapping[str, float] | None = None,
) -> Driven:
    """Run one request through a plan. Must not be called from a running event loop.

    Args:
        plan: what to run.
        request: canonical.
        operation: what is asked with it.
        script: what deployments do; one that is not in it answers.
        route: run this route, whatever the request's model matches.
        wall: the time of day, epoch seconds.
        key: who asks.
        headers: of the request, names in lower case.
        dialect: the client's; None where it has none.
        body: the client's own in that dialect, which passes through to vendors that speak it.
        seed: of the draws.
        state: what earlier requests left, for several in a row; default: nothing.
        refuses: why a call would not even be sent (`wire.Previews.refuses`); default: all are sent.
        used: `budget/NAME` or `limit/NAME` -> the share of it that is used before; default: nothing is.
    """
    inbound = Inbound(request, "explained", dialect, operation, body=body, key=key, headers=headers or {})
    return asyncio.run(_drive(plan, inbound, script or {}, route, wall, seed, state, refuses, used or {}))


async def _drive(
    plan: Plan,
    inbound: Inbound,
    script: Script,
    route: str | None,
    wall: float,
    seed: int,
    state: MemoryState | None,
    refuses: Refuses | None,
    used: Mapping[str, float],
) -> Driven:
    clock = VirtualClock(wall)
    upstream = ScriptedUpstream(clock, script, refuses)
    snapshot = scripted_snapshot(plan, upstream, route)
    records: list[DecisionRecord] = []
    kept = _ScriptedState(upstream) if state is None else state
    executor = _Watched(kept, clock, Random(seed), [records.append], ledger=UsedLedger(used))
    reply: AnyReply | None = None
    fault: EngineError | None = None
    try:
        answer = await executor.execute(snapshot, inbound)
        reply = answer.reply or await _read(answer)
    except EngineError as error:
        fault = error
    await snapshot.drain()
    record = fault.record if fault is not None else executor.run.record
    assert record is not None
    return Driven(
        record=record,
        reply=reply,
        error=fault,
        asks=upstream.asks,
        worst_cost=worst_of(executor.run),
        unscripted=sorted({ask.deployment.name for ask in upstream.asks} - script.keys()),
        copies=[each for each in records if each.aside_of is not None],
        limits=limit_uses(executor.run.quota),
    )


def scripted_snapshot(plan: Plan, upstream: Upstream, route: str | None = None) -> Snapshot:
    """A snapshot in which one upstream stands for all providers; `route` takes every request."""
    shared: dict[str, Shared[Upstream]] = {name: Shared(upstream).hold() for name in plan.manifest.providers}
    snapshot = Snapshot(plan, shared)
    if route is not None:
        snapshot.matcher = _Forced(route)
    return snapshot


async def _read(answer: Answer) -> Reply | None:
    """A stream to its end."""
    assert answer.flow is not None
    async for _ in answer.flow:
        pass
    return None


class _Forced:
    """A matcher that gives one route."""

    def __init__(self, route: str) -> None:
        self._route = route

    def find(self, model: str, operation: str, holds: Any, person: Person | None = None) -> str:
        return self._route

    def names(self, operation: str = "chat", person: Person | None = None) -> list[str]:
        return [self._route]


class _Watched(Executor):
    """An executor whose request can be looked at afterwards."""

    run: Run

    def _begin(self, snapshot: Snapshot, inbound: Inbound) -> Run:
        self.run = super()._begin(snapshot, inbound)
        return self.run


class _ScriptedState(MemoryState):
    """A store that says `full` where the script does."""

    def __init__(self, upstream: ScriptedUpstream) -> None:
        super().__init__()
        self._upstream = upstream

    def reserve(self, hold: Hold, now_ms: int) -> Granted:
        play = self._upstream.peek(hold.deployment)
        if play.failure == "full":
            self._upstream.take(hold.deployment)
            return Granted(None, "full", play.retry_after_ms)
        return super().reserve(hold, now_ms)


class ScriptedUpstream:
    """Implements `engine.upstream.protocol.Upstream` by a script; never leaves the process."""

    def __init__(self, clock: VirtualClock, script: Script, refuses: Refuses | None = None) -> None:
        self._clock = clock
        self._refuses = refuses
        self._script = {name: list(plays) for name, plays in script.items() if plays}
        self.asks: list[Ask] = []

    def peek(self, deployment: str) -> Play:
        """What the next call there does."""
        plays = self._script.get(deployment)
        return plays[0] if plays else Play()

    def take(self, deployment: str) -> Play:
        """The same, and it is done with; the last one stays."""
        plays = self._script.get(deployment)
        if not plays:
            return Play()
        return plays.pop(0) if len(plays) > 1 else plays[0]

    async def whole(self, ask: Ask) -> Whole:
        self.asks.append(ask)
        if self._refuses is not None and (refused := self._refuses(ask)) is not None:
            return Whole(None, error=refused)
        play = self.take(ask.deployment.name)
        await self._clock.sleep(_FOREVER_MS if play.failure == "timeout" else play.after_ms)
        if play.failure is not None:
            return Whole(None, error=_error(play, ask))
        return Whole(_reply(play, ask))

    async def flow(self, ask: Ask) -> Flow | Whole:
        whole = await self.whole(ask)
        return whole if whole.reply is None else _Events(events_of(cast(Reply, whole.reply)))

    async def close(self) -> None:
        """Nothing is open."""


class _Events:
    """A reply's events as a flow, one a chunk."""

    raw_ok = False
    dropped: tuple[str, ...] = ()

    def __init__(self, events: Sequence[Event]) -> None:
        self._events: Iterator[Event] = iter(events)

    def __aiter__(self) -> AsyncIterator[Chunk]:
        return self

    async def __anext__(self) -> Chunk:
        for event in self._events:
            return Chunk([event])
        raise StopAsyncIteration

    async def close(self) -> None:
        """Nothing is open."""


def _error(play: Play, ask: Ask) -> Error:
    assert play.failure is not None
    error = Error(failure=play.failure, message=f"{ask.deployment.name} was scripted to fail: {play.failure}")
    if play.retry_after_ms is not None:
        error["retry_after_ms"] = play.retry_after_ms
    return error


def _reply(play: Play, ask: Ask) -> AnyReply:
    """An answer without content, as far as the operation's can be."""
    if ask.operation == "embeddings":
        inputs = cast(EmbeddingRequest, ask.request).get("input", ())
        vectors = [Embedding(index=place, vector=[0.0]) for place, _ in enumerate(inputs)]
        return EmbeddingReply(model=ask.deployment.model, embeddings=vectors, usage=Usage(**play.usage))
    if ask.operation == "rerank":
        documents = cast(RerankRequest, ask.request).get("documents", ())
        results = [RerankResult(index=place, score=0.0) for place, _ in enumerate(documents)]
        return RerankReply(model=ask.deployment.model, results=results, usage=Usage(**play.usage))
    if ask.operation == "count_tokens":
        return TokenCount(model=ask.deployment.model, input_tokens=play.usage.get("input_tokens", 0))
    message = Message(role="assistant", content=[Part(type="text", text=play.text)])
    return Reply(
        id=ask.request_id,
        model=ask.deployment.model,
        choices=[Choice(index=0, message=message, finish_reason="stop")],
        usage=Usage(**play.usage),
    )


__all__ = ["Driven", "Play", "Script", "ScriptedUpstream", "drive", "scripted_snapshot"]
