"""The accounts of a plan's budgets and limits: what a partition is counted under, and how.

Keys are the same in every process and after every reload: they are made of names, windows and partitions,
never of amounts, so a changed limit goes on with what is counted. What is counted in another unit, or by
another `per`, stands under another key, though a value of it may read the same.
"""

from __future__ import annotations

import hashlib
from datetime import tzinfo
from typing import Final

from engine.plan.fate_counters import meaning
from engine.plan.money import Budget, Limit, Measure, Rate
from engine.plan.values import Expr
from engine.policies.accounts import Counter, PlacesCounter, Terms, WindowCounter
from engine.policies.bucket import BucketCounter
from engine.policies.calendar import window_of
from engine.policies.rolling import RollingCounter
from engine.state.ledger import Account

#: Longer values of `per` are counted under their beginning and a digest.
LONGEST: Final = 200


def budget_account(budget: Budget, partition: str, wall_ms: int, zone: tzinfo) -> Account:
    """Where a budget counts what one value of `per` uses now; zone: the workspace's."""
    window, _, ends_ms = window_of(budget.window, wall_ms, zone)
    unit = "" if budget.measure == "cost" else f":{budget.measure}"
    rest = f"{window}{unit}{_apart(budget.per)}/{short(partition)}"
    return Account(
        f"budget/{budget.name}/{rest}",
        budget.measure,
        "window" if ends_ms is not None else "rolling",
        budget.limit,
        ends_ms=ends_ms,
        period_ms=budget.window.ms or 0,
        was=None if budget.was is None else f"budget/{budget.was}/{rest}",
        on_state_loss=budget.on_state_loss,
        share=int(budget.limit * budget.share),
    )


def limit_accounts(limit: Limit, partition: str) -> dict[Measure, Account]:
    """Where a limit counts what one value of `per` does, by what it counts."""
    counted: dict[Measure, Account] = {}
    rates: tuple[tuple[Measure, Rate | None], ...] = (("requests", limit.requests), ("tokens", limit.tokens))
    for measure, rate in rates:
        if rate is not None:
            counted[measure] = Account(
                _limit_key(limit, measure, partition),
                measure,
                "bucket" if rate.shape == "bucket" else "rolling",
                rate.amount,
                period_ms=rate.period_ms,
                burst=rate.burst,
                on_state_loss=limit.on_state_loss,
                share=_share(rate.amount, limit),
                local=limit.scope == "host",
            )
    if limit.concurrent is not None:
        counted["concurrent"] = Account(
            _limit_key(limit, "concurrent", partition),
            "concurrent",
            "places",
            limit.concurrent,
            on_state_loss=limit.on_state_loss,
            share=_share(limit.concurrent, limit),
            local=limit.scope == "host",
        )
    return counted


def _share(amount: int, limit: Limit) -> int:
    """What of a limit a process may use by itself: one at least, or a small one would let nothing in."""
    return max(1, int(amount * limit.share)) if limit.share else 0


def terms_of(account: Account) -> Terms:
    return Terms(account.limit, account.ends_ms, account.period_ms, account.burst)


def counter_of(account: Account) -> Counter:
    """A new counter. Of requests it is known at their start how much they use: one each."""
    terms, at_start = terms_of(account), account.measure == "requests"
    if account.shape == "window":
        return WindowCounter(terms)
    if account.shape == "rolling":
        return RollingCounter(terms, at_start)
    if account.shape == "bucket":
        return BucketCounter(terms, at_start)
    return PlacesCounter(terms)


def _limit_key(limit: Limit, measure: Measure, partition: str) -> str:
    return f"limit/{limit.name}/{measure}{_apart(limit.per)}/{short(partition)}"


def partition_of(account: Account) -> str:
    """The value of `per` that an account counts for; a long one in short."""
    return account.key.split("/", 3)[3]


def _apart(per: Expr | None) -> str:
    """Tells one way of parting from another; "" where nothing is parted."""
    return "" if per is None else f":{hashlib.sha256(meaning(per)).hexdigest()[:8]}"


def short(value: str) -> str:
    """A value of `per` as it is counted and told: whole, or its beginning and a digest; of that, the same.
    Half a character, which no store could keep, is a question mark there.
    """
    if len(value) <= LONGEST and (value.isascii() or _is_text(value)):
        return value
    digest = hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{value[: LONGEST - 65].encode('utf-8', 'replace').decode()}#{digest}"


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
