"""Local models as an upstream: the worker's events are canonical already, so there is little to do.

A deployment of provider `onnx` names a model of this machine's store (or a folder) and how to run it; the
workers come from the pool and are shared with other plans. Data never leaves the host: residency `on_host`.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass

from engine.local.errors import ModelError
from engine.local.pool import Model, Pool, Spec
from engine.local.request import Refused, dropped, with_params
from engine.plan.types import Deployment
from engine.upstream.protocol import Ask, Chunk, Flow, Whole
from engine.wire.canonical import Error, Event, Request
from engine.wire.whole import Collector

#: max_tokens where nobody limits the answer: neither the request nor the route's `admit.output`. Memory for
#: prompt and answer is taken before the first token (SmolLM2: 46 KB a token, 300 MB for its whole context).
DEFAULT_OUTPUT = 512


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model that this upstream holds, and what to give back to the pool."""

    spec: Spec
    model: Model


class LocalUpstream:
    """Implements `engine.upstream.protocol.Upstream`, and counts tokens.

    Args:
        pool: where the models came from; they go back there on `close`.
        loaded: deployment -> its model, acquired.
    """

    def __init__(self, pool: Pool, loaded: Mapping[str, Loaded]) -> None:
        self._pool = pool
        self._loaded = dict(loaded)

    async def whole(self, ask: Ask) -> Whole:
        """One answer in one piece, collected from the worker's events."""
        flow = await self.flow(ask)
        if isinstance(flow, Whole):
            return flow
        collector = Collector()
        try:
            async for chunk in flow:
                collector.add(chunk.events)
        finally:
            await flow.close()
        if collector.error is not None:
            return Whole(None, error=collector.error)
        return Whole(collector.reply(int(time.time())), dropped=flow.dropped)

    async def flow(self, ask: Ask) -> Flow | Whole:
        """Begin an answer. A refusal of the model comes as its first event."""
        loaded = self._loaded.get(ask.deployment.name)
        if loaded is None:
            return Whole(None, error=Error(failure="not_found", message="the model is not loaded"))
        request = with_params(ask.request, ask.params)
        lost = dropped(request)
        if lost and ask.lossless:
            message = f"the route is lossless, and a local model cannot be told {', '.join(lost)}"
            return Whole(None, error=Error(failure="unsupported", message=message))
        default = min(DEFAULT_OUTPUT, ask.deployment.facts.output or DEFAULT_OUTPUT)
        # the worker gives less where the context ends first
        most = ask.max_tokens or request.get("max_tokens") or default
        return LocalFlow(loaded.model.generate(request, max_tokens=most, begun=ask.begun), lost)

    async def count(self, request: Request, deployment: Deployment) -> int | None:
        """The prompt's tokens as the model will see them; None while it cannot tell."""
        loaded = self._loaded.get(deployment.name)
        if loaded is None or not loaded.model.answers:
            return None
        try:
            return await loaded.model.count(request)
        except (ModelError, Refused):
            return None

    async def close(self) -> None:
        """Give the models back to the pool."""
        loaded, self._loaded = self._loaded, {}
        for each in loaded.values():
            await self._pool.release(each.spec)


class LocalFlow:
    """The worker's batches of events as chunks. Implements `engine.upstream.protocol.Flow`."""

    raw_ok = False

    def __init__(self, batches: AsyncGenerator[list[Event], None], dropped: tuple[str, ...]) -> None:
        self._batches = batches
        self.dropped = dropped

    def __aiter__(self) -> AsyncIterator[Chunk]:
        return self

    async def __anext__(self) -> Chunk:
        return Chunk(await anext(self._batches))

    async def close(self) -> None:
        """The worker is told to cancel, if it has not ended."""
        await self._batches.aclose()
