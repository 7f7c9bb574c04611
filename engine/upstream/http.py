"""An upstream over HTTP: attempts at the deployments of one provider, in its dialect.

What a call needs and a request cannot change (URL, headers, the credential's place, renames) is worked out
once per deployment (`outbound.py`), so a call costs its body, the sending and the reading of the answer.
Where the client speaks the provider's own dialect, its body goes out as it came but for what the plan
changes, and the answer's bytes are handed back beside their canonical reading (`raw`).

Every failure leaves as an `Error` with its class; only cancellation raises, and closes the socket on its way.
Timeouts, but for connecting, are the executor's.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any, Final

import orjson

from engine.errors import RequestError
from engine.plan.types import Deployment, Provider
from engine.policies.failures import FailureClass
from engine.upstream import batches
from engine.upstream.outbound import Outbound
from engine.upstream.protocol import Ask, Chunk, HttpCall, HttpReply, Transport, TransportError, Whole
from engine.upstream.secrets import SecretMissing, Secrets
from engine.wire.canonical import CONTENT_EVENTS, Error, Event
from engine.wire.dialect import BoundDialect
from engine.wire.failures import below_http
from engine.wire.operations import check_answers
from engine.wire.stream_reader import StreamReader
from engine.wire.stream_writer import StreamWriter

#: Most bytes of an answer, and of an error, that are read.
ANSWER_CAP: Final = 64 << 20
ERROR_CAP: Final = 64 << 10
#: How long a whole answer is kept open for the usage and the sentinel that should follow it.
TAIL_S: Final = 2.0
END_S: Final = 0.05


class HttpUpstream:
    """An `Upstream`. The transport is shared with others and closed by whoever made it."""

    def __init__(
        self, provider: Provider, dialect: BoundDialect, transport: Transport, secrets: Secrets
    ) -> None:
        self._provider = provider
        self._dialect = dialect
        self._transport = transport
        self._secrets = secrets
        self._classifier = dialect.classifier(provider.errors, provider.retry_after)
        self._outbound: dict[tuple[str, str, str | None], Outbound] = {}

    async def whole(self, ask: Ask) -> Whole:
        """One answer in one piece. Failures come as `Whole.error`; only cancellation raises."""
        pieces = batches.cut(ask, self._bound(ask).batch)
        return await (self._one(ask) if len(pieces) == 1 else batches.together(pieces, self._one))

    async def _one(self, ask: Ask) -> Whole:
        """One call that is answered in one piece."""
        outbound = self._bound(ask)
        try:
            call, dropped, through = self._call(outbound, ask, stream=False)
        except _NotSent as failed:
            return Whole(None, failed.error)
        try:
            reply = await self._transport.send(call)
            try:
                if not 200 <= reply.status < 300:
                    return Whole(None, await self._refused(reply), dropped=dropped)
                data = await reply.read(ANSWER_CAP)
            finally:
                await reply.close()
        except TransportError as error:
            return Whole(None, _failed(ask.deployment.name, error), dropped=dropped)
        answer = self._answer(outbound, ask, reply, data)
        answer.dropped = dropped
        if not through:
            answer.raw = None
        return answer

    async def flow(self, ask: Ask) -> HttpFlow | Whole:
        """Begin a stream. A failure before the first content comes as `Whole` with `error`."""
        outbound = self._bound(ask)
        try:
            call, dropped, through = self._call(outbound, ask, stream=True)
        except _NotSent as failed:
            return Whole(None, failed.error)
        try:
            reply = await self._transport.send(call)
        except TransportError as error:
            return Whole(None, _failed(ask.deployment.name, error), dropped=dropped)
        opened = False
        try:
            if not 200 <= reply.status < 300:
                return Whole(None, await self._refused(reply), dropped=dropped)
            if (fault := await self._no_stream(outbound, ask, reply)) is not None:
                return Whole(None, fault, dropped=dropped)
            wanted = through and ask.request.get("include_usage", False)
            reader = self._dialect.stream_reader(
                ask.operation,
                self._classifier,
                keep_raw=through,
                hide_usage=through and not wanted,
                hold_usage=wanted,
                skim=through and ask.skim,
            )
            usage = self._dialect.stream_writer(ask.operation, ask.request) if wanted else None
            sentinel = outbound.sentinel if through else b""
            flow = HttpFlow(ask.deployment.name, reply, reader, through, dropped, sentinel, usage)
            first = await flow.begin()
            if first is not None:
                return Whole(None, first, dropped=dropped)
            opened = True
            return flow
        except TransportError as broken:
            return Whole(None, _failed(ask.deployment.name, broken), dropped=dropped)
        finally:
            if not opened:
                await reply.close()

    async def close(self) -> None:
        """Nothing of its own to close."""

    def preview(self, ask: Ask, *, stream: bool = False) -> dict[str, Any]:
        """What a call would send, for people: no secret is read, and its place shows `***`."""
        outbound = self._bound(ask)
        body, dropped, through = outbound.body(ask, stream)
        return {
            "method": "POST",
            "url": outbound.shown_url(stream),
            "headers": outbound.shown_headers(stream),
            "body": body,
            "dropped": list(dropped),
            "passthrough": through,
        }

    # --- one call

    def _bound(self, ask: Ask) -> Outbound:
        deployment: Deployment = ask.deployment
        key = (deployment.name, ask.operation, ask.credential.name if ask.credential is not None else None)
        found = self._outbound.get(key)
        if found is None or found.deployment is not deployment or found.credential is not ask.credential:
            found = Outbound(
                self._provider, deployment, self._dialect, ask.operation, self._secrets, ask.credential
            )
            self._outbound[key] = found
        return found

    def _call(self, outbound: Outbound, ask: Ask, stream: bool) -> tuple[HttpCall, tuple[str, ...], bool]:
        try:
            body, dropped, through = outbound.body(ask, stream)
            url, headers = outbound.address(stream)
            data = orjson.dumps(body)
        except SecretMissing as error:
            raise _NotSent("auth", str(error)) from None
        except RequestError as error:
            raise _NotSent("unsupported", error.message) from None
        except (TypeError, ValueError) as error:  # orjson: a number beyond 64 bits, a lone surrogate
            raise _NotSent("bad_request", f"the request cannot be written as JSON: {error}") from None
        return HttpCall("POST", url, headers, data, ask.connect_ms), dropped, through

    async def _refused(self, reply: HttpReply) -> Error:
        """The error of an answer that is none by its status."""
        try:
            body = await reply.read(ERROR_CAP)
        except TransportError:
            body = b""  # the status says enough
        error = self._classifier.answer(reply.status, reply.headers, body)
        if 300 <= reply.status < 400:
            error["message"] = (
                f"the upstream answered with a redirect ({reply.status}), which is never followed"
            )
        return error

    def _answer(self, outbound: Outbound, ask: Ask, reply: HttpReply, data: bytes) -> Whole:
        """A 2xx body, read: the reply and its bytes, where they may pass, or the error that it really is."""
        status, headers = reply.status, reply.headers
        try:
            body = orjson.loads(data)
        except ValueError:
            kind = headers.get("content-type", "no content type").partition(";")[0]
            return Whole(
                None, {"failure": "server", "status": status, "message": f"the answer is not JSON ({kind})"}
            )
        good = outbound.operation.success_when
        if good is not None and not good(body, headers, status):
            return Whole(None, self._classifier.parsed(status, headers, body))
        try:
            found = self._dialect.read_response(ask.operation, body, headers, status)
        except ValueError as error:
            return Whole(None, {"failure": "server", "status": status, "message": str(error)})
        fault = check_answers(ask.operation, found, ask.request)
        if fault is not None:
            return Whole(None, {"failure": "server", "status": status, "message": fault})
        raw = data if self._dialect.may_pass(ask.operation, body, ask.request) else None
        return Whole(found, raw=raw)

    async def _no_stream(self, outbound: Outbound, ask: Ask, reply: HttpReply) -> Error | None:
        """Why a 2xx answer to a streamed call is no stream; None where it is one."""
        kind = reply.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind in (
            "",
            outbound.stream_type,
            "application/octet-stream",
            "text/plain",
            "application/x-ndjson",
        ):
            return None
        if "json" not in kind:
            return {
                "failure": "server",
                "status": reply.status,
                "message": f"the answer is no stream ({kind})",
            }
        answer = self._answer(outbound, ask, reply, await reply.read(ANSWER_CAP))
        if answer.error is not None:
            return answer.error
        return {
            "failure": "server",
            "status": reply.status,
            "message": "a stream was asked for, and none came",
        }


class _NotSent(Exception):
    """The call could not be made up."""

    def __init__(self, failure: FailureClass, message: str) -> None:
        super().__init__(message)
        self.error = below_http(failure, message)


def _failed(deployment: str, error: TransportError) -> Error:
    """A call that failed below HTTP: the client learns whose it was by the name that the plan has for it."""
    return below_http(error.failure, f"{deployment}: {error}")


class HttpFlow:
    """A `Flow` over one reply. Iterate it once; it closes the socket when it ends.

    deployment: whose it is, for errors.
    sentinel: ends the client's stream, where the vendor left its own out.
    usage: writes the usage event of a client that asked for it, where the bytes pass through.
    """

    def __init__(
        self,
        deployment: str,
        reply: HttpReply,
        reader: StreamReader,
        raw_ok: bool,
        dropped: tuple[str, ...],
        sentinel: bytes,
        usage: StreamWriter | None = None,
    ) -> None:
        self.raw_ok = raw_ok
        self.dropped = dropped
        self._deployment = deployment
        self._reply = reply
        self._chunks: AsyncIterator[bytes] = reply.chunks()
        self._reader = reader
        self._sentinel = sentinel
        self._usage = usage
        self._pending: Chunk | None = None

    async def begin(self) -> Error | None:
        """Read up to the first event. An error before any content is returned instead of kept."""
        raw: list[bytes] = []
        events: list[Event] = []
        while not events:
            chunk = await self._next()
            events = chunk.events
            raw.append(chunk.raw or b"")
            if self._reader.done:
                break
        for event in events:
            if event["type"] == "error":
                return event["error"]
            if event["type"] in CONTENT_EVENTS:
                break
        self._pending = Chunk(events, b"".join(raw) if self.raw_ok else None, chunk.closing, chunk.unread)
        return None

    def __aiter__(self) -> HttpFlow:
        return self

    async def __anext__(self) -> Chunk:
        pending = self._pending
        if pending is not None:
            self._pending = None
            return pending
        if self._reader.done:
            await self._finish()
            raise StopAsyncIteration
        return await self._next()

    async def close(self) -> None:
        """Stop at once: the upstream's socket is closed."""
        await self._reply.close()

    async def _next(self) -> Chunk:
        reader = self._reader
        try:
            if reader.complete:
                async with asyncio.timeout(TAIL_S):
                    data = await anext(self._chunks, b"")
            else:
                data = await anext(self._chunks, b"")
        except TransportError as error:
            events = reader.fail(_failed(self._deployment, error))
        except TimeoutError:  # of the tail: nothing is missing but words about the answer
            events = reader.eof()
        else:
            events = reader.feed(data) if data else reader.eof()
        if not self.raw_ok:
            return Chunk(events)
        if self._usage is not None and events and events[0]["type"] == "start":
            self._usage.events(events[:1])
        if not reader.done or reader.failed:
            return Chunk(events, reader.raw, unread=reader.unread)
        end = b"" if reader.sentinel_seen else self._sentinel
        if self._usage is None:
            return Chunk(events, reader.raw + end, unread=reader.unread)
        return Chunk(events, reader.raw, partial(self._closing, self._usage, end), reader.unread)

    def _closing(self, writer: StreamWriter, end: bytes, usage: Event) -> bytes:
        """The last bytes of a stream that passes through: the usage event, completed, and what follows it."""
        reader = self._reader
        told = writer.usage(usage, reader.usage_data)
        return b"".join([reader.usage_raw if told is None else told, *reader.after, end])

    async def _finish(self) -> None:
        """Give the end of the body a moment to come, so that the connection goes back to its pool."""
        if self._reader.failed:
            await self._reply.close()
            return
        try:
            async with asyncio.timeout(END_S):
                while await anext(self._chunks, b""):
                    pass
        except (TransportError, TimeoutError):
            pass
        await self._reply.close()
