"""This process's part of one account: what it may still hand out, what calls hold, what they used.

No I/O. `work` puts into one script call all that this process has to say, in absolute figures, and `took`
takes in the answer; between the two what is free, held or used may only turn into one another. What the store
counts as this process's slice is therefore never less than `free + held` and what was used since.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from engine.policies.rolling import SLOTS
from engine.state.ledger import Account, Standing
from engine.state.ledger_accounts import counter_of
from engine.state.redis.generation import BACK
from engine.state.redis.scripts import ACCOUNT, Work

#: An owner that says nothing for so long counts as dead, in ms: its slices as used, its places as free.
TTL_MS: Final = 10_000
#: A slice beyond what is needed now is at most one in so many parts of what is left.
PARTS: Final = 16
#: How long what was counted in a window is kept after its end, for what is settled late, in ms.
LATE_MS: Final = 3_600_000

#: All accounts, by when they are over: to find them.
ACCOUNTS: Final = "engine:accounts"

#: Of an answer.
_FIELDS: Final = 9


@dataclass(frozen=True, slots=True)
class View:
    """What the store said last, of all processes together, in the account's unit."""

    used: int
    out: int
    held: int
    lost: int
    free: int
    asked: bool
    retry_ms: int | None


def key_of(account_key: str, shape: str) -> str:
    """An account's key: with a hash tag, in which no brace of its name stands; long names by a digest."""
    tag = re.sub(r"[%{}\s]", lambda found: "".join(f"%{b:02X}" for b in found[0].encode()), account_key)
    if len(tag) > 200:
        tag = f"{tag[:120]}~{hashlib.sha256(account_key.encode('utf-8', 'surrogatepass')).hexdigest()}"
    tag = tag.encode("utf-8", "backslashreplace").decode()
    return f"engine:{{{tag}}}:{shape}"


def shape_of(account: Account) -> str:
    """What tells ways of counting apart in keys: slots of another period are other slots."""
    return f"rolling-{account.period_ms}" if account.shape == "rolling" else account.shape


def look_work(account: Account, now_ms: int | None = None) -> Work:
    """A call that asks how an account stands and changes nothing."""
    return _call(account, "look", "", ["0", "0", "0", "0", "0"], "{}", "", 0, now_ms)


def restore_work(account: Account, owner: str, spent: str, holds: int, now_ms: int | None = None) -> Work:
    """A call that says what an owner of the past used at least, and held."""
    return _call(account, "restore", owner, ["0", holds, "0", "0", "0"], spent, about(account), 0, now_ms)


def _call(
    account: Account, mode: str, owner: str, said: Sequence[str | int], spent: str, told: str, carried: int,
    now_ms: int | None,
) -> Work:  # fmt: skip
    ends = 0 if account.ends_ms is None else account.ends_ms + LATE_MS
    return Work(
        ACCOUNT,
        (key_of(account.key, shape_of(account)),),
        (mode, account.shape, owner, *said, account.limit, account.period_ms, account.burst, TTL_MS, ends,
         PARTS, spent, told, carried, slot_ms(account), BACK, account.key, "" if now_ms is None else now_ms),
    )  # fmt: skip


def view_of(answer: Sequence[int]) -> View:
    """What an account's script gives, but for what was granted. Raises ValueError on anything else."""
    if len(answer) != _FIELDS:
        raise ValueError("the call was older than another one")
    _, used, out, held, lost, free, asked, retry, _ = answer
    return View(used, out, held, lost, free, bool(asked), retry if retry >= 0 else None)


def about(account: Account) -> str:
    return json.dumps(asdict(account), separators=(",", ":"))


def account_of(text: str | bytes) -> Account | None:
    """What `about` wrote; None where it was not."""
    try:
        data = json.loads(text)
        return Account(**{field.name: data[field.name] for field in fields(Account)})
    except (ValueError, TypeError, KeyError):
        return None


