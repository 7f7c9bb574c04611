"""Draws slices: one call at a time for each account, and whoever waits for room waits for that call.

Where the store has no room but other processes hold slices, they are asked back (the script publishes that),
and the call is made again after 4, 8, 16, 32 and 40 ms: so within about 100 ms what nobody holds is found,
wherever it lies. Only then is a caller refused, and for the next 100 ms the same amount is refused at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from engine.state.ledger import Account, Refused
from engine.state.redis.connection import Away
from engine.state.redis.link import Link
from engine.state.redis.slice import Slice

#: Pauses between calls while slices are asked back, in seconds.
PAUSES: Final = (0.004, 0.008, 0.016, 0.032, 0.04)
#: How long an amount that was refused is refused without asking, in seconds.
REFUSED: Final = 0.1
#: How long after slices were asked back everybody gives back at once what it does not hold, in seconds.
TIGHT: Final = 1.0
#: How long from one draw to the next makes a slice grow, in seconds.
_QUICK: Final = 0.25
#: When a store that is away may be asked again, in ms, as clients are told.
STORE_RETRY_MS: Final = 1_000

Answer = asyncio.Future[Refused | None]


class Waiter:
    """Who waits for an amount of one account. done: None: it is held."""

    __slots__ = ("amount", "done", "now_ms", "slice")

    def __init__(self, slice: Slice, amount: int, now_ms: int, done: Answer) -> None:
        self.slice, self.amount, self.now_ms, self.done = slice, amount, now_ms, done


class Draws:
    """All draws of one process. clock: the wall's time for the scripts, None: the server's own."""

    def __init__(self, link: Link, clock: Callable[[], int | None]) -> None:
        self._link = link
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loose: set[Slice] = set()  # to give back soon
        self.draws = 0
        self.lent = 0
        self.stopped = False

    # --- before a call ----------------------------------------------------------------------------------

    def away_ms(self) -> int | None:
        """When the store may be asked again; None: now."""
        if not self._link.up:
            return STORE_RETRY_MS
        return self._link.settling_ms() or None

    def refuses(self, slice: Slice, amount: int) -> Refused | None:
        """What it was refused with a moment ago."""
        until, least, _ = slice.refused
        if amount >= least and self._loop.time() < until:
            return self._refused(slice, amount)
        return None

    def alone(self, slice: Slice, amount: int, now_ms: int, retry_ms: int) -> Refused | None:
        """Without the store: from this process's own share, where the account may; None: there is room now."""
        lack = amount - slice.free
        if lack > 0:
            if slice.account.on_state_loss != "local_share" or not slice.lend(lack, now_ms):
                stands = slice.standing(now_ms)
                return Refused(slice.account, "store", stands.used, retry_ms)
            self.lent += lack
        return None

    def wait(self, slice: Slice, amount: int, now_ms: int) -> Waiter:
        """Have an amount held, now or when there is room for it."""
        waiter = Waiter(slice, amount, now_ms, self._loop.create_future())
        slice.waiting += amount
        slice.wanted.append(waiter)
        if not slice.busy:
            self._start(slice)
        return waiter

    def leave(self, waiter: Waiter) -> None:
        """Nobody waits for it any more; what was held for it is free again."""
        slice = waiter.slice
        if not waiter.done.done():
            waiter.done.cancel()
            slice.waiting -= waiter.amount
            slice.wanted.remove(waiter)
        elif not waiter.done.cancelled() and waiter.done.result() is None:
            slice.close(waiter.amount, 0, waiter.now_ms, waiter.now_ms)
            self.loosen(slice)

    def top_up(self, slice: Slice) -> None:
        """Draw ahead, so that nobody has to wait."""
        if not slice.busy and self.away_ms() is None:
            self._start(slice)

    # --- giving back ------------------------------------------------------------------------------------

    def asked_back(self, slice: Slice) -> None:
        """Somebody needs what nobody holds."""
        slice.tight = self._loop.time() + TIGHT
        slice.ahead = 0
        self.loosen(slice, 0.0)

    def loosen(self, slice: Slice, after: float = 0.005) -> None:
        """While an account is tight: what is free goes back soon."""
        if slice.tight < 0 or slice.free <= 0 or self.stopped:
            return
        if slice.tight < self._loop.time():
            slice.tight = -1.0
            return
        if not self._loose:
            self._loop.call_later(after, self._give)
        self._loose.add(slice)

    def _give(self) -> None:
        loose, self._loose = self._loose, set()
        for slice in loose:
            if slice.free > 0 and not slice.wanted and not slice.busy and not self.stopped:
                self._spawn(self._report(slice))

    async def _report(self, slice: Slice) -> None:
        if slice.busy:
            return
        try:
            await self._say(slice, 0, 0, give=not slice.wanted)
        except Away:
            return  # said again by the next beat
        self.after(slice)

    def after(self, slice: Slice) -> None:
        """A call is over that was no draw: who began to wait meanwhile is served, what came free goes back."""
        if slice.wanted and not slice.busy:
            self._start(slice)
        else:
            self.loosen(slice)

    # --- one draw ---------------------------------------------------------------------------------------

    def _start(self, slice: Slice) -> None:
        slice.busy = True
        self._spawn(self._draw(slice))

    def _spawn(self, work: object) -> None:
        task = self._loop.create_task(work, name="state-draw")  # type: ignore[arg-type]  # one of two coroutines
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _draw(self, slice: Slice) -> None:
        asked = 0
        try:
            while True:
                self._serve(slice)
                retry = self.away_ms()
                if retry is not None:
                    self._lone(slice, retry)
                    return
                need, want = self._wants(slice)
                if want <= 0:
                    return
                self.draws += 1
                granted = await self._say(slice, need, want)
                slice.busy = True
                slice.ahead = min(slice.ahead, granted) if granted < want else slice.ahead
                self._serve(slice)
                if not slice.wanted:
                    return
                if granted == 0:
                    if slice.view is None or not slice.view.asked or asked == len(PAUSES):
                        self._refuse_all(slice)
                        return
                    await asyncio.sleep(PAUSES[asked])
                    asked += 1
        except Away:
            self._lone(slice, self.away_ms() or STORE_RETRY_MS)
        finally:
            slice.busy = False
            if slice.wanted and not self.stopped:
                self._start(slice)

    def _wants(self, slice: Slice) -> tuple[int, int]:
        """The least that helps somebody, and what would be good to have."""
        now = self._loop.time()
        if not slice.wanted:
            return 0, slice.ahead - slice.free
        amounts = [waiter.amount for waiter in slice.wanted]
        if now < slice.tight:
            slice.ahead = 0
        elif now - slice.asked_at < _QUICK:
            slice.ahead = min(max(slice.ahead * 2, amounts[0] * 4), slice.account.limit)
        else:
            slice.ahead = amounts[0] * 4
        slice.asked_at = now
        free = max(0, slice.free)
        return max(1, min(amounts) - free), max(1, sum(amounts) - free + slice.ahead)

    async def _say(self, slice: Slice, need: int, want: int, give: bool = False) -> int:
        """One call; what it granted. Raises Away."""
        work = slice.work(need, want, give, self._clock())
        try:
            answer = (await self._link.run([work]))[0]
            return slice.took(answer, self._loop.time())
        except ValueError as error:
            slice.failed()
            raise Away(str(error)) from error
        except BaseException:
            slice.failed()
            raise

    def _serve(self, slice: Slice) -> None:
        for waiter in list(slice.wanted):
            if waiter.amount <= slice.free:
                slice.take(waiter.amount, waiter.now_ms)
                self._answer(waiter, None)

    def _lone(self, slice: Slice, retry_ms: int) -> None:
        for waiter in list(slice.wanted):
            refused = self.alone(slice, waiter.amount, waiter.now_ms, retry_ms)
            if refused is None:
                slice.take(waiter.amount, waiter.now_ms)
            self._answer(waiter, refused)

    def _refuse_all(self, slice: Slice) -> None:
        least = min(waiter.amount for waiter in slice.wanted)
        retry = slice.view.retry_ms if slice.view is not None else None
        seconds = REFUSED if retry is None else min(REFUSED, retry / 1000)
        slice.refused = (self._loop.time() + seconds, least, slice.view)
        for waiter in list(slice.wanted):
            self._answer(waiter, self._refused(slice, waiter.amount, waiter.now_ms))

    def _answer(self, waiter: Waiter, answer: Refused | None) -> None:
        waiter.slice.waiting -= waiter.amount
        waiter.slice.wanted.remove(waiter)
        waiter.done.set_result(answer)

    def _refused(self, slice: Slice, amount: int, now_ms: int | None = None) -> Refused:
        account, view = slice.account, slice.view
        stands = slice.standing(now_ms if now_ms is not None else 0)
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


def _ends(account: Account, amount: int, now_ms: int | None) -> int | None:
    if account.ends_ms is None or now_ms is None or amount > account.limit:
        return None
    return max(0, account.ends_ms - now_ms)
