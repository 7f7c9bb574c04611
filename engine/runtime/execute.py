"""The hot path: a request through a snapshot, from the match to the record.

`Executor.execute` reads as an onion: each method opens one thing, hands on, and closes it. In reading order:
pin the snapshot, match a route, admit the request, count it in its limits, walk the route's graph and answer
its effects, turn the outcome into an answer, and let go: record, sinks, unpin. A live stream takes the last
part with it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from inspect import isawaitable
from random import Random
from typing import Any, Final, cast

from engine.errors import EngineError
from engine.keys.looks import safe
from engine.kinds.effects import (
    Aside,
    Attempt,
    Cached,
    Consult,
    Detour,
    Draw,
    Effect,
    Gather,
    Keep,
    Lookup,
    Measure,
    Next,
    Note,
    Outcome,
    Race,
    Recall,
    Reserve,
    Retain,
    Steps,
    Variant,
    Wait,
)
from engine.kinds.walk import walk
from engine.plan.types import Concurrent
from engine.runtime import admit, ending
from engine.runtime.answers import Answers
from engine.runtime.asides import Asides
from engine.runtime.attempt import Attempts
from engine.runtime.branches import Branches
from engine.runtime.clock import Clock
from engine.runtime.funds import Alerts, Funds, no_alerts
from engine.runtime.gate import Gate
from engine.runtime.leases import Leases
from engine.runtime.live import Finish, LiveFlow
from engine.runtime.measures import Measures
from engine.runtime.probing import Probes
from engine.runtime.queue import Queues
from engine.runtime.quotas import Quotas
from engine.runtime.record import DecisionRecord, Step, moment
from engine.runtime.run import Inbound, Run
from engine.runtime.snapshot import Snapshot
from engine.state.health import Health
from engine.state.ledger import Ledger
from engine.state.memory_ledger import MemoryLedger
from engine.state.protocol import State
from engine.upstream.protocol import Flow, Whole
from engine.wire.canonical import Reply
from engine.wire.operations import AnyReply

log = logging.getLogger("engine.runtime")

__all__ = ["Answer", "Executor", "Inbound"]

_AT_ONCE: Final = frozenset({Note, Variant, Cached, Draw, Next, Measure, Aside, Detour})


@dataclass(slots=True)
class Answer:
    """What a request gets: a whole reply, or a live stream that must be read to its end or closed.

    raw: the answer's bytes in the client's dialect where they may pass through as they are.
    deployment, model: who served it; None where the graph answered by itself.
    """

    record: DecisionRecord
    reply: AnyReply | None = None
    raw: bytes | None = None
    flow: Flow | None = None
    deployment: str | None = None
    model: str | None = None


class Executor:
    """Runs requests. One per process; snapshots come with each request.

    Args:
        state: what outlives a request.
        clock: where time comes from.
        rng: where chance comes from.
        sinks: told every record once its request has ended.
        health: what is known of deployments; default: nothing.
        ledger: what budgets and limits are counted in; default: this process's memory.
        alerts: told when a budget reaches a step of its own; default: nobody.
    """

    def __init__(
        self,
        state: State,
        clock: Clock,
        rng: Random,
        sinks: Sequence[Callable[[DecisionRecord], None]] = (),
        health: Health | None = None,
        ledger: Ledger | None = None,
        alerts: Alerts = no_alerts,
    ) -> None:
        self.state = state
        self.ledger: Ledger = MemoryLedger() if ledger is None else ledger
        self.clock = clock
        self.sinks = list(sinks)
        self._random = rng.random
        self.queues = Queues(clock)
        self.quotas = Quotas(self.ledger, clock)
        self.health = Health(Random(0).random) if health is None else health
        self.funds = Funds(self.ledger, clock, alerts)
        self._leases = Leases(state, clock, self.queues, Gate(self.health), self.funds)
        self._attempts = Attempts(state, clock, self._leases, self._go_on)
        self._answers = Answers(state, clock)
        self._measures = Measures(state, clock)
        self._branches = Branches(clock, self._drive)
        self.asides = Asides(clock, self._drive, self._finish)
        self.probes = Probes(self._begin, self.funds.begin, self._drive, self._finish)

    def count_in(self, ledger: Ledger) -> None:
        """From here on budgets and limits are counted there; nothing may be held in the one before."""
        self.ledger = self.funds.ledger = self.quotas.ledger = ledger

    async def execute(self, snapshot: Snapshot, inbound: Inbound) -> Answer:
        """Serve one request.

        Raises:
            EngineError: nobody answered; `record` is the request's record, which the sinks have.
        """
        snapshot.pin()
        run = self._begin(snapshot, inbound)
        try:
            answer = await self._serve(run)
        except EngineError as error:
            error.record = run.record
            run.record.refused_by = error.refused_by
            await self._finish(run, error.failure, error.status)
            raise
        except BaseException as error:
            cancelled = isinstance(error, asyncio.CancelledError)
            await self._finish(run, "cancelled" if cancelled else "server", 499 if cancelled else 500)
            raise
        if answer.flow is None:
            await self._finish(run, None, 200)
        return answer

    def _begin(self, snapshot: Snapshot, inbound: Inbound) -> Run:
        wall = self.clock.wall()
        key, request = inbound.key, inbound.request
        record = DecisionRecord(
            id=inbound.request_id,
            at=moment(wall),
            revision=snapshot.revision,
            model=safe(request.get("model", "")) or None,
            operation=inbound.operation,
            dialect=inbound.dialect,
            stream=bool(request.get("stream", False)),
            key=key.id or None,
            key_name=key.name or None,
            org=key.org or None,
            tags=key.tags,
        )
        return Run(snapshot, inbound, record, self.clock.now_ms(), wall)

    async def _serve(self, run: Run) -> Answer:
        self._match(run)
        await self._admit(run)
        if run.terms.limits:
            await self.quotas.enter(run)
        if run.bound.route.concurrent is not None:
            await self._enter(run, run.bound.route.concurrent)
        if run.terms.budgets or run.terms.per_request.cost is not None or run.bound.counts:
            await self.funds.begin(run)

        async def finish(failure: str | None) -> None:
            await self._finish(run, failure, 200 if failure != "cancelled" else 499)

        outcome = await self._drive(run, walk(run.bound.route.start, run), finish)
        return self._answer(run, outcome)

    def _match(self, run: Run) -> None:
        """Find the route and bind it to the run."""
        snapshot, inbound = run.snapshot, run.inbound
        person = snapshot.person(inbound.key)
        if person.refused is not None:
            person.check()
        name = snapshot.matcher.find(
            run.view.model,
            inbound.operation,
            lambda _, when: bool(snapshot.match_test(when)(run.view, inbound.key, run.clock, run.labels)),
            person,
        )
        run.record.route = name
        bound = snapshot.route(name)
        run.take(bound, None if person.plain else snapshot.terms_of(bound, person))

    async def _enter(self, run: Run, bounds: Concurrent) -> None:
        """Take one of the route's places, which the request has to its end, or raise what the wait says."""
        name, began = run.bound.route.name, self.clock.now_ms()
        if not self.queues.routes.take(name, bounds):
            refused = await self.queues.routes.wait(name, run.turn, run.deadline)
            if refused is None or not refused.at_once:
                waited = self.clock.now_ms() - began
                run.record.path.append(Step(name, "queued", f"{waited:.0f} ms for a place"))
            if refused is not None:
                raise ending.not_entered(refused)
        run.entered = name

    async def _admit(self, run: Run) -> None:
        """Count the input, then let the request in or raise NotAdmitted."""
        counters = run.bound.counters
        if counters:
            counts = [await counter.count(run.request, deployment) for counter, deployment in counters]
            exact = [count for count in counts if count is not None]
            if len(exact) == len(counts):
                run.counted(max(exact))
        limits = run.terms.admit
        record = run.record
        record.input_tokens, record.input_exact = run.view.input_tokens, run.exact
        admit.check_admitted(limits, run.request, run.view)
        run.max_tokens = admit.output_tokens(limits, run.request) if run.inbound.operation == "chat" else None
        run.view.max_output_tokens = run.max_tokens or 0

    async def _drive(self, run: Run, steps: Steps, finish: Finish) -> Outcome:
        """Drive a walk: answer each of its effects until an outcome comes out.

        `finish` ends the request; it is handed on to the stream that becomes its answer. A stream that is not
        handed on is closed here.
        """
        live: LiveFlow | None = None
        effect: Effect | None = None
        try:
            effect = next(steps)
            while True:
                kind = type(effect)
                if kind is Attempt:
                    answer: Any = await self._attempts.call(run, cast(Attempt, effect), finish)
                    if run.stream and type(answer.reply) is LiveFlow:
                        live = answer.reply
                elif kind is Reserve:
                    answer = await self._leases.reserve(run, cast(Reserve, effect))
                    if answer.lease is None:
                        run.give_back(cast(Reserve, effect).attempt)
                        if run.purse is not None and not answer.for_money:
                            run.purse.busy = True
                elif kind in _AT_ONCE:
                    answer = self._answer_now(run, effect)
                else:
                    answer = await self._answer_later(run, effect, finish)
                    if kind is Race and type(answer.reply) is LiveFlow:
                        live = answer.reply
                effect = steps.send(answer)
        except StopIteration as stop:
            outcome: Outcome = stop.value
            if live is not None and outcome.reply is not live:
                await live.discard()
            return outcome
        except BaseException:
            if type(effect) is Reserve:
                run.give_back(effect.attempt)
            if live is not None:
                await live.discard()
            raise
        finally:
            steps.close()

    async def _go_on(self, run: Run, steps: Steps) -> Outcome:
        """Walk for the rest of a stream that broke: the request ends with that stream, not with this."""
        return await self._drive(run, steps, _not_yet)

    def _answer_later(self, run: Run, effect: Effect, finish: Finish) -> Awaitable[Any]:
        """The effects that wait for something."""
        kind = type(effect)
        if kind is Wait:
            return self._wait(run, cast(Wait, effect))
        if kind is Race:
            return self._branches.race(run, cast(Race, effect).branches, finish)
        if kind is Gather:
            return self._branches.gather(run, cast(Gather, effect).branches, finish)
        if kind is Consult:
            return self._consult(run, cast(Consult, effect), finish)
        if kind is Lookup:
            looked = cast(Lookup, effect)
            return self._answers.lookup(run, looked.key, looked.young_ms)
        if kind is Retain:
            kept = cast(Retain, effect)
            return self._answers.retain(run, kept.key, kept.ttl_ms, kept.outcome)
        if kind is Recall or kind is Keep:
            return self._remember(effect)
        raise TypeError(f"no node may ask for {effect!r}")

    async def _consult(self, run: Run, effect: Consult, finish: Finish) -> Outcome:
        own = run.consulting(effect.request, effect.operation, effect.role)
        return await self._drive(own, walk(effect.node, own), finish)

    async def _remember(self, effect: Effect) -> Any:
        now = int(self.clock.now_ms())
        if type(effect) is Recall:
            found = self.state.recall(effect.space, effect.key, now)
        else:
            kept = cast(Keep, effect)
            found = self.state.keep(kept.space, kept.key, kept.value, kept.ttl_ms, now)
        return await found if isawaitable(found) else found

    async def _wait(self, run: Run, effect: Wait) -> bool:
        now = self.clock.now_ms()
        if run.deadline is not None and now + effect.ms >= run.deadline:
            return False
        total = effect.target.call.total_ms
        if total is not None and effect.ms >= total:
            return False
        await self.clock.sleep(effect.ms)
        return True

    def _answer_now(self, run: Run, effect: Effect) -> object:
        """The effects that never wait."""
        if type(effect) is Note:
            run.record.path.append(Step(effect.node, effect.what, effect.why))
            return None
        if type(effect) is Draw:
            return self._random()
        if type(effect) is Next:
            return self.state.next(effect.key)
        if type(effect) is Measure:
            return self._measures.of(effect, run, self.ledger)
        if type(effect) is Variant:
            record = run.record
            record.path.append(Step(effect.node, "variant", effect.why))
            # A split below a split: both arms together say where the request went.
            record.variant = effect.name if record.variant is None else f"{record.variant}/{effect.name}"
            return None
        if type(effect) is Cached:
            run.record.path.append(Step(effect.node, effect.what, effect.why))
            run.record.cache = effect.what
            return None
        if type(effect) is Detour:
            return self.funds.detour(run, effect)
        if type(effect) is Aside:
            self.asides.begin(run, effect)
            return None
        raise AssertionError(f"{effect!r} is not answered at once")

    def _answer(self, run: Run, outcome: Outcome) -> Answer:
        """The outcome as an answer; raises what it says where it failed."""
        if not outcome.ok:
            refused = None if outcome.tried or outcome.failure != "full" else self.funds.refusal(run)
            raise refused or ending.error_of(outcome)
        record, result = run.record, outcome.reply
        record.served_by = outcome.deployment
        if isinstance(result, str):
            reply = ending.own_reply(result, run)
            record.finish = ending.finish_of(reply)
            if not run.stream:
                return Answer(record, reply=reply)
            return Answer(record, flow=self._reply_flow(run, cast(Reply, reply)))
        assert outcome.deployment is not None
        model = run.told_model(run.bound.places[outcome.deployment])
        answer = Answer(record, deployment=outcome.deployment, model=model)
        if isinstance(result, LiveFlow):
            record.committed_ms = self.clock.now_ms() - run.started
            record.dropped = result.dropped
            answer.flow = result
            return answer
        assert isinstance(result, Whole)
        assert result.reply is not None
        record.dropped = result.dropped
        record.finish = ending.finish_of(result.reply)
        if run.stream:  # the upstream could not stream: its whole answer becomes one
            answer.flow = self._reply_flow(run, cast(Reply, result.reply))
        else:
            # The vendor's own bytes name the model that served.
            hidden = run.bound.route.reply_model == "requested"
            answer.reply, answer.raw = result.reply, None if hidden else result.raw
        return answer

    def _reply_flow(self, run: Run, reply: Reply) -> Flow:
        return ending.ReplyFlow(reply, run.record.served(), lambda: self._finish(run, None, 200))

    async def _finish(self, run: Run, failure: str | None, status: int) -> None:
        """The request is over: complete its record, tell the sinks, let the snapshot go."""
        for lease in tuple(run.leases):
            await self._leases.release(run, lease, None)
        if run.entered is not None:
            self.queues.routes.leave(run.entered)
            run.entered = None
        if run.quota is not None:
            await self.quotas.leave(run, failure)
        record = run.record
        record.failure, record.status = failure, status
        record.duration_ms = self.clock.now_ms() - run.started
        for attempt in record.attempts:
            if attempt.ended_ms is None:
                attempt.ended_ms = record.duration_ms
        try:
            for sink in self.sinks:
                sink(record)
        except Exception:
            log.exception("a decision record was not kept by %r", self.sinks)
        finally:
            run.snapshot.unpin()


async def _not_yet(_failure: str | None) -> None:
    """The end of a request that is told elsewhere."""
