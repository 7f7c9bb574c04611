"""The money of requests: what each may spend where, what its attempts hold, and what refused them.

A request has a `Purse` from the moment its input is counted; all that walks for it shares it: branches,
judges, continuations. A copy that a mirror gets has one of its own, in the same partitions. An attempt's
worst case is held in every budget, and in every limit of the deployment, at once before the call, and settled
with what it used, or released.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from inspect import isawaitable
from typing import Final

from engine.errors import EngineError
from engine.kinds.effects import Admission, Detour
from engine.plan.money import BudgetStep
from engine.runtime import dearer, hosted
from engine.runtime.clock import Clock
from engine.runtime.partitions import partition, placed_partition, value
from engine.runtime.pending import Pending
from engine.runtime.place import Place
from engine.runtime.purse import Fund, Purse
from engine.runtime.record import BudgetUse
from engine.runtime.run import Run
from engine.runtime.shortfall import Shortfall, told, too_dear
from engine.runtime.terms import BudgetTerm
from engine.runtime.vendor_quota import quota_asks, skipped, used
from engine.state.ledger import Account, Ask, Ledger, Refused, Standing
from engine.state.ledger_accounts import budget_account
from engine.units import show_money
from engine.wire.canonical import Usage

#: Told when a step of a budget is reached: (budget, partition, step, how it stands).
Alerts = Callable[[str, str, BudgetStep, Standing], None]

#: So many partitions of a budget keep their account at hand; then all are made anew.
_KEPT: Final = 4_096

_NO_SHARES: Final[Mapping[str, float]] = {}


class Held:
    """What one attempt holds. worst: of cost, whether a budget counts it or not."""

    __slots__ = ("asks", "name", "purse", "sent", "uses", "worst")

    def __init__(self, name: str, purse: Purse, asks: Sequence[Ask], uses: list[BudgetUse], worst: int):
        self.name = name
        self.purse = purse
        self.asks = asks
        self.uses = uses
        self.worst = worst
        self.sent = False


def no_alerts(_budget: str, _partition: str, _step: BudgetStep, _standing: Standing) -> None:
    """Nobody is told."""


class Funds:
    """Those of an executor."""

    def __init__(self, ledger: Ledger, clock: Clock, alerts: Alerts = no_alerts) -> None:
        self.ledger = ledger
        self._clock = clock
        self._alerts = alerts
        self._held: dict[int, Held] = {}  # by the lease of the attempt
        self._pending = Pending()

    # --- a request --------------------------------------------------------------------------------------

    async def begin(self, run: Run) -> None:
        """Give the request its purse, where it needs one.

        Raises:
            NotAdmitted: a budget is kept by something that this request does not have, or it asks for what
                nobody knows the price of.
        """
        terms = run.terms.budgets
        money = run.terms.per_request.cost is not None or any(t.budget.measure == "cost" for t in terms)
        if money:
            dearer.check(run)
        if money or terms:
            hosted.check(run, money=money)
        funds = [Fund(term, None if term.placed else partition(run, term)) for term in terms]
        compared = run.bound.compared
        looked = [fund for fund in funds if fund.term.early or (compared and fund.term in compared)]
        if compared:
            looked += [Fund(term, value(run, term)) for term in compared if term not in terms]
        shares = _NO_SHARES
        if looked:
            shares = run.clock.shares = await self._shares(run, looked)
        run.purse = Purse(funds, run.terms.per_request.cost, shares)

    async def _shares(self, run: Run, looked: Sequence[Fund]) -> Mapping[str, float]:
        """How much of these budgets' limits is spent or held, by name."""
        now = self._now()
        accounts = [self._account(run, fund.term, fund.partition or "", now) for fund in looked]
        found = self.ledger.look(accounts, now)
        standings = await found if isawaitable(found) else found
        return {
            fund.term.budget.name: standing.used / max(standing.limit, 1)
            for fund, standing in zip(looked, standings, strict=True)
        }

    def detour(self, run: Run, effect: Detour) -> tuple[str, str] | None:
        """Where the steps of the request's budgets lead."""
        limited = run.quota.jump if run.quota is not None and not effect.after else None
        if limited is not None and limited[0] in effect.names:
            return limited
        purse = run.purse
        if purse is None:
            return None
        return purse.after(effect.names) if effect.after else purse.before(effect.names)

    def refusal(self, run: Run) -> EngineError | None:
        """What a request is told that nobody answered because it may not spend so much; None: it is not that.

        Where somebody may have room in a moment, it is not: a budget may have none for a month.
        """
        purse = run.purse
        if purse is None or purse.busy:
            return None
        if purse.shortfalls:
            return told(purse.shortfalls, run.snapshot.zone)
        return None if purse.beyond is None else too_dear(purse.beyond)

    # --- an attempt -------------------------------------------------------------------------------------

    async def hold(self, run: Run, place: Place, lease: int) -> Admission | None:
        """Hold an attempt's worst case; None: it is held, and `settle` or `release` must follow."""
        purse = run.purse
        assert purse is not None
        worst = run.worst_cost(place)
        if purse.most is not None and (refused := _beyond(run, purse, worst, place)) is not None:
            return refused
        now = self._now()
        asks: list[Ask] = []
        uses: list[BudgetUse] = []
        for term, part in purse.funds:
            budget = term.budget
            amount = worst if budget.measure == "cost" else run.worst_tokens(place)
            if amount is None:
                return Admission(
                    None, "full", why=_unknown(run, place, budget.name, budget.measure), for_money=True
                )
            if part is None:
                part = placed_partition(run, term, place)
                if part is None:
                    why = f"{place.deployment.name} has no value of `per` in {budget.name}"
                    return Admission(None, "full", why=why, for_money=True)
            asks.append(Ask(self._account(run, term, part, now), amount))
            uses.append(BudgetUse(budget.name, part, amount, None, budget.measure))
        asks += quota_asks(run, place)
        purse.holds += 1
        held = Held(f"{run.inbound.request_id}/{purse.holds}", purse, asks, uses, worst or 0)
        purse.held += held.worst
        if asks:
            refusal: Refused | None = None
            try:
                found = self.ledger.reserve(held.name, asks, now)
                if found is not None:
                    refusal = found if isinstance(found, Refused) else await self._answered(held, found)
            except BaseException:
                purse.held -= held.worst
                raise
            if refusal is not None:
                purse.held -= held.worst
                return self._refused(held, refusal, place, now)
        self._held[lease] = held
        if purse.tells:
            await self._tell(held)
        return None

    def uses(self, lease: int) -> list[BudgetUse]:
        """What an attempt holds, budget by budget: for its record, which `settle` completes."""
        held = self._held.get(lease)
        return [] if held is None else held.uses

    def sent(self, lease: int) -> Awaitable[None] | None:
        """The attempt's bytes are about to go out: from here on it may be billed."""
        held = self._held.get(lease)
        if held is None or held.sent:
            return None
        waiting = self.ledger.sent(held.name, self._now()) if held.asks else None
        if waiting is not None:
            return _once_told(held, waiting)
        held.sent = True
        return None

    def may_be_billed(self, lease: int) -> bool:
        """Whether money or a budget of tokens counts the attempt, and its bytes may have gone out."""
        held = self._held.get(lease)
        return held is not None and held.sent and (bool(held.uses) or held.purse.most is not None)

    def settle(self, lease: int, cost: int, usage: Usage) -> Awaitable[None] | None:
        """The attempt has used this much."""
        held = self._held.pop(lease, None)
        if held is None:
            return None
        held.purse.held -= held.worst
        held.purse.spent += cost
        if not held.asks:
            return None
        amounts = used(held.asks, cost, _tokens(held, usage))
        for use, amount in zip(held.uses, amounts, strict=False):  # limits follow
            use.settled = amount
        return self._surely(self.ledger.settle(held.name, amounts, self._now()))

    def release(self, lease: int) -> Awaitable[None] | None:
        """The attempt has used nothing."""
        held = self._held.pop(lease, None)
        if held is None:
            return None
        held.purse.held -= held.worst
        for use in held.uses:
            use.settled = 0
        if not held.asks:
            return None
        if held.sent and len(held.asks) > len(held.uses):  # it was a request, for the deployment's limits
            return self._surely(self.ledger.settle(held.name, used(held.asks, 0, 0), self._now()))
        return self._surely(self.ledger.release(held.name, self._now()))

    # --- what these need --------------------------------------------------------------------------------

    def _now(self) -> int:
        return int(self._clock.wall() * 1000)

    def _account(self, run: Run, term: BudgetTerm, partition: str, now: int) -> Account:
        """Of the window that is now. The same object while that lasts: a ledger knows it again faster."""
        found = term.accounts.get(partition)
        if found is not None and (found.ends_ms is None or now < found.ends_ms):
            return found
        if len(term.accounts) >= _KEPT:
            term.accounts.clear()
        found = term.accounts[partition] = budget_account(term.budget, partition, now, run.snapshot.zone)
        return found

    def _surely(self, waiting: Awaitable[None] | None) -> Awaitable[None] | None:
        """What closes a hold is told to its end, also where whoever waits for it is cancelled."""
        return None if waiting is None else self._pending.finish(waiting)

    async def _answered(self, held: Held, waiting: Awaitable[Refused | None]) -> Refused | None:
        """Wait for a store's answer. Who is cancelled meanwhile holds nothing."""
        try:
            return await waiting
        except BaseException:
            self._surely(self.ledger.release(held.name, self._now()))
            raise

    def _refused(self, held: Held, refusal: Refused, place: Place, now: int) -> Admission:
        number = next(i for i, ask in enumerate(held.asks) if ask.account.key == refusal.account.key)
        if number >= len(held.uses):
            return skipped(place, held.asks[number], refusal)
        fund, use = held.purse.funds[number], held.uses[number]
        shortfall = Shortfall(fund.term.budget, use.partition, use.reserved, refusal, now)
        held.purse.shortfalls.append(shortfall)
        budget = fund.term.budget
        for step in budget.steps:
            if step.at >= 1 and step.alert is not None and refusal.why == "spent":
                spent = Standing(budget.limit, spent=refusal.used, left=max(0, budget.limit - refusal.used))
                self._alerts(budget.name, use.partition, step, spent)
        return Admission(None, "full", refusal.retry_after_ms, shortfall.words(), for_money=True)

    async def _tell(self, held: Held) -> None:
        """Tell of the steps below 100% that are reached by now."""
        for fund, ask, use in zip(held.purse.funds, held.asks, held.uses, strict=False):  # limits follow
            if fund.term.told:
                found = self.ledger.look((ask.account,), self._now())
                standing = (await found if isawaitable(found) else found)[0]
                share = standing.used / max(standing.limit, 1)
                for step in fund.term.told:
                    if share >= step.at:
                        self._alerts(use.name, use.partition, step, standing)


