"""A call that the vendor takes as a job: ask until it has ended, and call it off where nobody waits.

Questions go out with growing pauses, longer where the vendor says `retry-after`. One that fails for a moment
(a lost connection, 429, 5xx) is asked again, three times in a row at most. Calling off is best effort: it has
`CANCEL_S` and nobody is told how it went.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from engine.upstream.protocol import HttpCall, HttpReply, Transport, TransportError
from engine.wire.canonical import Error
from engine.wire.failures import RETRY_AFTER, Classifier, below_http, retry_after_ms
from engine.wire.mended import mended
from engine.wire.poll import BadPlaceError, BoundPoll, Place, State, Which

#: How long calling a job off may take.
CANCEL_S: Final = 2.0
#: Questions in a row that may fail.
TRIES: Final = 3
#: Most bytes of an answer about a job.
CAP: Final = 64 << 20
_GROWTH: Final = 1.5

Headers = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Answered:
    """A whole 2xx answer. `body` is its JSON; None where it is none, and then `broken`.

    Not frozen: that would cost three times as much, and every call makes one.
    """

    status: int
    headers: Mapping[str, str]
    data: bytes
    body: Any
    broken: bool = False

    @classmethod
    def of(cls, reply: HttpReply, data: bytes) -> Answered:
        """The answer whose body is `data`."""
        try:
            return cls(reply.status, reply.headers, data, orjson.loads(data))
        except orjson.JSONDecodeError:
            pass
        try:
            body = mended(data)
        except ValueError:
            return cls(reply.status, reply.headers, data, None, broken=True)
        return cls(reply.status, reply.headers, orjson.dumps(body), body)


class JobFailed(Exception):
    """The job has no answer. `error` says why."""

    def __init__(self, error: Error) -> None:
        super().__init__(error.get("message", ""))
        self.error = error


class Jobs:
    """The jobs of one upstream: what is being called off is finished, or given up, before it closes."""

    def __init__(self) -> None:
        self._leaving: set[asyncio.Task[None]] = set()

    def leave(self, job: Job) -> None:
        """Call a job off without waiting for it."""
        task = asyncio.create_task(job.cancel())
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def close(self) -> None:
        """Wait for what is being called off, each for as long as it may take."""
        await asyncio.gather(*self._leaving)


class Job:
    """One job, known by the last answer about it.

    target: what the templates of addresses read. dressed: the URL and headers of a call to a place, by what
        it accepts; may raise JobFailed.
    """

    def __init__(
        self,
        poll: BoundPoll,
        answer: Answered,
        transport: Transport,
        classifier: Classifier,
        target: Mapping[str, Any],
        dressed: Callable[[Place, str], Awaitable[tuple[str, Headers]]],
        connect_ms: int | None,
    ) -> None:
        self._poll = poll
        self._answer = answer
        self._transport = transport
        self._classifier = classifier
        self._target = target
        self._dressed = dressed
        self._connect_ms = connect_ms
        self.over = False  # the vendor said how it ended

    async def whole(self) -> Answered:
        """The answer that holds the result. Raises JobFailed, TransportError."""
        plan = self._poll.plan
        pause = plan.every_ms
        try:
            async with asyncio.timeout(plan.timeout_ms / 1000):
                while not self._ended():
                    await asyncio.sleep(max(pause, self._asked_to_wait()) / 1000)
                    pause = min(round(pause * _GROWTH), plan.longest_ms)
                    self._answer = await self._ask("at")
                if self._poll.has("result") and self._state()[0] is not None:
                    return await self._ask("result")
                return self._answer
        except TimeoutError:
            seconds = plan.timeout_ms / 1000
            raise JobFailed(below_http("timeout", f"the job did not end within {seconds:g} s")) from None

    async def stream(self, accept: str) -> HttpReply | None:
        """The job as a stream; None where the vendor offers none. Raises JobFailed, TransportError."""
        if not self._poll.has("stream") or self._ended():
            return None
        try:
            place = self._place("stream")
        except BadPlaceError as error:
            raise JobFailed(below_http("server", str(error))) from None
        return await self._transport.send(await self._call(place, accept))

    async def cancel(self) -> None:
        """Tell the vendor that nobody waits. Never fails."""
        if self.over or not self._poll.has("cancel"):
            return
        try:
            async with asyncio.timeout(CANCEL_S):
                call = await self._call(self._place("cancel"), "application/json")
                reply = await self._transport.send(call)
                await reply.close()
        except (TransportError, TimeoutError, BadPlaceError, JobFailed):
            return

    def _state(self) -> tuple[State | None, str]:
        answer = self._answer
        return self._poll.state(answer.body, answer.headers, self._target)

    def _ended(self) -> bool:
        """Whether the answer is here. Raises JobFailed where there will be none."""
        state, word = self._state()
        if state == "pending":
            return False
        self.over = True
        answer = self._answer
        if state == "failed":
            raise JobFailed(self._classifier.parsed(answer.status, answer.headers, answer.body))
        if state == "unknown":
            words = f"the job has a status that the dialect does not know: {word[:40]}"
            raise JobFailed(below_http("server", words))
        return True

    def _asked_to_wait(self) -> int:
        delay = retry_after_ms(self._answer.headers, None, RETRY_AFTER, 0.0) or 0
        return min(delay, self._poll.plan.longest_ms)

    async def _ask(self, which: Which) -> Answered:
        """One question, asked again where it fails for a moment."""
        try:
            call = await self._call(self._place(which), "application/json")
        except BadPlaceError as error:
            raise JobFailed(below_http("server", str(error))) from None
        pause = self._poll.plan.every_ms
        for tries in range(1, TRIES + 1):
            try:
                reply = await self._transport.send(call)
                try:
                    data = await reply.read(CAP)
                finally:
                    await reply.close()
            except TransportError:
                if tries == TRIES:
                    raise
            else:
                if 200 <= reply.status < 300:
                    return Answered.of(reply, data)
                if tries == TRIES or not (reply.status == 429 or reply.status >= 500):
                    raise JobFailed(self._classifier.answer(reply.status, reply.headers, data))
            await asyncio.sleep(pause / 1000)
            pause = min(round(pause * _GROWTH), self._poll.plan.longest_ms)
        raise AssertionError("unreachable: the last try returns or raises")

    def _place(self, which: Which) -> Place:
        answer = self._answer
        return self._poll.place(which, answer.body, answer.headers, self._target)

    async def _call(self, place: Place, accept: str) -> HttpCall:
        url, headers = await self._dressed(place, accept)
        return HttpCall(place.method, url, headers, b"", self._connect_ms)
