"""A committed stream: hands the client what comes, and closes what the attempt opened when it ends.

From here on nothing is replaced: a failure becomes an `error` event and the end, or, with `on_cut: continue`,
somebody goes on where it broke (`continuing.py`). Whoever iterates either reads to the end or calls `close`;
both settle the lease with what was used and finish the decision record, and so does a cancelled reader.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, cast

from engine.kinds.resume import Broken
from engine.policies.failures import FailureClass
from engine.runtime.continuing import Continuing
from engine.runtime.guard import LimitReached
from engine.runtime.leases import Leases, whole_usage
from engine.runtime.open_flow import OpenFlow
from engine.runtime.run import Run
from engine.runtime.tally import error_event
from engine.upstream.protocol import Chunk
from engine.wire.canonical import Error, Event, Usage

if TYPE_CHECKING:
    from engine.runtime.answers import Tape

Finish = Callable[[str | None], Awaitable[None]]


class LiveFlow:
    """Implements `upstream.protocol.Flow` for the server."""

    def __init__(
        self,
        run: Run,
        opened: OpenFlow,
        leases: Leases,
        finish: Finish,
        model: str,
        continuing: Continuing | None = None,
    ) -> None:
        # The vendor's own bytes name the model that served.
        self.raw_ok = opened.flow.raw_ok and run.bound.route.reply_model == "served"
        if continuing is not None:
            self.raw_ok = self.raw_ok and continuing.joins
        self.dropped = opened.flow.dropped
        self._run = self._asked = run
        self._continuing = continuing
        self._open = opened
        self._leases = leases
        self._finish = finish
        self._model = model
        self._broken: Broken | None = None  # told once all that came before it was handed on
        self._used: Usage | None = None
        self._over = False  # the upstream has nothing more
        self._ended = False
        self.tape: Tape | None = None  # keeps the answer for a cache

    def __aiter__(self) -> AsyncIterator[Chunk]:
        return self

    async def __anext__(self) -> Chunk:
        if not self._open.ready:
            await self._fetch()
            if not self._open.ready:
                await self._end(None)
                raise StopAsyncIteration
        chunk = self._open.ready.popleft()
        continuing = self._continuing
        for event in chunk.events:
            if event["type"] == "start":
                if continuing is not None:
                    continuing.starts(event)
                event["model"] = self._model
            elif event["type"] == "usage":
                # Settled before it is handed on: who writes it may want to say what the answer cost.
                used = await self._settle()
                event["usage"] = used if continuing is None else continuing.all_used(used)
                event["served"] = self._run.record.served()
                if chunk.closing is not None:
                    chunk.raw = (chunk.raw or b"") + chunk.closing(event)
            elif event["type"] == "error":
                await self._end(event["error"].get("failure", "cut"))
        if not self.raw_ok:
            chunk.raw = None
        if continuing is not None:
            continuing.given(chunk)
        if self.tape is not None:
            self.tape.take(chunk.events)
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
        try:
            while not self._over and not self._open.ready:
                broken, self._broken = self._broken, None
                if broken is None:
                    opened = self._open
                    opened.idle_limit()
                    try:
                        chunk = await opened.receive()
                    except LimitReached as limit:
                        broken = _limited(opened, limit)
                    else:
                        if chunk is None:
                            await self._at_end()
                        elif opened.tally.error is not None:
                            broken = self._broken_in(chunk, opened.tally.error)
                        else:
                            self._give(chunk)
                if broken is not None:
                    if self._open.ready:  # what came before it goes first
                        self._broken = broken
                    else:
                        await self._broke(broken)
        except (asyncio.CancelledError, GeneratorExit):
            await self.close()
            raise
        except BaseException:
            await self._end("server")
            raise

    async def _at_end(self) -> None:
        """The upstream has nothing more; where it said no usage, there is one all the same."""
        self._over = True
        opened = self._open
        if opened.tally.usage is None:
            opened.ready.append(Chunk([Event(type="usage", usage=await self._settle())]))

    def _broken_in(self, chunk: Chunk, error: Error) -> Broken:
        """How the stream broke; what came before it is given. The vendor's own error is never passed through:
        the writer of the client's format tells it.
        """
        before = [event for event in chunk.events if event["type"] != "error"]
        if before or chunk.raw:
            self._give(Chunk(before, chunk.raw))
        return Broken(
            self._open.effect,
            error.get("failure", "cut"),
            error.get("message", ""),
            retry_after_ms=error.get("retry_after_ms"),
        )

    def _give(self, chunk: Chunk) -> None:
        if self._continuing is None or self._continuing.fits(chunk):
            self._open.ready.append(chunk)

    async def _broke(self, broken: Broken) -> None:
        """Somebody goes on where the stream broke; or it ends with the event that says so."""
        continuing = self._continuing
        if continuing is not None and continuing.may(broken):
            old = self._open
            old.entry.ended_ms = old.now() - self._run.started
            await self._leave(broken.failure)
            opened = await continuing.go_on(broken, await self._settle())
            if opened is not None:
                self._open, self._used, self.raw_ok = opened, None, False
                self._asked = continuing.run
                begun = list(opened.ready)
                opened.ready.clear()
                for chunk in begun:
                    self._give(chunk)
                return
        self._over = True
        error = Error(failure=cast(FailureClass, broken.failure), message=broken.message)
        self._open.ready.append(Chunk([error_event(error)]))

    async def _settle(self, *, broken: bool = False) -> Usage:
        """Close the lease with what was used; the first time counts."""
        opened = self._open
        if self._used is None:
            asked, tally = self._asked, opened.tally
            self._used = usage = (
                self._leases.broken_usage(asked, opened.effect.lease, opened.place, tally)
                if broken
                else whole_usage(asked, opened.place, tally.usage, tally.tokens)
            )
            await self._leases.settle(self._run, opened.effect.lease, opened.entry, opened.place, usage)
        return self._used

    async def _leave(self, failure: str | None) -> None:
        """Close what the attempt opened and tell how it ended, once for each."""
        opened = self._open
        if opened.left:
            return
        opened.left = True
        try:
            await opened.close()
        finally:
            await self._settle(broken=failure is not None)
            opened.entry.failure = failure
            lease, entry, place = opened.effect.lease, opened.entry, opened.place
            self._leases.ended(self._run, lease, entry, place, failure, opened.now())

    async def _end(self, failure: str | None) -> None:
        """Close everything, once."""
        if self._ended:
            return
        self._ended = self._over = True
        try:
            await self._leave(failure)
        finally:
            self._run.record.finish = self._open.tally.finish
            if self.tape is not None:
                await self.tape.ended(failure)
            await self._finish(failure)


async def _nobody(_failure: str | None) -> None:
    """The request goes on without this stream."""


def _limited(opened: OpenFlow, limit: LimitReached) -> Broken:
    """How a stream broke that a limit ended."""
    over = (
        "the time for this request is over"
        if limit.why == "deadline"
        else f"its {limit.why} limit was reached"
    )
    words = f"the answer stopped: {over}"
    return Broken(opened.effect, "timeout", words, for_good=limit.why == "deadline")
