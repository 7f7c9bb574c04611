"""How a request ends for its client: an outcome as an error, a text as a reply, a whole reply as a stream."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import cast

from engine.errors import EngineError, NoCandidate, NotAdmitted, Overloaded, UpstreamError
from engine.kinds.effects import Outcome
from engine.runtime.queue import Refused
from engine.runtime.run import Run
from engine.upstream.protocol import Chunk
from engine.wire.canonical import Choice, Event, Message, Part, Reply, Served, Usage
from engine.wire.operations import AnyReply, TokenCount
from engine.wire.whole import events_of

#: Targets skipped for one of these, all of them, is the request's own fault, not a lack of targets.
_REQUESTS_FAULT = frozenset({"context_length", "unsupported"})

#: Classes in which a vendor speaks about our account: its words are not the client's business.
_OURS = {
    "auth": "the provider did not accept this gateway's credential",
    "permission": "this gateway's credential may not do that at the provider",
    "not_found": "the provider does not know this model or path",
}


def error_of(outcome: Outcome) -> EngineError:
    """The error that a failed outcome becomes for the client."""
    failure = outcome.failure or "server"
    if outcome.final:
        return NotAdmitted(outcome.message, status=outcome.status or 403, code=outcome.code or "rejected")
    if outcome.tried or failure in _REQUESTS_FAULT or failure == "timeout":
        message = _OURS.get(failure) or outcome.message or f"the provider failed: {failure}"
        return UpstreamError(failure, message, retry_after_ms=outcome.retry_after_ms)
    return NoCandidate(outcome.message, retry_after_ms=outcome.retry_after_ms)


def not_entered(refused: Refused) -> EngineError:
    """The error of a request that got no place of its route."""
    if refused.reason == "timeout":
        return UpstreamError("timeout", refused.why)
    return Overloaded(refused.why, retry_after_ms=refused.retry_after_ms)


def fixed_reply(text: str, run: Run) -> Reply:
    """What a `respond` node answers, as a model would."""
    return Reply(
        id=f"engine-{run.inbound.request_id}",
        created=int(run.clock.now),
        model=run.view.model,
        choices=[
            Choice(
                index=0,
                message=Message(role="assistant", content=[Part(type="text", text=text)]),
                finish_reason="stop",
            )
        ],
        usage=Usage(input_tokens=0, output_tokens=0),
    )


def own_reply(text: str, run: Run) -> AnyReply:
    """What a `respond` node answers to any operation: the count of a request that costs nobody anything.

    Raises:
        UpstreamError: no text is a vector or a ranking.
    """
    operation = run.inbound.operation
    if operation == "chat":
        return fixed_reply(text, run)
    if operation == "count_tokens":
        return TokenCount(model=run.view.model, input_tokens=run.view.input_tokens, counted="bound")
    raise UpstreamError("unsupported", f"this model answers with a fixed text: it does not do {operation}")


def finish_of(reply: AnyReply) -> str | None:
    """The finish reason of a reply's first choice; None where it has no choices."""
    choices = cast(Reply, reply).get("choices") or [Choice()]
    return choices[0].get("finish_reason")


class ReplyFlow:
    """A whole reply as a stream of one chunk. Implements `upstream.protocol.Flow`.

    served: what its usage event says of how it was served.
    """

    raw_ok = False
    dropped: tuple[str, ...] = ()

    def __init__(self, reply: Reply, served: Served, finish: Callable[[], Awaitable[None]]) -> None:
        events = events_of(reply)
        events[-1]["served"] = served
        self._events: list[Event] | None = events
        self._finish: Callable[[], Awaitable[None]] | None = finish

    def __aiter__(self) -> AsyncIterator[Chunk]:
        return self

    async def __anext__(self) -> Chunk:
        events, self._events = self._events, None
        if events is None:
            await self.close()
            raise StopAsyncIteration
        return Chunk(events)

    async def close(self) -> None:
        finish, self._finish = self._finish, None
        if finish is not None:
            await finish()
