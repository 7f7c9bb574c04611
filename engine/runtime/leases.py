"""Reserve, then settle or release: brackets every attempt, and makes sure it is closed exactly once.

A state store may answer at once or with something to await; only the latter costs a suspension.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, cast

from engine.kinds.effects import Admission, Outcome, Reserve
from engine.runtime import tokens
from engine.runtime.billing import lost_usage, may_be_billed, may_have_thought
from engine.runtime.clock import Clock
from engine.runtime.funds import Funds
from engine.runtime.gate import Gate, Pass
from engine.runtime.hosted import used_cost
from engine.runtime.place import Place
from engine.runtime.queue import Queues
from engine.runtime.record import AttemptRecord, Step
from engine.runtime.run import Run
from engine.runtime.tally import Tally
from engine.runtime.tokenizers import Count, tokenizer
from engine.state.protocol import Granted, Hold, Spent, State
from engine.wire.canonical import Usage
from engine.wire.pricing import cost_of

#: No upstream answers sooner: a call for which less is left of the request's time is not made.
LEAST_MS: Final = 2.0

#: Failures that say something about the deployment's health; the others are the request's own fault.
UNHEALTHY = frozenset(
    {
        "rate_limited",
        "quota_exhausted",
        "overloaded",
        "timeout",
        "connect",
        "server",
        "auth",
        "permission",
        "not_found",
        "cut",
    }
)


class Leases:
    """The executor's side of the state store."""

    def __init__(self, state: State, clock: Clock, queues: Queues, gate: Gate, funds: Funds) -> None:
        self._state = state
        self.gate = gate
        self.funds = funds
        self._clock = clock
        self._places = queues.deployments
        self._placed: dict[int, str] = {}  # lease -> the deployment that it has a place of

    async def reserve(self, run: Run, effect: Reserve) -> Admission:
        """Ask for a lease for the attempt's worst case."""
        now = self._clock.now_ms()
        if run.deadline is not None and now + LEAST_MS >= run.deadline:
            return Admission(None, "timeout", why="the time for this request is over")
        place = run.bound.places[effect.target.deployment]
        given = self.gate.enter(run, effect, place, now)
        bounds = place.deployment.concurrent
        if given is None and bounds is None:
            return await self._granted(run, effect, place, now)
        if isinstance(given, Admission):
            return given
        if bounds is not None and not self._places.take(place.deployment.name, bounds):
            if given is not None:
                self.gate.give_back(given, now)  # nobody in a queue keeps others from a trial
            refused = await self._wait(run, effect, place, now)
            if refused is not None:
                return refused
            now = self._clock.now_ms()
            given = self._again(run, effect, place, now)
            if isinstance(given, Admission):
                return given
        return await self._leased(run, effect, place, given, now)

    async def _wait(self, run: Run, effect: Reserve, place: Place, began: float) -> Admission | None:
        """Wait for a place of the deployment; why there is none, or None once it is taken."""
        name = place.deployment.name
        refused = await self._places.wait(name, run.turn, run.deadline)
        if refused is None or not refused.at_once:
            words = f"{self._clock.now_ms() - began:.0f} ms for a place at {name}"
            run.record.path.append(Step(effect.target.id, "queued", words))
        if refused is None:
            return None
        return Admission(None, refused.reason, refused.retry_after_ms, refused.why)

    def _again(self, run: Run, effect: Reserve, place: Place, now: float) -> Admission | Pass | None:
        """Its health may be another after a wait: whoever waited for one that was paused goes elsewhere."""
        given = self.gate.enter(run, effect, place, now)
        if isinstance(given, Admission):
            self._places.leave(place.deployment.name)
        return given

    async def _leased(
        self, run: Run, effect: Reserve, place: Place, given: Pass | None, now: float
    ) -> Admission:
        """A lease for an attempt that has what it needs; without one, all of that is given back."""
        bounded = place.deployment.concurrent is not None
        admission: Admission | None = None
        try:
            admission = await self._granted(run, effect, place, now)
        finally:
            if admission is None or admission.lease is None:
                if bounded:
                    self._places.leave(place.deployment.name)
                if given is not None:
                    self.gate.give_back(given, self._clock.now_ms())
            else:
                if bounded:
                    self._placed[admission.lease] = place.deployment.name
                if given is not None:
                    self.gate.granted(given, admission.lease)
        return admission

    async def _granted(self, run: Run, effect: Reserve, place: Place, now: float) -> Admission:
        """A lease of the state store."""
        output = run.output_limit(place) or 0
        granted = self._state.reserve(
            Hold(
                request_id=run.inbound.request_id,
                attempt=effect.attempt,
                deployment=effect.target.deployment,
                cost=run.worst_cost(place) or 0,
                tokens=run.view.input_tokens + output,
            ),
            int(now),
        )
        if not isinstance(granted, Granted):
            granted = await granted
        if granted.lease is None:
            return Admission(None, granted.reason, granted.retry_after_ms)
        run.leases.add(granted.lease)
        if run.purse is not None:
            refused = await self.funds.hold(run, place, granted.lease)
            if refused is not None:
                await self.release(run, granted.lease, None)
                return refused
        return Admission(granted.lease)

    async def settle(self, run: Run, lease: int, entry: AttemptRecord, place: Place, usage: Usage) -> None:
        """Close a lease with what was used; entry gets the usage and its cost by part."""
        if lease not in run.leases:
            return
        run.leases.discard(lease)
        entry.usage = dict(usage)
        entry.estimated = usage.get("estimated", False)
        took = self._took(run, entry, place) if place.longest_ms != 0 else 0
        entry.cost = cost_of(usage, run.prices(place), run.clock.now + entry.started_ms / 1000, took)
        if place.deployment.facts.tools and run.inbound.operation == "chat":
            entry.cost.tools = used_cost(run, place, usage)
        entry.closed = "settled"
        spent = Spent(usage, entry.cost.total, entry.estimated)
        waiting = self._state.settle(lease, spent, int(self._clock.now_ms()))
        counting = self.funds.settle(lease, entry.cost.total, usage) if run.purse is not None else None
        if self._placed:
            self._leave(lease)
        if waiting is not None:
            await waiting
        if counting is not None:
            await counting

    def _took(self, run: Run, entry: AttemptRecord, place: Place) -> float:
        """How long the call took, where that costs something: no longer than was reserved for."""
        took = self._clock.now_ms() - run.started - entry.started_ms
        return took if place.longest_ms is None else min(took, place.longest_ms)

    async def abandon(
        self, run: Run, lease: int, entry: AttemptRecord, place: Place, *, streamed: bool
    ) -> None:
        """Close the lease of a call that was cancelled under way.

        Where another branch answered first (a hedge's loser), the vendor had the request and will bill it: it
        is settled with an estimate. Its time counts as its latency too: it would have taken longer still, and
        percentiles of those alone that were quick enough would sink with every race. Where the client left or
        the engine failed, the lease is released, unless something counts what the call may have cost.
        """
        now = self._clock.now_ms()
        self.gate.dropped(lease, now)
        counted = self.funds.may_be_billed(lease)
        if not run.fate.lost and not counted:
            await self.release(run, lease, entry)
            return
        if run.fate.lost and entry.first_token_ms is None and entry.ended_ms is not None:
            self.observe(place, None, entry.ended_ms - entry.started_ms, now)
        usage = (
            lost_usage(run, place, streamed=streamed)
            if counted
            else whole_usage(run, place, None, lambda _: 0)
        )
        await self.settle(run, lease, entry, place, usage)

    async def failed(
        self, run: Run, lease: int, entry: AttemptRecord, place: Place, outcome: Outcome, *, streamed: bool
    ) -> None:
        """Close the lease of a call that failed, where that was not done already."""
        if self.funds.may_be_billed(lease) and may_be_billed(outcome):
            await self.settle(run, lease, entry, place, lost_usage(run, place, streamed=streamed))
        else:
            await self.release(run, lease, entry)

    def broken_usage(self, asked: Run, lease: int, place: Place, tally: Tally) -> Usage:
        """What a stream has used of which the beginning came. asked: the request as it was asked there.

        Where money counts it, thoughts that nobody saw count as all that it could have written: else whoever
        leaves at the first word gets them for nothing.
        """
        usage = whole_usage(asked, place, tally.usage, tally.tokens)
        told = tally.usage or {}
        if (
            not told.get("output_tokens")
            and self.funds.may_be_billed(lease)
            and may_have_thought(asked, place)
        ):
            usage["output_tokens"] = max(usage["output_tokens"], asked.most_output(place) or 0)
        return usage

    async def release(self, run: Run, lease: int, entry: AttemptRecord | None) -> None:
        """Close a lease that nothing was spent of."""
        if lease not in run.leases:
            return
        run.leases.discard(lease)
        if entry is not None:
            entry.closed = "released"
        else:  # no call was made with it
            self.gate.dropped(lease, self._clock.now_ms())
        waiting = self._state.release(lease, int(self._clock.now_ms()))
        counting = self.funds.release(lease) if run.purse is not None else None
        if self._placed:
            self._leave(lease)
        if waiting is not None:
            await waiting
        if counting is not None:
            await counting

    def _leave(self, lease: int) -> None:
        """Its place is free again, if it had one."""
        name = self._placed.pop(lease, None)
        if name is not None:
            self._places.leave(name)

    def observe(self, place: Place, failure: str | None, latency_ms: float | None, now: float) -> None:
        """Tell the store how a call went, where that says something about the deployment."""
        if failure is None or failure in UNHEALTHY:
            self._state.observe(place.deployment.name, failure is None, latency_ms, int(now))

    def begun(self, lease: int, place: Place, latency_ms: float, now: float) -> None:
        """The first of an answer has come, after so long."""
        self.observe(place, None, latency_ms, now)
        self.gate.begun(lease, now)

    def ended(
        self, run: Run, lease: int, entry: AttemptRecord, place: Place, failure: str | None, now: float,
        delay_ms: int | None = None,
    ) -> None:  # fmt: skip
        """A call is over: well, or with this failure, after which the vendor wants this much time."""
        if failure is not None:
            self.observe(place, failure, None, now)
        self.gate.ended(run, lease, entry, place, failure, delay_ms, now)


