"""The limits of deployments: what every call made there counts in, because the vendor counts it too.

They are asked in the same hold as a call's budgets: a target without room is skipped as `full`, and the walk
goes on. A call counts as a request from when it is begun, whatever becomes of it: vendors count those that
fail, too. Its tokens are those that it used.
"""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine, Sequence
from typing import Any, Final

from engine.kinds.effects import Admission
from engine.plan.money import Measure
from engine.runtime.place import Place
from engine.runtime.run import Run
from engine.state.ledger import Account, Ask, Ledger, Refused, Standing

#: When to come back to a place that somebody has to give back first.
RETRY_MS: Final = 1_000


def quota_asks(run: Run, place: Place) -> list[Ask]:
    """What a call there asks of the deployment's limits; of an output without a bound, the input alone."""
    if not place.limits:
        return []
    counting = run.inbound.operation == "count_tokens"
    amounts: dict[Measure, int] = {
        "requests": 1,
        "tokens": 0 if counting else run.view.input_tokens + (run.most_output(place) or 0),
        "concurrent": 1,
    }
    parts = [term.of(run) for term in place.limits]
    return [Ask(account, amounts[account.measure]) for part in parts for account in part.accounts]


def skipped(place: Place, ask: Ask, refused: Refused) -> Admission:
    """Why a deployment is not asked whose limit has no room for this."""
    account, name = ask.account, ask.account.key.split("/", 2)[1]
    here = f"{place.deployment.name}: its limit {name}"
    if refused.why == "store":
        return Admission(None, "full", refused.retry_after_ms or RETRY_MS, f"{here} cannot be counted now")
    most = account.burst if account.shape == "bucket" else account.limit
    if ask.amount > most:
        why = f"{here} never has room for {ask.amount} {account.measure}, but for {most}"
        return Admission(None, "full", None, why)
    retry_ms = RETRY_MS if refused.retry_after_ms is None else refused.retry_after_ms
    return Admission(None, "full", retry_ms, f"{here} has no room for {ask.amount} {account.measure} now")


def used(asks: Sequence[Ask], cost: int, tokens: int, *, sent: bool = True) -> list[int]:
    """What a call used of each ask, in order."""
    counts: dict[Measure, int] = {"cost": cost, "tokens": tokens, "requests": int(sent), "concurrent": 0}
    return [counts[ask.account.measure] for ask in asks]


def share_left(place: Place, run: Run, ledger: Ledger, now_ms: int) -> float | Coroutine[Any, Any, float]:
    """What is left of the tightest of the deployment's limits, from 0 to 1."""
    accounts = [account for term in place.limits for account in term.of(run).accounts]
    standings = ledger.look(accounts, now_ms)
    if isinstance(standings, Sequence):
        return _tightest(accounts, standings)
    return _awaited(accounts, standings)


async def _awaited(accounts: Sequence[Account], standings: Awaitable[Sequence[Standing]]) -> float:
    return _tightest(accounts, await standings)


def _tightest(accounts: Sequence[Account], standings: Sequence[Standing]) -> float:
    return min(
        min(1.0, standing.left / (account.burst if account.shape == "bucket" else account.limit))
        for account, standing in zip(accounts, standings, strict=True)
    )
