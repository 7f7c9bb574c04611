"""An upstream over HTTP: attempts at the deployments of one provider, in its dialect.

What a call needs and a request cannot change (URL, headers, the credential's place, renames) is worked out
once per deployment (`outbound.py`), so a call costs its body, the sending and the reading of the answer.
Where the client speaks the provider's own dialect, its body goes out as it came but for what the plan
changes, and the answer's bytes are handed back beside their canonical reading (`raw`).

Every failure leaves as an `Error` with its class; only cancellation raises, and closes the socket on its way.
Timeouts, but for connecting, are the executor's.
"""

from __future__ import annotations

import logging
from collections.abc import Container
from dataclasses import replace
from functools import partial
from typing import Any, Final

import orjson

from engine.errors import RequestError
from engine.plan.types import Deployment
from engine.plan.vendors import Provider
from engine.policies.failures import FailureClass
from engine.upstream import batches
from engine.upstream.flow import HttpFlow, transport_failure
from engine.upstream.headroom import HeadroomSeen
from engine.upstream.inline import inlined
from engine.upstream.media import MediaFetcher, NotFetchedError
from engine.upstream.outbound import Headers, Outbound
from engine.upstream.polling import Answered, Job, JobFailed, Jobs
from engine.upstream.protocol import Ask, HttpCall, HttpReply, Transport, TransportError, Whole
from engine.upstream.schemes.cache import TokenCache
from engine.upstream.schemes.failed import AuthFailed
from engine.upstream.secrets import SecretMissing, Secrets
from engine.wire.canonical import Error
from engine.wire.dialect import BoundDialect
from engine.wire.failures import below_http
from engine.wire.operations import check_answers
from engine.wire.poll import Place

log = logging.getLogger("engine.upstream")

#: Most bytes of an answer, and of an error, that are read.
ANSWER_CAP: Final = 64 << 20
ERROR_CAP: Final = 64 << 10


