"""The limits of a client's request: all of them are asked at once when it begins, and told when it ends.

| of a limit | held when the request begins | counted when it has ended |
|---|---|---|
| `requests` | 1 | 1; nothing, where it failed before anybody was called |
| `tokens` | the most that one call may use: the input's bound and the longest output | what all calls used |
| `concurrent` | 1 | nothing: it is given back, of a stream when that is closed |

Where one has no room, its `on_exceed` decides: the request is turned away, waits its turn, or goes elsewhere,
and is then not counted in that limit. Where several have none, the one that has room last is told.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from engine.errors import EngineError, NotAdmitted, Overloaded, RateLimited
from engine.plan.money import Limit, Measure, Rate
from engine.runtime.clock import Clock
from engine.runtime.limit_term import Partition, Policy
from engine.runtime.pending import Pending
from engine.runtime.record import DecisionRecord, Step
from engine.runtime.run import Run
from engine.runtime.waiting import Ticket, WaitingLines
from engine.state.ledger import Account, Ask, Ledger, Refused, Standing
from engine.units import show_duration, show_rate

#: When to come back, where nobody knows when there is room.
RETRY_MS: Final = 1_000

#: Nobody is told to come back later than that: a vendor's wrong count may owe more than all times hold.
LAST_MS: Final = 366 * 86_400_000

_NOUNS: Final[dict[Measure, str]] = {
    "requests": "requests",
    "tokens": "tokens",
    "concurrent": "requests at a time",
}


class Told(NamedTuple):
    """How a limit stands, for its client. `resets_s`: None for requests at a time."""

    policy: Policy
    left: int
    resets_s: int | None


class Quota:
    """What one request holds of its limits.

    parts: all that hold for it. counted: those that it is counted in.
    jump: where it goes by a limit that has no room, and why; None: it goes its own way.
    retry_after_ms: set where it was turned away.
    """

    __slots__ = ("asks", "clock", "counted", "held", "hold", "jump", "ledger", "parts", "retry_after_ms")

    def __init__(self, hold: str, parts: list[Partition], ledger: Ledger, clock: Clock) -> None:
        self.hold = hold
        self.parts = parts
        self.counted = parts.copy()
        self.ledger = ledger
        self.clock = clock
        self.asks: list[Ask] = []
        self.held = False
        self.jump: tuple[str, str] | None = None
        self.retry_after_ms: int | None = None

    def told(self) -> list[Told] | Awaitable[list[Told]]:
        """How those limits stand now that the client may know of, in the order of the plan."""
        accounts = [account for part in self.parts if part.policies for account in part.accounts]
        if not accounts:
            return []
        seen = self.ledger.look(accounts, wall_ms(self.clock))
        return self._rows(seen) if isinstance(seen, Sequence) else self._asked(seen)

    async def _asked(self, seen: Awaitable[Sequence[Standing]]) -> list[Told]:
        return self._rows(await seen)

    def _rows(self, standings: Sequence[Standing]) -> list[Told]:
        policies = [policy for part in self.parts for policy in part.policies]
        return [
            Told(policy, standing.left, None if policy.window_s is None else self._resets_s(standing))
            for policy, standing in zip(policies, standings, strict=True)
        ]

    def _resets_s(self, standing: Standing) -> int:
        resets_ms, back_ms = standing.resets_ms or 0, self.retry_after_ms
        # Whoever is told to come back is not told that its window ends later than that.
        return _seconds(resets_ms if back_ms is None else min(resets_ms, back_ms))


class Quotas:
    """The executor's side of clients' limits."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self.ledger = ledger
        self._clock = clock
        self.lines = WaitingLines(clock)
        self._pending = Pending()

    async def enter(self, run: Run) -> None:
        """Hold what the request needs of its limits, or raise what the client is told.

        Raises:
            RateLimited: 429, with when to come back.
            NotAdmitted: 413, it needs more than a limit ever has.
            Overloaded: 503, the state store cannot be asked, and the limit says `on_state_loss: reject`.
        """
        parts = [term.of(run) for term in run.terms.limits]
        hold = f"{run.inbound.request_id}/limits"
        quota = run.quota = run.inbound.quota = Quota(hold, parts, self.ledger, self._clock)
        tokens = run.most_tokens() if any(part.limit.tokens is not None for part in parts) else 0
        began = self._clock.now_ms()
        ticket: Ticket | None = None
        try:
            while True:
                full, refused = self._ahead(quota, ticket), None
                if full is None:
                    refused = await self._reserve(quota, tokens)
                    if refused is None:
                        return
                    full = _part_of(refused.account, parts)
                limit = full.limit
                if limit.use in run.bound.jumps and (refused is None or refused.why != "store"):
                    quota.counted.remove(full)
                    if quota.jump is None and limit.use is not None:
                        quota.jump = (limit.use, _used_up(full, refused))
                    continue
                if refused is not None and (error := _final(full, refused, tokens)) is not None:
                    error.refused_by = f"limit/{limit.name}"
                    raise error
                if ticket is None or ticket.name != full.name:
                    if ticket is not None:
                        ticket.leave()
                    ticket = self.lines.join(limit.name, full.name, limit.queue)
                if ticket is None or not await self._waited(ticket, limit, refused, began, run):
                    raise self._turned_away(quota, full, refused)
        finally:
            if ticket is not None:
                ticket.leave()
                waited = f"{self._clock.now_ms() - began:.0f} ms for room"
                run.record.path.append(Step(ticket.limit, "queued", waited))

    async def leave(self, run: Run, failure: str | None) -> None:
        """The request is over, and so are its calls: what they used is counted, the rest is given back."""
        quota = run.quota
        if quota is None or not quota.held:
            return
        quota.held = False
        now = wall_ms(self._clock)
        if failure is not None and not run.record.attempts:
            waiting = self.ledger.release(quota.hold, now)
        else:
            waiting = self.ledger.settle(quota.hold, used(quota.asks, run.record), now)
        if waiting is not None:
            await self._pending.finish(waiting)
        if self.lines:
            for part in quota.counted:
                self.lines.freed(part.name)

    def _ahead(self, quota: Quota, ticket: Ticket | None) -> Partition | None:
        """The limit that others wait for already, so that this request stands behind them."""
        if not self.lines:
            return None
        for part in quota.counted:
            mine = ticket is not None and ticket.name == part.name and ticket.first
            if part.limit.on_exceed == "queue" and self.lines.waiting(part.name) and not mine:
                return part
        return None

    async def _reserve(self, quota: Quota, tokens: int) -> Refused | None:
        amounts = {"requests": 1, "tokens": tokens, "concurrent": 1}
        quota.asks = [Ask(a, amounts[a.measure]) for part in quota.counted for a in part.accounts]
        if not quota.asks:
            return None
        quota.held = True  # where this is cancelled, nobody knows whether it is
        refused = self.ledger.reserve(quota.hold, quota.asks, wall_ms(self._clock))
        if refused is not None and not isinstance(refused, Refused):
            refused = await refused
        quota.held = refused is None
        return refused

    async def _waited(
        self, ticket: Ticket, limit: Limit, refused: Refused | None, began: float, run: Run
    ) -> bool:
        """Wait until it is worth to try again; False: its time is over."""
        until = began + limit.wait_ms
        if run.deadline is not None:
            until = min(until, run.deadline)
        return await ticket.wait(None if refused is None else refused.retry_after_ms, until)

    def _turned_away(self, quota: Quota, part: Partition, refused: Refused | None) -> EngineError:
        retry = RETRY_MS if refused is None or refused.retry_after_ms is None else refused.retry_after_ms
        quota.retry_after_ms = retry = min(retry, LAST_MS)
        at = datetime.fromtimestamp(self._clock.wall() + retry / 1000, UTC).isoformat(timespec="seconds")
        words = f"{_used_up(part, refused)}; come back in {show_duration(_seconds(retry) * 1000)} ({at})"
        error = RateLimited(words, retry_after_ms=retry)
        error.refused_by = f"limit/{part.limit.name}"
        return error


