"""A committed stream: hands the client what comes, and closes what the attempt opened when it ends.

From here on nothing is replaced: a failure becomes an `error` event and the end. Whoever iterates either
reads to the end or calls `close`; both settle the lease with what was used and finish the decision record,
and so does a cancelled reader.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable

from engine.kinds.effects import Attempt
from engine.runtime.clock import Clock
from engine.runtime.guard import Guard, LimitReached
from engine.runtime.leases import Leases, whole_usage
from engine.runtime.record import AttemptRecord
from engine.runtime.run import Run
from engine.runtime.snapshot import Place
from engine.runtime.tally import Tally, error_event
from engine.upstream.protocol import Chunk, Flow
from engine.wire.canonical import Error, Event, Usage

Finish = Callable[[str | None], Awaitable[None]]


class OpenFlow:
    """An upstream's stream with what belongs to it, from the call on.

    Limits are moments on the clock. `ready` holds the chunks that came before the commit point.
    """

    __slots__ = (
        "_clock",
        "_idle_ms",
        "entry",
        "flow",
        "guard",
        "over",
        "place",
        "ready",
        "source",
        "tally",
        "whole_at",
        "whole_why",
    )

    def __init__(
        self, flow: Flow, effect: Attempt, entry: AttemptRecord, place: Place, clock: Clock, guard: Guard
    ) -> None:
        self.flow = flow
        self.source = aiter(flow)
        self.entry = entry
        self.place = place
        self.guard = guard
        self.tally = Tally()
        self.over = False  # its end was seen
        self.ready: deque[Chunk] = deque()
        self._clock = clock
        self._idle_ms = effect.target.call.idle_ms
        self.whole_at: float | None = None
        self.whole_why = ""

    async def receive(self) -> Chunk | None:
        """The next chunk; None at the end. Raises LimitReached."""
        if self.over:
            return None
        try:
            with self.guard:
                chunk: Chunk = await anext(self.source)
        except StopAsyncIteration:
            self.over = True
            return None
        self.tally.take(chunk)
        return chunk

    def idle_limit(self) -> None:
        """From now on the pause between two events is limited, instead of the time to the first."""
        at = None if self._idle_ms is None else self._clock.now_ms() + self._idle_ms
        if at is None or (self.whole_at is not None and self.whole_at < at):
            self.guard.limit(self.whole_at, self.whole_why)
        else:
            self.guard.limit(at, "idle")

    async def close(self) -> None:
        self.guard.close()
        await self.flow.close()


class LiveFlow:
    """Implements `upstream.protocol.Flow` for the server."""

    def __init__(
        self, run: Run, lease: int, opened: OpenFlow, leases: Leases, finish: Finish, model: str
    ) -> None:
        # The vendor's own bytes name the model that served.
        self.raw_ok = opened.flow.raw_ok and run.bound.route.reply_model == "served"
        self.dropped = opened.flow.dropped
        self._run = run
        self._lease = lease
        self._open = opened
        self._leases = leases
        self._finish = finish
        self._model = model
        self._used: Usage | None = None
        self._over = False  # the upstream has nothing more
        self._ended = False

    def __aiter__(self) -> AsyncIterator[Chunk]:
        return self

    async def __anext__(self) -> Chunk:
        ready = self._open.ready
        if not ready:
            if self._over:
                await self._end(None)
                raise StopAsyncIteration
            await self._fetch()
            if not ready:
                await self._end(None)
                raise StopAsyncIteration
        chunk = ready.popleft()
        for event in chunk.events:
            if event["type"] == "start":
                event["model"] = self._model
            elif event["type"] == "usage":
                # Settled before it is handed on: who writes it may want to say what the answer cost.
                event["usage"] = await self._settle()
                event["served"] = self._run.record.served()
                if chunk.closing is not None:
                    chunk.raw = (chunk.raw or b"") + chunk.closing(event)
            elif event["type"] == "error":
                await self._end(event["error"].get("failure", "cut"))
        if not self.raw_ok:
            chunk.raw = None
        return chunk

    async def close(self) -> None:
        """The client has left: stop the upstream at once. Harmless after the end."""
        if not self._ended:
            whole = self._over and not self._open.ready
            self._open.ready.clear()
            await self._end(None if whole else "cancelled")

    async def discard(self) -> None:
        """Close it without ending the request: another answer is handed on, or none."""
        self._finish = _nobody
        await self.close()

    async def _fetch(self) -> None:
        """Put what comes next into `ready`; nothing at a clean end."""
        opened = self._open
        opened.idle_limit()
        try:
            chunk = await opened.receive()
        except LimitReached as limit:
            self._over = True
            words = f"the answer stopped: its {limit.why} limit was reached"
            opened.ready.append(Chunk([error_event(Error(failure="timeout", message=words))]))
        except (asyncio.CancelledError, GeneratorExit):
            await self.close()
            raise
        except BaseException:
            await self._end("server")
            raise
        else:
            await self._took(chunk)

    async def _took(self, chunk: Chunk | None) -> None:
        ready = self._open.ready
        if chunk is None:
            self._over = True
            if self._open.tally.usage is None and self._open.tally.error is None:
                ready.append(Chunk([Event(type="usage", usage=await self._settle())]))
        elif self._open.tally.error is not None:
            # Its raw bytes would show the client the vendor's own error: the writer of its dialect does that.
            self._over = True
            before = [event for event in chunk.events if event["type"] != "error"]
            if before:
                ready.append(Chunk(before))
            ready.append(Chunk([error_event(self._open.tally.error)]))
        else:
            ready.append(chunk)

    async def _settle(self) -> Usage:
        """Close the lease with what was used; the first time counts."""
        opened = self._open
        if self._used is None:
            self._used = usage = whole_usage(self._run, opened.tally.usage, opened.tally.size)
            await self._leases.settle(self._run, self._lease, opened.entry, opened.place, usage)
        return self._used

    async def _end(self, failure: str | None) -> None:
        """Close everything, once."""
        if self._ended:
            return
        self._ended = self._over = True
        try:
            await self._open.close()
        finally:
            await self._settle()
            self._open.entry.failure = failure
            if failure not in {None, "cancelled"}:
                self._leases.observe(self._open.place, failure, None)
            self._run.record.finish = self._open.tally.finish
            await self._finish(failure)


async def _nobody(_failure: str | None) -> None:
    """The request goes on without this stream."""