class HttpUpstream:
    """An `Upstream`. The transport is shared with others and closed by whoever made it."""

    def __init__(
        self,
        provider: Provider,
        dialect: BoundDialect,
        transport: Transport,
        secrets: Secrets,
        media: MediaFetcher | None = None,
    ) -> None:
        self._provider = provider
        self._dialect = dialect
        self._transport = transport
        self._secrets = secrets
        self._classifier = dialect.classifier(provider.errors, provider.retry_after)
        self._tokens = TokenCache(transport)
        #: What the vendor said is left of its quotas.
        self.headroom = HeadroomSeen(provider.headroom)
        self._outbound: dict[tuple[str, str, str | None], Outbound] = {}
        self._jobs = Jobs()
        self._media = media

    def forget(self, but: Container[str]) -> None:
        """A plan with these deployments runs: forget others. A call to one of them that is open goes on."""
        self.headroom.forget(but)
        self._outbound = {key: found for key, found in self._outbound.items() if key[0] in but}

    async def whole(self, ask: Ask) -> Whole:
        """One answer in one piece. Failures come as `Whole.error`; only cancellation raises."""
        outbound = self._bound(ask)
        pieces = batches.cut(ask, outbound.batch)
        if len(pieces) == 1:
            return await self._one(outbound, ask)
        return await batches.together(pieces, partial(self._one, outbound))

    async def _one(self, outbound: Outbound, ask: Ask) -> Whole:
        """One call that is answered in one piece."""
        try:
            if outbound.inlines:
                ask = await self._inlined(outbound, ask)
            if outbound.waits:
                await self._prepared(outbound)
            call, dropped, through = self._call(outbound, ask, stream=False)
        except _NotSent as failed:
            return Whole(None, failed.error)
        try:
            reply = await self._transport.send(call)
            self.headroom.read(ask.deployment.name, reply.headers)
            try:
                if not 200 <= reply.status < 300:
                    return Whole(None, await self._refused(outbound, reply), dropped=dropped)
                answered = Answered.of(reply, await reply.read(ANSWER_CAP))
            finally:
                await reply.close()
            if outbound.operation.poll is not None:
                answered = await self._ended(self._job(outbound, ask, answered))
        except TransportError as error:
            return Whole(None, transport_failure(ask.deployment.name, error), dropped=dropped)
        except JobFailed as failed:
            return Whole(None, failed.error, dropped=dropped)
        answer = self._answer(outbound, ask, answered)
        answer.dropped = dropped
        if not through:
            answer.raw = None
        return answer

    async def flow(self, ask: Ask) -> HttpFlow | Whole:
        """Begin a stream. A failure before the first content comes as `Whole` with `error`."""
        outbound = self._bound(ask)
        try:
            if outbound.inlines:
                ask = await self._inlined(outbound, ask)
            if outbound.waits:
                await self._prepared(outbound)
            call, dropped, through = self._call(outbound, ask, stream=True)
        except _NotSent as failed:
            return Whole(None, failed.error)
        try:
            reply = await self._transport.send(call)
        except TransportError as error:
            return Whole(None, transport_failure(ask.deployment.name, error), dropped=dropped)
        self.headroom.read(ask.deployment.name, reply.headers)
        opened = False
        job: Job | None = None
        try:
            if not 200 <= reply.status < 300:
                return Whole(None, await self._refused(outbound, reply), dropped=dropped)
            if outbound.operation.poll is not None and "json" in _kind(reply):
                job = self._job(outbound, ask, Answered.of(reply, await reply.read(ANSWER_CAP)))
                followed = await job.stream(outbound.stream_type)
                if followed is None:  # the executor makes a stream of a whole answer
                    answer = self._answer(outbound, ask, await self._ended(job))
                    answer.raw = None
                    answer.dropped = dropped
                    return answer
                await reply.close()
                reply = followed
                if not 200 <= reply.status < 300:
                    return Whole(None, await self._refused(outbound, reply), dropped=dropped)
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
            ending = outbound.ending if through else b""
            leave = None if job is None else partial(self._jobs.leave, job)
            flow = HttpFlow(ask.deployment.name, reply, reader, through, dropped, ending, usage, leave)
            first = await flow.begin()
            if first is not None:
                return Whole(None, first, dropped=dropped)
            opened = True
            return flow
        except TransportError as broken:
            return Whole(None, transport_failure(ask.deployment.name, broken), dropped=dropped)
        except JobFailed as failed:
            return Whole(None, failed.error, dropped=dropped)
        finally:
            if not opened:
                await reply.close()
                if job is not None:
                    self._jobs.leave(job)

    async def close(self) -> None:
        """End what it does beside calls: calling jobs off, fetching tokens."""
        await self._jobs.close()
        if self._media is not None:
            await self._media.close()
        await self._tokens.close()

    def preview(self, ask: Ask, *, stream: bool = False) -> dict[str, Any]:
        """What a call would send, for people: no secret is read, and its place shows `***`.

        A request that is cut into several `calls` is shown by its first.
        """
        outbound = self._bound(ask)
        pieces = batches.cut(ask, outbound.batch)
        body, dropped, through = outbound.body(pieces[0], stream)
        calls = {"calls": len(pieces)} if len(pieces) > 1 else {}
        return {
            **calls,
            "method": "POST",
            "dialect": self._dialect.name,
            "url": outbound.shown_url(stream, ask),
            "headers": outbound.shown_headers(stream, ask.headers if through else None),
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
                self._provider,
                deployment,
                self._dialect,
                ask.operation,
                self._secrets,
                ask.credential,
                self._tokens,
            )
            self._outbound[key] = found
        return found

    async def _inlined(self, outbound: Outbound, ask: Ask) -> Ask:
        """The request with its media in it, where the format takes no URLs."""
        plan = outbound.operation.plan.inline
        if plan is None or (ask.body is not None and ask.dialect == self._dialect.name):
            return ask
        try:
            request = await inlined(ask.request, plan, self._media)
        except NotFetchedError as error:
            raise _NotSent("unsupported", f"{outbound.deployment.name}: {error}") from None
        return ask if request is ask.request else replace(ask, request=request)

    async def _prepared(self, outbound: Outbound) -> None:
        """Have the token or the keys that the call needs."""
        try:
            if not outbound.ready():
                await outbound.prepare()
        except SecretMissing as error:
            raise _unread(outbound, error) from None
        except AuthFailed as error:
            raise _NotSent(error.failure, f"{outbound.deployment.name}: {error}") from None

    def _call(self, outbound: Outbound, ask: Ask, stream: bool) -> tuple[HttpCall, tuple[str, ...], bool]:
        try:
            body, dropped, through = outbound.body(ask, stream)
            url, headers = outbound.address(stream, ask)
            if through:
                headers = outbound.forwarded(headers, ask.headers)
            data = orjson.dumps(body)
            if outbound.signs:
                headers = outbound.sign("POST", url, headers, data)
        except SecretMissing as error:
            raise _unread(outbound, error) from None
        except RequestError as error:
            raise _NotSent("unsupported", error.message) from None
        except (TypeError, ValueError) as error:  # orjson: a number beyond 64 bits, a lone surrogate
            raise _NotSent("bad_request", f"the request cannot be written as JSON: {error}") from None
        return HttpCall("POST", url, headers, data, ask.connect_ms), dropped, through

    async def _refused(self, outbound: Outbound, reply: HttpReply) -> Error:
        """The error of an answer that is none by its status."""
        try:
            body = await reply.read(ERROR_CAP)
        except TransportError:
            body = b""  # the status says enough
        error = self._classifier.answer(reply.status, reply.headers, body)
        if error["failure"] == "auth" and outbound.waits:
            outbound.refused()
        if 300 <= reply.status < 400:
            error["message"] = (
                f"the upstream answered with a redirect ({reply.status}), which is never followed"
            )
        return error

    def _job(self, outbound: Outbound, ask: Ask, answered: Answered) -> Job:
        """The job that a call may have become."""
        poll = outbound.operation.poll
        assert poll is not None

        async def dressed(place: Place, accept: str) -> tuple[str, Headers]:
            try:
                if outbound.waits and place.own:
                    await self._prepared(outbound)
                return outbound.dressed(place, accept)
            except _NotSent as failed:
                raise JobFailed(failed.error) from None
            except SecretMissing as error:
                raise JobFailed(_unread(outbound, error).error) from None

        return Job(
            poll, answered, self._transport, self._classifier, outbound.target, dressed, ask.connect_ms
        )

    async def _ended(self, job: Job) -> Answered:
        """The job's own end; whatever ends the waiting before it calls the job off."""
        try:
            return await job.whole()
        except BaseException:
            self._jobs.leave(job)
            raise

    def _answer(self, outbound: Outbound, ask: Ask, answered: Answered) -> Whole:
        """A 2xx body, read: the reply and its bytes, where they may pass, or the error that it really is."""
        status, headers, body = answered.status, answered.headers, answered.body
        if answered.broken:
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
        raw = answered.data if self._dialect.may_pass(ask.operation, body, ask.request) else None
        return Whole(found, raw=raw)

    async def _no_stream(self, outbound: Outbound, ask: Ask, reply: HttpReply) -> Error | None:
        """Why a 2xx answer to a streamed call is no stream; None where it is one."""
        kind = _kind(reply)
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
        answered = Answered.of(reply, await reply.read(ANSWER_CAP))
        answer = self._answer(outbound, ask, answered)
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
        self.error["unsent"] = True


def _unread(outbound: Outbound, error: SecretMissing) -> _NotSent:
    """A secret that is not where it should be: clients are not told of it, so whoever runs this is."""
    log.warning("%s: nothing was sent: %s", outbound.deployment.name, error)
    return _NotSent("auth", str(error))


def _kind(reply: HttpReply) -> str:
    """The content type of an answer, bare."""
    return reply.headers.get("content-type", "").partition(";")[0].strip().lower()
