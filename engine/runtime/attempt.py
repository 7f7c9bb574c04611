"""One attempt: call the deployment under its limits, and tell how that ended.

A stream has `first_token` until its commit point, `idle` between events after it, and `total` over all; an
answer in one piece has its `whole` limit alone, so where the first two are written (`Call.collect`), what the
client wants whole is streamed upstream too and collected here. The deadline of the request bounds each.
Whatever happens, the lease of the attempt is settled or released here, or handed on with the stream that will
do so.
"""

from __future__ import annotations

from functools import partial
from typing import cast

from engine.kinds.effects import CONSULTS, Attempt, Outcome
from engine.plan.types import Credential
from engine.runtime.clock import Clock
from engine.runtime.continuing import Continuing, Drive
from engine.runtime.guard import Guard, LimitReached
from engine.runtime.leases import Leases, whole_usage
from engine.runtime.live import Finish, LiveFlow
from engine.runtime.open_flow import OpenFlow
from engine.runtime.place import Counter, Place
from engine.runtime.record import AttemptRecord
from engine.runtime.run import Run
from engine.runtime.tally import reply_tokens
from engine.state.protocol import State
from engine.upstream.protocol import Ask, Whole
from engine.wire.canonical import Error, Request
from engine.wire.operations import TokenCount
from engine.wire.whole import Collector

#: Failures whose words are the engine's own: only these stand in a record, which holds no content.
_OWN_WORDS = frozenset({"connect", "timeout", "cut", "full", "cancelled"})


