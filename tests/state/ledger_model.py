"""Any ledger against a plain one: what it should say, from a list of all that was ever held and used.

A store's test subclasses `LedgerMachine`. Several ledgers are the processes of one host or the replicas of
one store. Windows are those of real time zones; the clock passes their ends and daylight-saving changes, and
jumps.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from engine.plan.money import Budget, Limit, Rate, Window
from engine.policies.accounts import SKEW_MS
from engine.policies.rolling import SLOTS
from engine.state.ledger import Account, Ask, Ledger, Refused
from engine.state.ledger_accounts import budget_account, limit_accounts

SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000
DAY = 24 * HOUR

#: Just before something happens: the clocks change, a month, a quarter, a leap year's February ends.
MOMENTS = [
    round(datetime.fromisoformat(text).timestamp() * 1000)
    for text in (
        "2026-03-29T01:59:50+01:00",  # Berlin, an hour is skipped
        "2026-10-25T02:59:50+02:00",  # Berlin, an hour comes twice
        "2026-11-01T01:59:50-04:00",  # New York
        "2026-04-05T01:59:50+11:00",  # Lord Howe, half an hour
        "2026-12-31T23:59:50+01:00",
        "2028-02-29T23:59:50+00:00",
    )
]

BUDGETS = (
    (Budget("day", "cost", 100, Window("day")), "Europe/Berlin"),
    (Budget("week", "tokens", 150, Window("week")), "Australia/Lord_Howe"),
    (Budget("month", "cost", 200, Window("month")), "America/New_York"),
    (Budget("quarter", "cost", 300, Window("quarter")), "UTC"),
    (Budget("minute", "cost", 60, Window("every", MINUTE)), "UTC"),
    (Budget("last", "cost", 80, Window("rolling", 10 * MINUTE)), "UTC"),
)
LIMITS = (
    Limit("bucket", requests=Rate(6, MINUTE, 3), tokens=Rate(600, MINUTE, 100), concurrent=3),
    Limit("slide", requests=Rate(5, MINUTE, 5, "sliding"), tokens=Rate(90, HOUR, 90, "sliding")),
)


def accounts(now_ms: int) -> list[Account]:
    """What a request may ask of at this time."""
    found = [budget_account(budget, "p/1", now_ms, ZoneInfo(zone)) for budget, zone in BUDGETS]
    return found + [account for limit in LIMITS for account in limit_accounts(limit, "k").values()]


@dataclass(eq=False)
class Use:
    """So much was used, at what the clock said then."""

    at: int
    amount: Fraction


@dataclass
class Hold:
    """era: how often the clock had stepped back. uses: of requests, which count from the start."""

    asks: list[tuple[Account, int]]
    at: int
    process: int
    era: int
    sent: bool = False
    uses: list[tuple[Use, Use] | None] = field(default_factory=list)


class Plain:
    """The model: everything is added up anew each time.

    least: what must count. most: what may, since a slot counts until all of it is too old, and a store need
    not write down what it only looked at.
    """

    def __init__(self) -> None:
        self.holds: dict[str, Hold] = {}
        self.least: dict[str, list[Use]] = defaultdict(list)
        self.most: dict[str, list[Use]] = defaultdict(list)
        self.lost: dict[str, int] = defaultdict(int)

    def held(self, account: Account) -> int:
        asks = [ask for hold in self.holds.values() for ask in hold.asks]
        return sum(amount for other, amount in asks if other.key == account.key and not at_start(account))

    def spent(self, account: Account, now: int) -> tuple[Fraction, Fraction]:
        """At least, and at most."""
        least, most = self.least[account.key], self.most[account.key]
        if account.shape == "bucket":
            return owed(account, least, now), owed(account, most, now)
        if account.shape == "rolling":
            least = [use for use in least if use.at + account.period_ms > now]
            most = [use for use in most if use.at + longest(account) > now]
        return sum((use.amount for use in least), Fraction(0)), sum((use.amount for use in most), Fraction(0))

    def room(self, account: Account, now: int) -> tuple[Fraction, Fraction]:
        least, most = self.spent(account, now)
        free = (account.burst if account.shape == "bucket" else account.limit) - self.held(account)
        return free - most, free - least

    def use(self, account: Account, amount: Fraction | int, now: int) -> tuple[Use, Use]:
        uses = Use(now, Fraction(amount)), Use(now, Fraction(amount))
        if account.shape != "places":
            self.least[account.key].append(uses[0])
            self.most[account.key].append(uses[1])
        return uses

    def give_back(self, account: Account, hold: Hold, uses: tuple[Use, Use], era: int, now: int) -> None:
        if account.shape == "bucket":  # what flows back by itself is not given back too
            flowed = Fraction(account.limit * max(0, now - hold.at), account.period_ms)
            self.use(account, -max(Fraction(0), uses[0].amount - flowed), now)
            return
        if uses[0] in self.least[account.key]:
            self.least[account.key].remove(uses[0])
        if hold.era == era:  # else nobody knows any more what it is counted with
            self.most[account.key].remove(uses[1])

    def clock(self, known: Iterable[Account], then: int, now: int) -> None:
        """All was looked at, at a new time. What was used in what is now the future was used now."""
        for account in known:
            uses = self.least[account.key]
            if account.shape == "bucket":
                uses.append(Use(now, Fraction(0)))
            elif account.shape == "rolling":
                uses[:] = [use for use in uses if use.at + account.period_ms > then]
                for use in uses:
                    use.at = min(use.at, now)


def at_start(account: Account) -> bool:
    return account.measure == "requests"


def longest(account: Account) -> int:
    """How long a rolling account may count something."""
    return account.period_ms + account.period_ms // SLOTS + SKEW_MS


def owed(account: Account, uses: list[Use], now: int) -> Fraction:
    """What has not flowed back yet. While the clock is behind, nothing does."""
    missing, at = Fraction(0), 0
    for use in [*uses, Use(now, Fraction(0))]:
        flowed = Fraction(account.limit * max(0, use.at - at), account.period_ms)
        missing, at = max(Fraction(0), max(Fraction(0), missing - flowed) + use.amount), use.at
    return missing


class LedgerMachine(RuleBasedStateMachine):
    """Rules and invariants. A subclass says how ledgers are opened, and how a process dies.

    exact: an ask that fits is never refused, and standings are those of the moment: not so of leases.
    """

    processes = 1
    exact = True
    mortal = False

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.plain = Plain()
        self.now = MOMENTS[0]
        self.era = 0  # how often the clock stepped back
        self.number = 0
        self.known: dict[str, Account] = {}
        self.ledgers: list[Ledger] = [self.open(index) for index in range(self.processes)]

    # --- of a store -------------------------------------------------------------------------------------

    def open(self, index: int) -> Ledger:
        raise NotImplementedError

    def kill(self, index: int) -> None:
        """The process is gone without a word; its end has been noticed when this returns."""
        raise NotImplementedError

    def teardown(self) -> None:
        for ledger in self.ledgers:
            self.loop.run_until_complete(ledger.close())
        self.loop.close()

    def told(self, answer: Any) -> Any:
        async def wait() -> Any:
            return await answer

        return self.loop.run_until_complete(wait()) if inspect.isawaitable(answer) else answer

    # --- rules ------------------------------------------------------------------------------------------

    @rule(data=st.data(), process=st.integers(0, 3), sent=st.booleans())
    def reserve(self, data: st.DataObject, process: int, sent: bool) -> None:
        there = accounts(self.now)
        chosen = data.draw(
            st.lists(st.sampled_from(there), min_size=1, max_size=3, unique_by=lambda a: a.key)
        )
        asks = [(account, data.draw(_amounts(account))) for account in chosen]
        self.number += 1
        hold, process = f"r{self.number}/1", process % self.processes
        ledger = self.ledgers[process]
        self.known.update((account.key, account) for account, _ in asks)
        given = [Ask(account, amount) for account, amount in asks]
        refused = self.told(ledger.reserve(hold, given, self.now))
        rooms = {account.key: self.plain.room(account, self.now) for account, _ in asks}
        if refused is None:
            over = [a.key for a, amount in asks if amount > max(0, rooms[a.key][1])]
            assert not over, f"{over} had no room"
            self._hold(hold, asks, process)
            assert self.told(ledger.reserve(hold, given, self.now)) is None  # counts once
            if sent:
                self.told(ledger.sent(hold, self.now))
                self.plain.holds[hold].sent = True
            return
        assert isinstance(refused, Refused)
        amount = next(amount for account, amount in asks if account.key == refused.account.key)
        assert amount > 0, "an amount of 0 always fits"
        if self.exact:
            assert amount > rooms[refused.account.key][0], f"{refused.account.key} had room"

    def _hold(self, name: str, asks: list[tuple[Account, int]], process: int) -> None:
        hold = self.plain.holds[name] = Hold(asks, self.now, process, self.era)
        for account, amount in asks:
            hold.uses.append(self.plain.use(account, amount, self.now) if at_start(account) else None)

    @precondition(lambda self: self.plain.holds)
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.plain.holds)))
        hold = self.plain.holds.pop(name)
        amounts = [
            amount if at_start(account) else data.draw(st.integers(0, amount + 5))
            for account, amount in hold.asks
        ]
        ledger = self.ledgers[hold.process]
        for _ in range(2):  # counts once
            self.told(ledger.settle(name, amounts, self.now))
        for (account, _), amount in zip(hold.asks, amounts, strict=True):
            if not at_start(account):
                self.plain.use(account, amount, self.now)

    @precondition(lambda self: any(hold.era == self.era for hold in self.plain.holds.values()))
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        fresh = [name for name, hold in self.plain.holds.items() if hold.era == self.era]
        self._free(data.draw(st.sampled_from(sorted(fresh))))

    def _free(self, name: str) -> None:
        hold = self.plain.holds.pop(name)
        ledger = self.ledgers[hold.process]
        for _ in range(2):
            self.told(ledger.release(name, self.now))
        self._given_back(hold)

    def _given_back(self, hold: Hold) -> None:
        for (account, _), uses in zip(hold.asks, hold.uses, strict=True):
            if uses is not None:
                self.plain.give_back(account, hold, uses, self.era, self.now)

    @rule(
        ms=st.one_of(st.integers(1, 20 * SECOND), st.sampled_from([MINUTE, 10 * MINUTE, HOUR, DAY, 32 * DAY]))
    )
    def pass_time(self, ms: int) -> None:
        self._turn(self.now + ms)

    @rule(moment=st.sampled_from(MOMENTS))
    def come_to_a_moment(self, moment: int) -> None:
        if moment > self.now:
            self._turn(moment)

    @rule(ms=st.sampled_from([5 * SECOND, 2 * MINUTE, HOUR, 30 * DAY]))
    def step_back(self, ms: int) -> None:
        self.era += 1
        self._turn(self.now - ms)

    def _turn(self, now: int) -> None:
        then, self.now = self.now, now
        self.plain.clock(self.known.values(), then, now)
        for ledger in self.ledgers:
            self.told(ledger.look(list(self.known.values()), now))

    @precondition(lambda self: self.mortal)
    @rule(process=st.integers(0, 3))
    def die(self, process: int) -> None:
        """What was not sent comes free, what was sent counts at its worst."""
        index = process % self.processes
        self.kill(index)
        for name, hold in list(self.plain.holds.items()):
            if hold.process != index:
                continue
            del self.plain.holds[name]
            if not hold.sent:
                self._given_back(hold)
            for account, amount in hold.asks if hold.sent else ():
                if not at_start(account):
                    self.plain.use(account, amount, self.now)
                if account.shape == "window":
                    self.plain.lost[account.key] += amount
        self.ledgers[index] = self.open(index)

    # --- what always holds ------------------------------------------------------------------------------

    @invariant()
    def standings_are_those_of_the_model(self) -> None:
        if not self.exact:
            return
        known = list(self.known.values())
        for ledger in self.ledgers:
            told = self.told(ledger.look(known, self.now))
            for account, standing in zip(known, told, strict=True):
                least, most = self.plain.spent(account, self.now)
                told_of = f"{account.key}: {standing}, {least} to {most}"
                assert standing.held == self.plain.held(account), told_of
                assert least <= standing.spent < most + 1, told_of
                if account.shape == "window":
                    assert standing.lost == self.plain.lost[account.key], told_of
                    assert standing.resets_ms == max(0, (account.ends_ms or 0) - self.now)

    @invariant()
    def holds_are_those_of_the_model(self) -> None:
        for index, ledger in enumerate(self.ledgers):
            mine = [hold for hold in self.plain.holds.values() if hold.process == index]
            assert ledger.open_holds() == len(mine)


def _amounts(account: Account) -> st.SearchStrategy[int]:
    if account.measure in ("requests", "concurrent"):
        return st.just(1)
    return st.one_of(st.just(0), st.integers(1, 60), st.just(account.limit))
