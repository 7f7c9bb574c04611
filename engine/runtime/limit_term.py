"""A limit as requests meet it: its partitions, each with the accounts that it is counted in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from engine.plan.code import bind_expr
from engine.plan.money import Limit, Measure
from engine.state.ledger import Account
from engine.state.ledger_accounts import limit_accounts

if TYPE_CHECKING:
    from engine.runtime.run import Run

#: Partitions of one limit whose accounts are kept; they are made anew beyond.
KEPT: Final = 4_096
#: Characters of a partition that are kept or told: it may be whatever a client sent.
LONGEST: Final = 200


class Policy(NamedTuple):
    """What a limit says of one measure, for its clients. `window_s`: None for requests at a time."""

    name: str
    measure: Measure
    limit: int
    window_s: int | None


@dataclass(frozen=True, slots=True)
class Partition:
    """A limit for one value of its `per`, cut where it is long.

    name: the same after a reload, and no other partition's.
    accounts: of requests, tokens and requests at once, those that the limit has.
    policies: of each of them, where clients are told.
    """

    limit: Limit
    value: str
    name: str
    accounts: tuple[Account, ...]
    policies: tuple[Policy, ...]


class LimitTerm:
    """A limit of a plan, bound."""

    __slots__ = ("_made", "_per", "limit")

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self._per: Callable[..., Any] | None = None if limit.per is None else bind_expr(limit.per)
        self._made: dict[str, Partition] = {}

    def of(self, run: Run) -> Partition:
        """The partition that a request is counted in."""
        per = self._per
        value = "" if per is None else str(per(run.view, run.inbound.key, run.clock, run.labels))
        found = self._made.get(value)
        return self._make(value) if found is None else found

    def _make(self, value: str) -> Partition:
        limit, accounts = self.limit, tuple(limit_accounts(self.limit, value).values())
        policies = tuple(_policy(limit.name, account) for account in accounts) if limit.told else ()
        if len(value) > LONGEST:
            return Partition(limit, f"{value[:LONGEST]}...", accounts[0].key, accounts, policies)
        if len(self._made) >= KEPT:
            self._made.clear()
        made = self._made[value] = Partition(limit, value, accounts[0].key, accounts, policies)
        return made


def _policy(name: str, account: Account) -> Policy:
    return Policy(name, account.measure, account.limit, -(-account.period_ms // 1000) or None)
