"""Draws slices: one call at a time for each account, and whoever waits for room waits for that call.

Where the store has no room but other processes hold slices, they are asked back (the script publishes that),
and the call is made again after 4, 8, 16, 32 and 40 ms: so within about 100 ms what nobody holds is found,
wherever it lies. Only then is a caller refused, and for the next 100 ms the same amount is refused at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Final

from engine.state.ledger import Account, Refused
from engine.state.redis.connection import Away
from engine.state.redis.shards import RETRY_MS, Shards
from engine.state.redis.slice import Slice, look_work, view_of

#: Pauses between calls while slices are asked back, in seconds.
PAUSES: Final = (0.004, 0.008, 0.016, 0.032, 0.04)
#: How long an amount that was refused is refused without asking, in seconds.
REFUSED: Final = 0.1
#: How long after slices were asked back everybody gives back at once what it does not hold, in seconds.
TIGHT: Final = 1.0
#: How long from one draw to the next makes a slice grow, in seconds.
_QUICK: Final = 0.25

Answer = asyncio.Future[Refused | None]


class Waiter:
    """Who waits for an amount of one account. done: None: it is held."""

    __slots__ = ("amount", "done", "now_ms", "part")

    def __init__(self, part: Slice, amount: int, now_ms: int, done: Answer) -> None:
        self.part, self.amount, self.now_ms, self.done = part, amount, now_ms, done


class Draws:
    """All draws of one process. clock: the wall's time for the scripts, None: the server's own."""

    def __init__(self, link: Shards, clock: Callable[[], int | None]) -> None:
        self._link = link
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loose: set[Slice] = set()  # to give back soon
        self.draws = 0
        self.lent = 0
        self.stopped = False

    # --- before a call ----------------------------------------------------------------------------------

    def away_ms(self, part: Slice) -> int | None:
        """When the store may be asked again; None: now."""
        return self._link.away_ms(part.key)

    def refuses(self, part: Slice, amount: int, now_ms: int) -> Refused | None:
        """As it was refused a moment ago."""
        until, least = part.refused
        if amount >= least and self._loop.time() < until:
            return self._refused(part, amount, now_ms)
        return None

    def alone(self, part: Slice, amount: int, now_ms: int, retry_ms: int) -> Refused | None:
        """Without the store: from this process's own share, where it may; None: there is room now."""
        lack = amount - part.free
        if lack > 0:
            if part.account.on_state_loss != "local_share" or not part.lend(lack, now_ms):
                stands = part.standing(now_ms)
                return Refused(part.account, "store", stands.used, retry_ms)
            self.lent += lack
        return None

    def wait(self, part: Slice, amount: int, now_ms: int) -> Waiter:
        """Have an amount held, now or when there is room for it."""
        waiter = Waiter(part, amount, now_ms, self._loop.create_future())
        if not amount or amount <= part.free - part.waiting:
            part.take(amount, now_ms)
            waiter.done.set_result(None)
            return waiter
        part.waiting += amount
        part.wanted.append(waiter)
        if not part.busy:
            self._start(part)
        return waiter

    def leave(self, waiter: Waiter) -> None:
        """Nobody waits for it any more; what was held for it is free again."""
        part, done = waiter.part, waiter.done
        if waiter in part.wanted:
            part.waiting -= waiter.amount
            part.wanted.remove(waiter)
            done.cancel()
        elif not done.cancelled() and done.result() is None:
            part.close(waiter.amount, 0, waiter.now_ms, waiter.now_ms)
            self.loosen(part)

    def top_up(self, part: Slice) -> None:
        """Draw ahead, so that nobody has to wait."""
        if not part.busy and self.away_ms(part) is None:
            self._start(part)

    # --- giving back ------------------------------------------------------------------------------------

    def asked_back(self, part: Slice) -> None:
        """Somebody needs what nobody holds."""
        part.tight = self._loop.time() + TIGHT
        part.ahead = 0
        self.loosen(part, 0.0)

    def loosen(self, part: Slice, after: float = 0.005) -> None:
        """While an account is tight: what is free goes back soon."""
        if part.tight < 0 or part.free <= 0 or self.stopped:
            return
        if part.tight < self._loop.time():
            part.tight = -1.0
            return
        if not self._loose:
            self._loop.call_later(after, self._give)
        self._loose.add(part)

    def owe(self, part: Slice) -> None:
        """More was used than there was: the others must know before they use it too."""
        if not part.busy and not self.stopped and self.away_ms(part) is None:
            self._spawn(self._report(part))

    def _give(self) -> None:
        loose, self._loose = self._loose, set()
        for part in loose:
            if part.free > 0 and not part.wanted and not part.busy and not self.stopped:
                self._spawn(self._report(part))

    async def _report(self, part: Slice) -> None:
        if part.busy:
            return
        try:
            await self._say(part, 0, 0, give=not part.wanted)
        except Away:
            return  # said again by the next beat
        self.after(part)

    def after(self, part: Slice) -> None:
        """A call is over that was no draw: who waits since is served, what came free goes back."""
        if part.wanted and not part.busy:
            self._start(part)
        else:
            self.loosen(part)

    # --- one draw ---------------------------------------------------------------------------------------

    def _start(self, part: Slice) -> None:
        part.busy = True
        self._spawn(self._draw(part))

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(work, name="state-draw")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _draw(self, part: Slice) -> None:
        asked = 0
        try:
            while True:
                self._serve(part)
                retry = self.away_ms(part)
                if retry is not None:
                    self._lone(part, retry)
                    return
                if part.carried is None:
                    await carry(self._link, [part], self._clock())
                need, want = self._wants(part)
                if want <= 0:
                    return
                self.draws += 1
                granted = await self._say(part, need, want)
                part.busy = True
                part.ahead = min(part.ahead, granted) if granted < want else part.ahead
                self._serve(part)
                if not part.wanted:
                    return
                if granted == 0:
                    if part.view is None or not part.view.asked or asked == len(PAUSES):
                        self._refuse_all(part)
                        return
                    await asyncio.sleep(PAUSES[asked])
                    asked += 1
        except Away:
            self._lone(part, self.away_ms(part) or RETRY_MS)
        finally:
            part.busy = False
            if part.wanted and not self.stopped:
                self._start(part)

    def _wants(self, part: Slice) -> tuple[int, int]:
        """The least that helps somebody, and what would be good to have."""
        now = self._loop.time()
        if not part.wanted:
            return 0, part.ahead - part.free
        amounts = [waiter.amount for waiter in part.wanted]
        if now < part.tight:
            part.ahead = 0
        elif now - part.asked_at < _QUICK:
            part.ahead = min(max(part.ahead * 2, amounts[0] * 4), part.account.limit)
        else:
            part.ahead = amounts[0] * 4
        part.asked_at = now
        free = max(0, part.free)
        return max(1, min(amounts) - free), max(1, sum(amounts) - free + part.ahead)

    async def _say(self, part: Slice, need: int, want: int, give: bool = False) -> int:
        """One call; what it granted. Raises Away."""
        work = part.work(need, want, give, self._clock())
        try:
            answer = (await self._link.run([work]))[0]
            return part.took(answer, self._loop.time())
        except ValueError as error:
            part.failed()
            raise Away(str(error)) from error
        except BaseException:
            part.failed()
            raise

    def _serve(self, part: Slice) -> None:
        for waiter in _waiting(part):
            if waiter.amount <= part.free:
                part.take(waiter.amount, waiter.now_ms)
                self._answer(waiter, None)

    def _lone(self, part: Slice, retry_ms: int) -> None:
        for waiter in _waiting(part):
            refused = self.alone(part, waiter.amount, waiter.now_ms, retry_ms)
            if refused is None:
                part.take(waiter.amount, waiter.now_ms)
            self._answer(waiter, refused)

    def _refuse_all(self, part: Slice) -> None:
        least = min(waiter.amount for waiter in part.wanted)
        retry = part.view.retry_ms if part.view is not None else None
        seconds = REFUSED if retry is None else min(REFUSED, retry / 1000)
        part.refused = (self._loop.time() + seconds, least)
        for waiter in _waiting(part):
            self._answer(waiter, self._refused(part, waiter.amount, waiter.now_ms))

    def _answer(self, waiter: Waiter, answer: Refused | None) -> None:
        waiter.part.waiting -= waiter.amount
        waiter.part.wanted.remove(waiter)
        waiter.done.set_result(answer)

    def _refused(self, part: Slice, amount: int, now_ms: int) -> Refused:
        account, view = part.account, part.view
        stands = part.standing(now_ms)
        retry = None if view is None else view.retry_ms
        if account.shape == "window":
            retry = _ends(account, amount, now_ms)
        elif amount > (account.burst if account.shape == "bucket" else account.limit):
            retry = None
        return Refused(account, "spent", stands.used, retry)

    async def close(self) -> None:
        """No more draws."""
        self.stopped = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _waiting(part: Slice) -> list[Waiter]:
    """Who still waits: one that was cancelled leaves as soon as it runs."""
    return [waiter for waiter in part.wanted if not waiter.done.done()]


def _ends(account: Account, amount: int, now_ms: int) -> int | None:
    if account.ends_ms is None or amount > account.limit:
        return None
    return max(0, account.ends_ms - now_ms)


async def carry(link: Shards, parts: Sequence[Slice], now_ms: int | None) -> None:
    """Take in what stands under the old names of these accounts. Raises Away, the others being taken in."""
    olds = [(part, part.account.was) for part in parts if part.account.was is not None]
    if not olds:
        return
    works = [look_work(replace(part.account, key=was), now_ms) for part, was in olds]
    answers = await link.run_each(works)
    for (part, _), answer in zip(olds, answers, strict=True):
        if isinstance(answer, Away):
            continue
        view = view_of(answer)
        if view.used + view.held > (part.carried or 0):
            part.told_at = min(part.told_at, 0.0)
        part.carried = max(part.carried or 0, view.used + view.held)
    for answer in answers:
        if isinstance(answer, Away):
            raise answer
