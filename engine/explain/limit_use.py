"""What an explained request counted in of its limits."""

from __future__ import annotations

from typing import NamedTuple

from engine.plan.money import Measure
from engine.runtime.quotas import Quota


class LimitUse(NamedTuple):
    """What the request held in a limit while it was served; 0 where that had no room for it."""

    name: str
    partition: str
    measure: Measure
    held: int


def limit_uses(quota: Quota | None) -> list[LimitUse]:
    """Of all limits that held for a request, in the order of the plan."""
    if quota is None:
        return []
    amounts = {ask.account.key: ask.amount for ask in quota.asks} if quota.retry_after_ms is None else {}
    return [
        LimitUse(part.limit.name, part.value, account.measure, amounts.get(account.key, 0))
        for part in quota.parts
        for account in part.accounts
    ]