class Attempts:
    """Makes the attempts of an executor. `drive` walks for the rest of a stream that broke."""

    def __init__(self, state: State, clock: Clock, leases: Leases, drive: Drive) -> None:
        self._state = state
        self._clock = clock
        self._leases = leases
        self._drive = drive

    async def call(self, run: Run, effect: Attempt, finish: Finish) -> Outcome:
        """Make one attempt. `finish` is handed on to the stream, where it becomes one."""
        place = run.bound.places[effect.target.deployment]
        entry = self._entry(run, effect, place)
        collect = bool(effect.target.call.collect) and not run.stream and _collectable(run, place)
        own_count = run.inbound.operation == "count_tokens" and "count_tokens" not in place.operations
        streamed = run.stream or collect
        ask = self._ask(run, effect, place, streamed)
        entry.credential = None if ask.credential is None else ask.credential.name
        guard = Guard(self._clock)
        try:
            if run.purse is not None and not own_count:
                waiting = self._leases.funds.sent(effect.lease)
                if waiting is not None:
                    await waiting
            if run.stream:
                outcome = await self._flow(run, effect, place, entry, ask, guard, finish)
            elif own_count:
                outcome = await self._counted(run, effect, place, entry)
            elif collect:
                outcome = await self._collected(run, effect, place, entry, ask, guard)
            else:
                outcome = await self._whole(run, effect, place, entry, ask, guard)
        except BaseException:
            # Cancelled, or a fault of the engine: either way nobody gets an answer of this call.
            entry.failure = "cancelled"
            entry.ended_ms = self._since(run)
            await self._leases.abandon(run, effect.lease, entry, place, streamed=streamed)
            raise
        if outcome.ok:
            return outcome
        entry.failure = outcome.failure
        entry.status = outcome.status
        entry.message = outcome.message if outcome.failure in _OWN_WORDS else None
        entry.ended_ms = self._since(run)
        await self._leases.failed(run, effect.lease, entry, place, outcome, streamed=streamed)
        now = self._clock.now_ms()
        self._leases.ended(run, effect.lease, entry, place, outcome.failure, now, outcome.retry_after_ms)
        outcome.rotates = self._leases.gate.another(run, place, outcome.failure, now)
        return outcome

    # --- a whole answer -------------------------------------------------------------------------------

    async def _whole(
        self, run: Run, effect: Attempt, place: Place, entry: AttemptRecord, ask: Ask, guard: Guard
    ) -> Outcome:
        call = effect.target.call
        most = call.total_ms if place.local or call.whole_ms is None else call.whole_ms
        guard.limit(*self._limit(run, ("total", most)))
        try:
            with guard:
                whole = await place.upstream.whole(ask)
        except LimitReached as limit:
            return _failed(effect, _too_late(effect, limit))
        finally:
            guard.close()
        return await self._answered(run, effect, place, entry, whole)

    async def _counted(self, run: Run, effect: Attempt, place: Place, entry: AttemptRecord) -> Outcome:
        """The input's tokens, where the vendor does not count: by the model's tokenizer here, or a bound."""
        exact: int | None = None
        if isinstance(place.upstream, Counter):
            exact = await place.upstream.count(run.request, place.deployment)
        reply = (
            TokenCount(input_tokens=run.view.input_tokens, counted="bound")
            if exact is None
            else TokenCount(input_tokens=exact, counted="exact")
        )
        return await self._answered(run, effect, place, entry, Whole(reply))

    async def _answered(
        self, run: Run, effect: Attempt, place: Place, entry: AttemptRecord, whole: Whole
    ) -> Outcome:
        """An answer in one piece: what it cost, or why there is none."""
        entry.dropped = whole.dropped
        if whole.reply is None:
            return _failed(effect, whole.error or Error(failure="server", message="an empty answer"))
        reply = whole.reply
        reply["model"] = run.told_model(place)
        counting = run.inbound.operation == "count_tokens"
        if counting:
            cast(TokenCount, reply).setdefault("counted", "vendor")
        usage = whole_usage(run, place, reply.get("usage"), partial(reply_tokens, reply))
        reply["usage"] = usage
        await self._leases.settle(run, effect.lease, entry, place, usage)
        now = self._clock.now_ms()
        entry.ended_ms = now - run.started
        # Else its beginning was observed; and how quick a vendor counts says nothing of its models.
        if entry.first_token_ms is None and not counting:
            self._leases.begun(effect.lease, place, entry.ended_ms - entry.started_ms, now)
        self._leases.ended(run, effect.lease, entry, place, None, now)
        return Outcome(True, deployment=place.deployment.name, attempt=effect.attempt, reply=whole)

    # --- a stream -------------------------------------------------------------------------------------

    async def _flow(
        self,
        run: Run,
        effect: Attempt,
        place: Place,
        entry: AttemptRecord,
        ask: Ask,
        guard: Guard,
        finish: Finish,
    ) -> Outcome:
        complete = run.bound.route.stream.switch_until == "complete"
        opened = await self._open(run, effect, place, entry, ask, guard, complete)
        if isinstance(opened, Outcome):
            return opened
        entry.dropped = opened.flow.dropped
        reply: LiveFlow | OpenFlow = opened
        if run.role != "continue":  # else its flow is the one that broke
            continuing = Continuing(run, self._drive) if run.continues else None
            reply = LiveFlow(run, opened, self._leases, finish, run.told_model(place), continuing)
        return Outcome(True, deployment=place.deployment.name, attempt=effect.attempt, reply=reply)

    async def _collected(
        self, run: Run, effect: Attempt, place: Place, entry: AttemptRecord, ask: Ask, guard: Guard
    ) -> Outcome:
        """A stream read to its end and put together, for a client that wants the answer whole."""
        opened = await self._open(run, effect, place, entry, ask, guard, complete=True)
        if isinstance(opened, Outcome):
            return opened
        collector = Collector()
        try:
            for chunk in opened.ready:
                collector.add(chunk.events)
        finally:
            await opened.close()
        whole = Whole(collector.reply(int(run.clock.now)), dropped=opened.flow.dropped)
        return await self._answered(run, effect, place, entry, whole)

    async def _open(
        self,
        run: Run,
        effect: Attempt,
        place: Place,
        entry: AttemptRecord,
        ask: Ask,
        guard: Guard,
        complete: bool,
    ) -> OpenFlow | Outcome:
        """A stream up to its commit point (`complete`: to its end); an outcome where there is none."""
        total = ("total", effect.target.call.total_ms)
        guard.limit(*self._limit(run, total, ("first_token", effect.target.call.first_token_ms)))
        opened: OpenFlow | None = None
        try:
            with guard:
                flow = await place.upstream.flow(ask)
            if isinstance(flow, Whole):
                guard.close()
                return await self._answered(run, effect, place, entry, flow)
            answers = run.request.get("n", 1)
            opened = OpenFlow(flow, effect, entry, place, self._clock, guard, answers)
            opened.whole_at, opened.whole_why = self._limit(run, total)
            failed = await self._commit(run, effect, opened, complete)
        except LimitReached as limit:
            failed = _too_late(effect, limit)
        except BaseException:
            await self._give_up(run, effect, opened, guard)
            raise
        if failed is not None or opened is None:
            await self._give_up(run, effect, opened, guard)
            return _failed(effect, failed or Error(failure="server", message="no answer"))
        return opened

    async def _commit(self, run: Run, effect: Attempt, opened: OpenFlow, complete: bool) -> Error | None:
        """Read up to the commit point; what failed before it, or None."""
        tally, entry = opened.tally, opened.entry
        while True:
            chunk = await opened.receive()
            if tally.error is not None:
                return tally.error
            if chunk is None:
                if not tally.begun:
                    return Error(failure="cut", message="the stream ended before an answer began")
                return None
            opened.ready.append(chunk)
            if not tally.begun:
                continue
            if entry.first_token_ms is None:
                now = self._clock.now_ms()
                entry.first_token_ms = now - run.started
                latency = entry.first_token_ms - entry.started_ms
                self._leases.begun(effect.lease, opened.place, latency, now)
            if not complete:
                return None
            opened.idle_limit()

    async def _give_up(self, run: Run, effect: Attempt, opened: OpenFlow | None, guard: Guard) -> None:
        """Close a stream that was not committed. Content that had come is paid for, though nobody gets it."""
        guard.close()
        if opened is None:
            return
        await opened.close()
        if opened.tally.content:
            usage = self._leases.broken_usage(run, effect.lease, opened.place, opened.tally)
            await self._leases.settle(run, effect.lease, opened.entry, opened.place, usage)

    # --- what both need -------------------------------------------------------------------------------

    def _limit(self, run: Run, *limits: tuple[str, int | None]) -> tuple[float | None, str]:
        """The first of these limits and the deadline, as a moment on the clock, and its name."""
        now = self._clock.now_ms()
        at, why = run.deadline, "deadline"
        for name, ms in limits:
            if ms is not None and (at is None or now + ms < at):
                at, why = now + ms, name
        return at, why

    def _entry(self, run: Run, effect: Attempt, place: Place) -> AttemptRecord:
        deployment = place.deployment
        entry = AttemptRecord(
            number=effect.attempt,
            deployment=deployment.name,
            node=effect.target.id,
            provider=deployment.provider,
            model=deployment.model,
            started_ms=self._since(run),
            reserved=run.worst_cost(place) or 0,
            role=run.role,
            budgets=[] if run.purse is None else self._leases.funds.uses(effect.lease),
        )
        run.record.attempts.append(entry)
        return entry

    def _ask(self, run: Run, effect: Attempt, place: Place, stream: bool) -> Ask:
        call, inbound = effect.target.call, run.inbound
        return Ask(
            request=run.request,
            deployment=place.deployment,
            # Fields of the answer that is wanted say nothing of what is counted.
            params={} if inbound.operation == "count_tokens" else call.params or {},
            max_tokens=run.output_limit(place) if inbound.operation == "chat" else None,
            dialect=inbound.dialect,
            operation=inbound.operation,
            body=inbound.body,
            stream=stream,
            attempt=effect.attempt,
            request_id=inbound.request_id,
            connect_ms=call.connect_ms,
            # What may have to be gone on with must be known, and what is held back to its end can be read.
            skim=run.stream
            and inbound.dialect is not None
            and run.bound.route.reply_model == "served"
            and not run.continues
            and not run.taped
            and run.bound.route.stream.switch_until != "complete",
            headers=inbound.headers,
            credential=self._credential(run, place),
            # What the engine asks for itself has nothing of the client's to lose.
            lossless=run.bound.route.strict == "lossless" and run.role not in CONSULTS,
            begun=run.role == "continue",
        )

    def _credential(self, run: Run, place: Place) -> Credential | None:
        """The one to show; None: none is needed."""
        if not place.credentials:
            return None
        turn = self._state.next(f"credential:{place.deployment.name}") if len(place.credentials) > 1 else 0
        return self._leases.gate.credential(run, place, turn, self._clock.now_ms())

    def _since(self, run: Run) -> float:
        return self._clock.now_ms() - run.started


def _collectable(run: Run, place: Place) -> bool:
    """Whether a stream from there carries all that the whole answer would have."""
    return run.inbound.operation in run.face(place).streams and _flows(run.request)


def _flows(request: Request) -> bool:
    """Not spoken answers, whose stream has another format, nor vendors' own tools, whose calls have forms of
    their own.
    """
    return "audio" not in request.get("modalities", ()) and not any(
        "hosted" in tool for tool in request.get("tools", ())
    )


def _failed(effect: Attempt, error: Error) -> Outcome:
    return Outcome(
        ok=False,
        failure=error.get("failure", "server"),
        message=error.get("message", ""),
        status=error.get("status"),
        code=error.get("code"),
        retry_after_ms=error.get("retry_after_ms"),
        should_retry=error.get("should_retry"),
        unsent=error.get("unsent", False),
        deployment=effect.target.deployment,
        attempt=effect.attempt,
    )


def _too_late(effect: Attempt, limit: LimitReached) -> Error:
    within = "the time for this request" if limit.why == "deadline" else f"its {limit.why} limit"
    words = f"{effect.target.deployment} did not answer within {within}"
    return Error(failure="timeout", message=words)