def _final(part: Partition, refused: Refused, tokens: int) -> EngineError | None:
    """What waiting cannot change: the store is away, or the request is larger than the limit."""
    account = refused.account
    if refused.why == "store":
        words = f"the limit `{part.limit.name}` cannot be counted now: its state store does not answer"
        return Overloaded(words, retry_after_ms=refused.retry_after_ms or RETRY_MS)
    most = account.burst if account.shape == "bucket" else account.limit
    if account.measure != "tokens" or tokens <= most:
        return None
    has = f"never has room for more than {most}" if part.limit.told else "never has room for that"
    return NotAdmitted(
        f"this request may use {tokens} tokens, and the limit `{part.limit.name}` {has}: "
        "send less, or ask for fewer `max_tokens`",
        status=413,
        code="request_too_large",
        param="max_tokens",
    )


def _part_of(account: Account, parts: list[Partition]) -> Partition:
    return next(part for part in parts if any(each.key == account.key for each in part.accounts))


def _used_up(part: Partition, refused: Refused | None) -> str:
    """Which limit has no room; what it is only for those whose own it is."""
    limit = part.limit
    if not limit.told:
        return f"the limit `{limit.name}` has no room now"
    if refused is None:
        return f"the limit `{limit.name}` has no room now, and others wait for it"
    whose = f" of {part.value!r}" if part.value else ""
    return f"the limit `{limit.name}`{whose} has no room now: {_said(limit, refused.account.measure)}"


def _said(limit: Limit, measure: Measure) -> str:
    rate: Rate | None = {"requests": limit.requests, "tokens": limit.tokens}.get(measure)
    if rate is None:
        return f"{limit.concurrent} {_NOUNS[measure]}"
    return f"{show_rate(rate.amount, rate.period_ms)} {_NOUNS[measure]}"


def used(asks: Sequence[Ask], record: DecisionRecord) -> list[int]:
    """What a request used of each ask, in order."""
    tokens = sum(
        attempt.usage.get("input_tokens", 0) + attempt.usage.get("output_tokens", 0)
        for attempt in record.attempts
    )
    counts: dict[Measure, int] = {"requests": 1, "tokens": tokens, "concurrent": 0, "cost": 0}
    return [counts[ask.account.measure] for ask in asks]


def wall_ms(clock: Clock) -> int:
    """Epoch time in ms, as ledgers count it."""
    return int(clock.wall() * 1000)


def _seconds(ms: int) -> int:
    """Whole seconds, rounded up."""
    return -(-ms // 1000)
