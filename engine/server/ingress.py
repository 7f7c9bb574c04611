"""One client request in its dialect: body in, decision, answer out.

Which dialect and operation a path speaks stands in the plan; nothing here names a field of a wire format.
The order of `answer` is the order of a request: who asks, read, parse, decide and call (the executor), write.
Whatever ends it early (a fault of the client's, of an upstream, the client leaving) is told in the
dialect's own shape.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import orjson

from engine.errors import EngineError, Overloaded, RequestError, UpstreamError
from engine.runtime.execute import Answer
from engine.runtime.record import DecisionRecord
from engine.runtime.run import Inbound
from engine.runtime.snapshot import Snapshot
from engine.runtime.views import Key
from engine.server.body import BodyTooLarge, ClientGone, parse_body, read_body
from engine.server.client_headers import ClientHeaders
from engine.server.departure import Departure
from engine.server.heartbeat import Heartbeat
from engine.server.limit_headers import known_headers, limit_headers
from engine.server.pressure import Pressure
from engine.server.repeats import HEADER, BrokenOff, Repeats
from engine.server.replies import (
    CLOSE,
    JSON,
    Headers,
    Message,
    Receive,
    Send,
    about,
    challenge,
    cost,
    counted,
    retry_after,
    send_and_linger,
    send_whole,
)
from engine.server.service import Service
from engine.upstream.protocol import Flow
from engine.wire.canonical import Error, Reply, Request
from engine.wire.dialect import BoundDialect
from engine.wire.stream_writer import StreamWriter

#: A client that will wait so long and no longer says so, in milliseconds.
DEADLINE: Final = b"x-engine-timeout-ms"

#: A stream that somebody on the way collects is no stream.
_UNBUFFERED: Final = ((b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no"))


class Ingress:
    """One path of the sidecar, under one snapshot."""

    __slots__ = ("_content_type", "_revision", "_service", "_snapshot", "_streams", "dialect", "operation")

    def __init__(
        self, service: Service, snapshot: Snapshot, dialect: BoundDialect, operation: str, path: str
    ) -> None:
        self._service = service
        self._snapshot = snapshot
        self._revision = snapshot.revision.encode()
        self.dialect = dialect
        self.operation = operation
        self._streams = path in dialect.plan.operations[operation].stream_ingress

    async def answer(
        self,
        request_id: str,
        head: Mapping[bytes, bytes],
        scope: Message,
        receive: Receive,
        send: Send,
        said: Mapping[str, str],
    ) -> None:
        """Serve one request to its end. `said`: fields of the request that stand in its path.

        Raises nothing but a cancellation from outside.
        """
        service = self._service
        pressure = service.pressure
        if pressure is not None and pressure.level and await self._shed(pressure, request_id, receive, send):
            return
        try:
            key = service.identities.who(head, scope, self._snapshot)
            if not isinstance(key, Key):
                key = await key
        except RequestError as error:
            await self._turn_away(error, request_id, receive, send)
            return
        try:
            inbound = await self._read(request_id, head, receive, said, key)
        except ClientGone:
            return
        except RequestError as error:
            service.metrics.refused(error.code)
            await self._refuse(request_id, error, receive, send)
            return
        except Exception as error:  # noqa: BLE001 - no body may end a connection without an answer
            service.log.fault("request_fault", error, request=request_id)
            await self._fail(request_id, _internal(), send)
            return
        departure = Departure(receive)
        service.open.add(departure)
        try:
            if HEADER in head and service.repeats is not None:
                await self._once(service.repeats, head, inbound, departure, send)
            else:
                await self._serve(inbound, departure, send)
        except asyncio.CancelledError:
            # It left while its last words were being written: then nobody is cancelled any more.
            if departure.why is None:
                raise
            departure.absorb()
        finally:
            departure.stop()
            service.open.discard(departure)

    async def _shed(self, pressure: Pressure, request_id: str, receive: Receive, send: Send) -> bool:
        """Refuse the request before it is read, if it is one of those."""
        try:
            pressure.check()
        except Overloaded as error:
            await self._turn_away(error, request_id, receive, send)
            return True
        return False

    async def _turn_away(self, error: EngineError, request_id: str, receive: Receive, send: Send) -> None:
        """Answer a request of which nothing was read but its head."""
        self._service.metrics.refused(error.code)
        headers = [*about(request_id, self._revision, None), JSON, *retry_after(error), *challenge(error)]
        body = orjson.dumps(self.dialect.write_error(error))
        await send_and_linger(send, receive, self.dialect.status(error), headers, body)

    async def _read(
        self,
        request_id: str,
        head: Mapping[bytes, bytes],
        receive: Receive,
        said: Mapping[str, str],
        key: Key,
    ) -> Inbound:
        if head.get(b"content-encoding", b"identity") != b"identity":
            raise RequestError("compressed bodies are not read", status=415, code="unsupported_encoding")
        raw = await read_body(receive, head.get(b"content-length"), self._service.body_limit)
        body = parse_body(raw)
        headers = ClientHeaders(head)
        return Inbound(
            request=self.dialect.read_request(self.operation, self._asked(body, said), headers),
            request_id=request_id,
            dialect=self.dialect.name,
            operation=self.operation,
            body=body,
            key=key,
            headers=headers,
            deadline_ms=_deadline(head.get(DEADLINE)),
        )

    def _asked(self, body: Any, said: Mapping[str, str]) -> Any:
        """The body with what its path says; the body that may pass through stays as it is."""
        if not isinstance(body, dict) or not (said or self._streams):
            return body
        return {**body, **said, **({"stream": True} if self._streams else {})}

    async def _once(
        self,
        repeats: Repeats,
        head: Mapping[bytes, bytes],
        inbound: Inbound,
        departure: Departure,
        send: Send,
    ) -> None:
        """Serve the first request under an idempotency key; give its answer to those that repeat it."""
        asked = [inbound.body, inbound.request.get("model"), bool(inbound.request.get("stream"))]
        try:
            scope = repeats.scope(head, f"{self.dialect.name} {self.operation}", inbound.key.id)
            while scope is not None and (entry := repeats.find(scope, asked)) is not None:
                if await entry.follow(departure, send):
                    return
        except RequestError as error:
            await self._fail(inbound.request_id, error, send)
            return
        except BrokenOff:
            if not inbound.request.get("stream"):
                return  # in the middle of a body of a known length: the connection is closed
            writer = self.dialect.stream_writer(self.operation, cast(Request, inbound.request))
            told = UpstreamError("cut", "the request whose answer this repeats was broken off")
            await departure.end(send, self.dialect.stream_error(writer, told))
            return
        if scope is None:
            await self._serve(inbound, departure, send)
            return
        entry, record = repeats.begin(scope, asked), None
        try:
            record = await self._serve(inbound, departure, entry.recording(send))
        finally:
            repeats.end(scope, entry, good=record is not None and record.failure is None)

    async def _serve(self, inbound: Inbound, departure: Departure, send: Send) -> DecisionRecord | None:
        """Decide, call, answer. The record of a request that got an answer."""
        if inbound.request.get("stream") and self._service.heartbeat_s:
            departure.heartbeat = self._heartbeat(inbound, departure, send)
        try:
            answer: Answer = await self._service.executor.execute(self._snapshot, inbound)
            if answer.flow is None:
                await self._whole(inbound, answer, send)
            else:
                await self._stream(inbound, answer, departure, send)
            return answer.record
        except asyncio.CancelledError:
            if departure.why is None:
                raise
            departure.absorb()
            if departure.why == "draining":
                await self._failed(inbound, departure, _draining(), send)
        except EngineError as error:
            await self._failed(inbound, departure, error, send)
        except Exception as error:  # noqa: BLE001 - a fault of ours is an answer too
            self._service.log.fault("request_fault", error, request=inbound.request_id)
            await self._failed(inbound, departure, _internal(), send)
        return None

    def _heartbeat(self, inbound: Inbound, departure: Departure, send: Send) -> Heartbeat | None:
        """Of a stream that is waited for; None where the client's format has no comments."""
        bound = self.dialect.operation(self.operation).stream_write
        if bound is None or not bound.comment:
            return None

        def head() -> Message:
            return self._head(inbound, None, bound.media_type, known_headers(inbound.quota))

        return Heartbeat(self._service.heartbeat_s, departure, send, head, bound.comment)

    async def _whole(self, inbound: Inbound, answer: Answer, send: Send) -> None:
        record = answer.record
        headers = about(inbound.request_id, self._revision, record)
        headers += (cost(record), JSON, *counted(answer.reply))
        if inbound.quota is not None:
            headers += await limit_headers(inbound.quota)
        body = answer.raw
        if body is None:
            assert answer.reply is not None
            if self.operation == "chat":
                cast(Reply, answer.reply).setdefault("id", inbound.request_id)
            body = orjson.dumps(self.dialect.write_response(self.operation, answer.reply, inbound.request))
        await send_whole(send, 200, self._closing(headers), body)

    async def _stream(self, inbound: Inbound, answer: Answer, departure: Departure, send: Send) -> None:
        """Headers, then every chunk as it comes; `send` waits while the client's socket is full."""
        flow = answer.flow
        assert flow is not None
        writer = self.dialect.stream_writer(self.operation, cast(Request, inbound.request))
        heartbeat = departure.heartbeat
        try:
            if heartbeat is None or not heartbeat.begun:
                departure.writes += 1
                if heartbeat is not None:
                    heartbeat.begun = True
                limits = [] if inbound.quota is None else await limit_headers(inbound.quota)
                await send(self._head(inbound, answer.record, writer.media_type, limits))
                departure.writes += 1
            try:
                last = await self._chunks(flow, writer, departure, send, inbound.request_id)
            except asyncio.CancelledError:
                if departure.why is None:
                    raise
                departure.absorb()
                if departure.why != "draining":
                    return
                last = self.dialect.stream_error(writer, _draining())
            except Exception as error:  # noqa: BLE001 - the status is sent; an event can still tell
                self._service.log.fault("stream_fault", error, request=inbound.request_id)
                told = error if isinstance(error, EngineError) else _internal()
                last = self.dialect.stream_error(writer, told)
            await departure.end(send, last)
        finally:
            await flow.close()

    def _head(
        self, inbound: Inbound, record: DecisionRecord | None, media_type: str, limits: Headers
    ) -> Message:
        """The message that begins a stream."""
        headers = about(inbound.request_id, self._revision, record)
        headers += ((b"content-type", media_type.encode()), *_UNBUFFERED, *limits)
        return {"type": "http.response.start", "status": 200, "headers": self._closing(headers)}

    async def _chunks(
        self, flow: Flow, writer: StreamWriter, departure: Departure, send: Send, own_id: str
    ) -> bytes:
        """Write the stream; returns what is left to write at its end. `own_id`: of answers without one."""
        raw: bytes | None = None
        heartbeat = departure.heartbeat
        before = departure.writes
        async for chunk in flow:
            raw = chunk.raw
            if raw is None:
                events = chunk.events
                if chunk.told is not None:
                    writer.events(chunk.told)
                if departure.writes == before and events and events[0]["type"] == "start":
                    events[0].setdefault("id", own_id)
                if events and events[-1]["type"] == "error":
                    data = writer.events(events[:-1])
                    return data + self.dialect.stream_error(writer, _told(events[-1]["error"]))
                data = writer.events(events)
            else:
                data = raw
            if data:
                if heartbeat is not None and heartbeat.beating:
                    await heartbeat.quiet()
                departure.writes += 1
                await send({"type": "http.response.body", "body": data, "more_body": True})
                departure.writes += 1
        return writer.end() if raw is None else b""

    async def _refuse(self, request_id: str, error: RequestError, receive: Receive, send: Send) -> None:
        """An answer to a request that was not read to its end, or that made no sense."""
        if not isinstance(error, BodyTooLarge) and error.status != 408:
            await self._fail(request_id, error, send)
            return
        headers = [*about(request_id, self._revision, None), JSON]
        body = orjson.dumps(self.dialect.write_error(error))
        await send_and_linger(send, receive, self.dialect.status(error), headers, body)

    async def _failed(self, inbound: Inbound, departure: Departure, error: EngineError, send: Send) -> None:
        """The request failed: the answer, or the last event of one that a heartbeat has begun."""
        if departure.heartbeat is None or not departure.heartbeat.begun:
            departure.hush()
            await self._fail(inbound.request_id, error, send, await limit_headers(inbound.quota))
            return
        writer = self.dialect.stream_writer(self.operation, cast(Request, inbound.request))
        await departure.end(send, self.dialect.stream_error(writer, error))

    async def _fail(
        self, request_id: str, error: EngineError, send: Send, limits: Sequence[tuple[bytes, bytes]] = ()
    ) -> None:
        headers = about(request_id, self._revision, getattr(error, "record", None))
        headers += (JSON, *retry_after(error), *limits)
        body = orjson.dumps(self.dialect.write_error(error))
        await send_whole(send, self.dialect.status(error), self._closing(headers), body)

    def _closing(self, headers: Headers) -> Headers:
        if self._service.draining:
            headers.append(CLOSE)
        return headers


def _deadline(value: bytes | None) -> int | None:
    if value is None:
        return None
    if not value.isdigit() or len(value) > 9 or int(value) == 0:
        name = DEADLINE.decode()
        raise RequestError(
            f"{name} must be a whole number of milliseconds from 1 to 999999999", code="invalid_header"
        )
    return int(value)


def _told(error: Error) -> UpstreamError:
    """An error event as the error that a client is told."""
    failure = error.get("failure", "cut")
    return UpstreamError(failure, error.get("message") or f"the provider failed: {failure}")


def _internal() -> EngineError:
    return EngineError("a fault in the engine; its log has the place")


def _draining() -> EngineError:
    return EngineError("the sidecar is shutting down", status=503, code="shutting_down", failure="full")