def _tokens(held: Held, usage: Usage) -> int:
    """Input and output; of a ranking, which is billed by searches, what it was at most."""
    if "search_units" in usage and "input_tokens" not in usage:
        return next((ask.amount for ask in held.asks if ask.account.measure == "tokens"), 0)
    return usage.get("input_tokens", 0) + usage.get("output_tokens", 0)


async def _once_told(held: Held, waiting: Awaitable[None]) -> None:
    """No byte goes out before the ledger knows; who is cancelled meanwhile has sent nothing."""
    await waiting
    held.sent = True


def _beyond(run: Run, purse: Purse, worst: int | None, place: Place) -> Admission | None:
    """Why `per_request.cost` does not let the attempt be made; None: it does."""
    assert purse.most is not None
    if worst is None:
        return Admission(None, "full", why=_unknown(run, place, "per_request.cost", "cost"), for_money=True)
    used = purse.held + purse.spent
    if not worst or used + worst <= purse.most:
        return None
    words = f"per_request.cost is {show_money(purse.most)}: {show_money(used)} of it is spent or held, and a "
    words += f"call of {place.deployment.name} may cost {show_money(worst)}"
    purse.beyond = words
    return Admission(None, "full", why=words, for_money=True)


def _unknown(run: Run, place: Place, name: str, measure: str) -> str:
    tools = run.tools(place)
    if tools is not None and tools.why:
        return tools.why
    what = "what a call there may cost" if measure == "cost" else "how many tokens a call there may write"
    return f"{place.deployment.name}: nobody knows {what}, and {name} counts that"
