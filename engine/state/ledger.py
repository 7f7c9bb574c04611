"""What is counted of money, tokens and requests, behind one interface, whatever store keeps it.

Before something is used its worst case is reserved, in several accounts at once: all of them have room for
it, or nothing is held. Afterwards what was really used is settled, or the hold is released. What a process
that died had reserved comes free by itself; where the call may have gone out, it counts as spent, so that no
crash ever makes a ceiling soft.

A store that answers at once returns its answer, one that has to be asked returns an awaitable of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from engine.plan.money import Measure, OnStateLoss


@dataclass(frozen=True, slots=True)
class Account:
    """One thing that is counted: a budget's or a limit's partition in one window.

    key: `budget/NAME/WINDOW/PARTITION` or `limit/NAME/MEASURE/PARTITION`: the same in every process, on every
        host, after every reload. Any text may be in the partition.
    shape: `window`: what is used is used until `ends_ms`; `rolling`: until `period_ms` after its use;
        `bucket`: `limit` flow back per `period_ms`, at most `burst` are there; `places`: until it is given
        back.
    limit: in the measure's own unit (`plan.money`).
    ends_ms: when a window ends, in epoch ms; None for the other shapes.
    was: the key under which this account's counts may still stand.
    share: how much a process may use by itself while the store is away, of `local_share`; in the same unit.
    local: counted on this host alone (`scope: host`): in its SQLite file, else in each process.
    """

    key: str
    measure: Measure
    shape: Literal["window", "rolling", "bucket", "places"]
    limit: int
    ends_ms: int | None = None
    period_ms: int = 0
    burst: int = 0
    was: str | None = None
    on_state_loss: OnStateLoss = "reject"
    share: int = 0
    local: bool = False


@dataclass(slots=True)
class Ask:
    """So much of an account."""

    account: Account
    amount: int


@dataclass(slots=True)
class Refused:
    """Which account has no room: the one that has it last, where several have none.

    why: `spent`; `store`: it cannot be asked now.
    retry_after_ms: when the same amount may fit; None: never, or nobody knows.
    """

    account: Account
    why: Literal["spent", "store"] = "spent"
    used: int = 0
    retry_after_ms: int | None = None


@dataclass(slots=True)
class Standing:
    """How an account stands, in its unit.

    spent: settled. held: reserved by what is under way. lost: of `spent`, what processes that died had
    reserved for calls that may have gone out. left: how much fits now. resets_ms: when all, or of a rolling
    account the oldest part, is free again, in ms from now; None: it never is by itself.
    """

    limit: int
    spent: int = 0
    held: int = 0
    lost: int = 0
    left: int = 0
    resets_ms: int | None = None

    @property
    def used(self) -> int:
        return self.spent + self.held


Rows = Iterable[tuple[Account, Standing]]


class Ledger(Protocol):
    """One process's way to the counts. `now_ms` is epoch time in ms.

    `hold` is the caller's own name for what it reserves, unique among all processes and hosts for ever (a
    request id and an attempt's number): reserving, settling and releasing the same twice counts once.
    """

    def reserve(
        self, hold: str, asks: Sequence[Ask], now_ms: int
    ) -> Refused | Awaitable[Refused | None] | None:
        """Hold these amounts, all or none; None: they are held. An amount of 0 always fits."""
        ...

    def sent(self, hold: str, now_ms: int) -> Awaitable[None] | None:
        """From here on the vendor may bill it: bytes are about to go out."""
        ...

    def settle(self, hold: str, amounts: Sequence[int], now_ms: int) -> Awaitable[None] | None:
        """What was used, in the order of the asks. It may be more than was held."""
        ...

    def release(self, hold: str, now_ms: int) -> Awaitable[None] | None:
        """Nothing was used."""
        ...

    def look(
        self, accounts: Sequence[Account], now_ms: int
    ) -> Sequence[Standing] | Awaitable[Sequence[Standing]]:
        """How accounts stand, as well as this process knows: a leased store may tell what it last heard."""
        ...

    def rows(self, now_ms: int) -> Rows | Awaitable[Rows]:
        """All accounts that something is known of, of windows that have not ended."""
        ...

    def once(self, key: str, ttl_ms: int, now_ms: int) -> bool | Awaitable[bool]:
        """True for the first who asks this of all processes, until `ttl_ms` later."""
        ...

    def open_holds(self) -> int:
        """Of this process, neither settled nor released."""
        ...

    def away(self) -> bool:
        """Whether the store cannot be asked, as far as this process knows: accounts do what they say then."""
        ...

    async def close(self) -> None:
        """Give back what this process leases; what is open stays reserved until it expires."""
        ...