def whole_usage(run: Run, place: Place, usage: Usage | None, output: Callable[[Count | None], int]) -> Usage:
    """A usage with both counts: what the vendor did not say is estimated, and flagged. An estimate is never
    more than what was reserved for it.

    Args:
        run: the request.
        place: who was asked.
        usage: what the vendor said; empty or None where it said nothing. (Beside chat there is no output to
            say anything about; a counting of tokens uses nothing.)
        output: gives about how many tokens the answer has, by the model's tokenizer where there is one;
            asked only where it is needed.
    """
    operation = run.inbound.operation
    if operation == "count_tokens":
        return Usage()
    if operation != "chat" and usage is not None:
        usage.setdefault("output_tokens", 0)
    elif usage is not None and not (usage.get("input_tokens") and usage.get("output_tokens")):
        usage = _without_zeros(usage, output)
    if usage and ("search_units" in usage or ("input_tokens" in usage and "output_tokens" in usage)):
        return usage
    count, bound = tokenizer(place.deployment.facts.tokenizer), run.view.input_tokens
    counted = bound if run.exact else min(tokens.estimate(run.request, count), bound)
    written, most = output(count), run.most_output(place)
    guessed = Usage(input_tokens=counted, output_tokens=written if most is None else min(written, most))
    return {**guessed, **(usage or {}), "estimated": True}


def _without_zeros(usage: Usage, output: Callable[[Count | None], int]) -> Usage:
    """A chat's usage, but for zeros that cannot be: nobody reads nothing, or writes an answer of no tokens.
    Where its cost is told, they do no harm.
    """
    if "cost" in usage or "search_units" in usage:
        return usage
    unread, unwritten = usage.get("input_tokens") == 0, usage.get("output_tokens") == 0
    if not unread and not (unwritten and output(None)):
        return usage
    zeros = [name for name, zero in (("input", unread), ("output", unwritten and output(None))) if zero]
    return cast(Usage, {name: count for name, count in usage.items() if not name.startswith(tuple(zeros))})