def slot_ms(account: Account) -> int:
    return max(1, account.period_ms // SLOTS)


class Slice:
    """One account in this process. `owner`: the name under which this process is known for it."""

    __slots__ = (
        "account", "ahead", "asked_at", "at_start", "busy", "carried", "epoch", "free", "held", "idle",
        "indexed", "key", "left", "loan", "owner", "refused", "sent", "seq", "spent", "tight", "told",
        "told_at", "told_g", "told_h", "view", "view_at", "waiting", "wanted",
    )  # fmt: skip

    def __init__(self, account: Account, owner: str, seq: int) -> None:
        self.account = account
        self.key = key_of(account.key, shape_of(account))
        self.owner = owner
        self.seq = seq
        self.at_start = account.measure == "requests" and account.shape in ("rolling", "bucket")
        self.free = self.held = self.epoch = 0
        self.spent: dict[int, int] = {}
        self.told: dict[int, int] = {}
        self.told_g = self.told_h = 0
        self.told_at = -1.0
        self.view: View | None = None
        self.view_at = -1.0
        self.sent: tuple[dict[int, int], int, int, int, int] | None = None
        self.busy = False
        self.waiting = 0  # amounts that are waited for
        self.wanted: list[Any] = []  # who waits, the first first
        self.ahead = 0
        self.asked_at = -1.0
        self.tight = -1.0  # until then everybody's slices are asked back
        self.refused: tuple[float, int] = (-1.0, 0)
        self.idle = 0  # beats since it was used
        self.indexed = False  # it is found by who asks for all accounts
        self.left = 0  # the beat at which it was last in use
        self.loan = None if account.share <= 0 else Loan(account)
        self.carried: int | None = None if account.was is not None else 0

    # --- what calls do ----------------------------------------------------------------------------------

    def take(self, amount: int, now_ms: int) -> None:
        """Hold an amount that is free."""
        self.idle = 0
        self.free -= amount
        if self.at_start:
            self._use(amount, now_ms)
        else:
            self.held += amount

    def close(self, held: int, used: int, taken_ms: int, now_ms: int) -> None:
        """Of what was taken then, this much was used."""
        self.idle = 0
        if self.account.shape == "places":
            self.held -= held
            self.free += held
        elif not self.at_start:
            self.held -= held
            self.free += held - used
            self._use(used, now_ms)
        elif used > held:
            self.free -= used - held
            self._use(used - held, now_ms)
        elif used < held:
            self._back(held - used, taken_ms, now_ms)

    def _use(self, amount: int, now_ms: int) -> None:
        if amount:
            slot = self.slot(now_ms)
            self.spent[slot] = self.spent.get(slot, 0) + amount

    def _back(self, amount: int, taken_ms: int, now_ms: int) -> None:
        """What was used at the start was not, after all: as far as it has not come free by itself since."""
        slot, account = self.slot(taken_ms), self.account
        if account.shape == "bucket":
            amount -= min(amount, account.limit * max(0, now_ms - taken_ms) // max(1, account.period_ms))
        gone = min(amount, self.spent.get(slot, 0))
        if gone > 0:
            self.spent[slot] -= gone
            self.free += gone

    def slot(self, now_ms: int) -> int:
        """Where what is used now counts; of a bucket, which of its lives that is."""
        return now_ms // slot_ms(self.account) if self.account.shape == "rolling" else self.epoch

    def lend(self, lack: int, now_ms: int) -> bool:
        """While the store is away: so much more from this process's own share, unless all was used before."""
        view = self.view
        known = 0 if view is None or self.account.shape != "window" else view.used + self._since()
        if known and known + self.held + lack > self.account.limit:
            return False
        if self.loan is None or not self.loan.lend(lack, now_ms):
            return False
        self.free += lack
        return True

    # --- what is said to the store ----------------------------------------------------------------------

    def dirty(self, now: float) -> bool:
        """Whether there is something to say; a slice is confirmed a few times in its time to live."""
        holds = self.held + max(0, self.free)
        if holds != self.told_g or self.held != self.told_h or self.spent != self.told:
            return True
        if self.carried and self.told_at <= 0:
            return True
        return holds > 0 and now - self.told_at > TTL_MS / 4000

    def work(self, need: int, want: int, give: bool, now_ms: int | None = None) -> Work:
        """One call with all that there is to say. give: nothing is kept that is not held.

        What was used beyond what was free is a debt; it is settled by this call, as the store's count of
        what was used holds it.
        """
        self.busy = True
        debt = max(0, -self.free)
        if give and self.free > 0:
            self.free = 0
        self.seq += 1
        news = {slot: used for slot, used in self.spent.items() if self.told.get(slot) != used}
        holds = self.held + max(0, self.free)
        self.sent = (news, holds, self.held, debt, self.free)
        spent = json.dumps({str(slot): str(used) for slot, used in news.items()})
        told = "" if self.told_at >= 0 else about(self.account)
        return _call(
            self.account, "work", self.owner, [self.seq, holds, self.held, need, want], spent, told,
            self.carried or 0, now_ms,
        )  # fmt: skip

    def took(self, answer: Sequence[int], now: float) -> int:
        """Take in what the store answered; what it granted. Raises ValueError where it took nothing in."""
        if self.sent is None:
            raise ValueError("the call was older than a loss of the store")
        view = view_of(answer)
        news, holds, held, debt, _ = self.sent
        granted = answer[0]
        self.told.update(news)
        self.told_g, self.told_h = holds + granted, held
        self.free += granted + debt
        self.view, self.view_at, self.told_at = view, now, now
        self.sent, self.busy = None, False
        if view.free > 0 and self.loan is not None:
            self.loan.paid()
        return granted

    def failed(self) -> None:
        """The call came to nothing, or nobody knows: the next one says everything again."""
        self.sent, self.busy = None, False
        self.told_at = min(self.told_at, 0.0)
        self.told_g = -1  # never what there is to say

    def forget(self) -> None:
        """The store may have lost what it was told. A bucket that was lost is full, so that of it only what
        was never told counts on, under a number of its own.
        """
        if self.account.shape == "bucket":
            self.spent, self.epoch = {self.epoch + 1: self._since()}, self.epoch + 1
        self.told = {}
        self.told_g = self.told_h = 0
        self.told_at = -1.0
        self.view = None
        self.indexed = False
        self.sent = None  # what is on its way was said before the loss

    def prune(self, now_ms: int) -> None:
        """Let go of what has aged out of a rolling account."""
        if self.account.shape != "rolling" or len(self.spent) <= SLOTS + 2:
            return
        oldest = (now_ms - self.account.period_ms) // slot_ms(self.account) - 1
        for slot in [slot for slot in self.spent if slot < oldest]:
            del self.spent[slot]
            self.told.pop(slot, None)

    # --- what is told -----------------------------------------------------------------------------------

    def standing(self, now_ms: int) -> Standing:
        """As well as this process knows: what the store said last, and what was done here since."""
        return standing(self.account, self.view or NOTHING, now_ms, self._since(), self.held - self.told_h)

    def _since(self) -> int:
        return sum(self.spent.values()) - sum(self.told.values())


NOTHING: Final = View(0, 0, 0, 0, 0, False, None)


def standing(account: Account, view: View, now_ms: int, used: int = 0, held: int = 0) -> Standing:
    """An account by what the store says of it, and what was used and held since."""
    limit, spent = account.limit, view.used + used
    held = max(0, view.held + held)
    resets = None if account.ends_ms is None else max(0, account.ends_ms - now_ms)
    if account.shape == "bucket":
        limit = account.burst
        spent = max(0, account.burst - view.free - view.out + used) if view is not NOTHING else used
        resets = -(-spent * account.period_ms // account.limit) if spent and account.limit > 0 else None
    elif account.shape == "places":
        spent = 0
    return Standing(limit, spent, held, view.lost, max(0, limit - spent - held), resets)


class Loan:
    """What a process may use by itself while the store is away: `Account.share`, counted as the account is.

    Of a window once, and again when the store has been back and had room; of rolling accounts and buckets so
    much per period; of places so many at a time.
    """

    def __init__(self, account: Account) -> None:
        self._account = Account(
            account.key, account.measure, account.shape, account.share, account.ends_ms, account.period_ms,
            min(account.share, account.burst or account.share),
        )  # fmt: skip
        self._counter = counter_of(self._account)

    def lend(self, amount: int, now_ms: int) -> bool:
        if not self._counter.fits(amount, now_ms):
            return False
        self._counter.take(amount, now_ms)
        if self._account.shape != "places":
            self._counter.close(amount, amount, now_ms, now_ms)
        return True

    def paid(self) -> None:
        """The store is back, knows of it, and had room."""
        if self._account.shape in ("window", "places"):
            self._counter = counter_of(self._account)
