"""One probe: a small real call to a deployment, which no client asked for.

It is a request of its own through the executor, with a record, a lease and a bill of its own (`role` of its
attempt and `probe_of` of its record say what it was). It asks whatever the deployment's breaker says, once,
and is never repeated; how it ends counts as any call does, and a good one closes the breaker.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Awaitable, Callable
from typing import Final

from engine.kinds.effects import Outcome
from engine.kinds.use import Use
from engine.kinds.walk import walk
from engine.plan.types import Admit, Call, Ceilings, Match, Probing, Route, Streaming
from engine.runtime.bound_route import BoundRoute
from engine.runtime.branches import Drive
from engine.runtime.run import Inbound, Run
from engine.runtime.snapshot import Snapshot
from engine.wire.canonical import Message, Part, Request
from engine.wire.operations import (
    AnyRequest,
    EmbeddingInput,
    EmbeddingRequest,
    RerankDocument,
    RerankRequest,
)

_TEXT: Final = "ping"

Begin = Callable[[Snapshot, Inbound], Run]
Fund = Callable[[Run], Awaitable[None]]
Finish = Callable[[Run, str | None, int], Awaitable[None]]


class Probes:
    """Those of one executor."""

    def __init__(self, begin: Begin, fund: Fund, drive: Drive, finish: Finish) -> None:
        self._begin = begin
        self._fund = fund
        self._drive = drive
        self._finish = finish
        self._numbers = itertools.count(1)
        self._process = secrets.token_hex(6)

    def _id(self, name: str) -> str:
        """Of one probe: no other process has it, nor this one after a restart."""
        return f"probe-{name}-{self._process}-{next(self._numbers)}"

    async def ask(self, snapshot: Snapshot, name: str) -> Outcome | None:
        """Probe a deployment of a snapshot; None where it does nothing that is asked so."""
        bound = _bound(snapshot, name)
        made = _smallest(bound.places[name].operations)
        if made is None:
            return None
        operation, request = made
        snapshot.pin()
        run = self._begin(snapshot, Inbound(request, self._id(name), None, operation))
        run.take(bound)
        run.role = "probe"
        run.max_tokens = 1
        run.record.probe_of = name
        failure: str | None = "cancelled"
        status = 499
        try:
            await self._fund(run)
            outcome = await self._drive(run, walk(bound.route.start, run), _nobody)
            failure, status = (None, 200) if outcome.ok else (outcome.failure, outcome.status or 502)
            run.record.served_by = name if outcome.ok else None
        except Exception:
            failure, status = "server", 500
            raise
        finally:
            await self._finish(run, failure, status)
        return outcome


def _bound(snapshot: Snapshot, name: str) -> BoundRoute:
    """A route that leads to this deployment and no further."""
    probing = snapshot.plan.deployment(name).probe or Probing(0, 0)
    most = probing.timeout_ms
    call = Call(connect_ms=most, total_ms=most, whole_ms=most, retry_extra=0)
    target = Use(id=f"probe/{name}", call=call, deployment=name)
    return snapshot.bind(
        Route(
            name=f"probe/{name}",
            match=Match(()),
            start=target,
            call=Call(),
            admit=Admit(),
            per_request=Ceilings(calls=1),
            stream=Streaming(),
            budgets=snapshot.plan.money().always,
        )
    )


def _smallest(operations: frozenset[str]) -> tuple[str, AnyRequest] | None:
    """The smallest request of an operation that is done there."""
    if "chat" in operations:
        message = Message(role="user", content=[Part(type="text", text=_TEXT)])
        return "chat", Request(messages=[message], max_tokens=1)
    if "embeddings" in operations:
        return "embeddings", EmbeddingRequest(operation="embeddings", input=[EmbeddingInput(text=_TEXT)])
    if "rerank" in operations:
        documents = [RerankDocument(text=_TEXT)]
        return "rerank", RerankRequest(operation="rerank", query=_TEXT, documents=documents)
    return None


async def _nobody(_failure: str | None) -> None:
    """A probe's answer is never a stream."""
