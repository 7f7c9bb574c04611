"""Time limits over a stretch of awaiting: which of several is next, and that it ends the wait.

Like `asyncio.timeout`, but on our `Clock`, without a coroutine of its own, and cheap to move: a stream pushes
its idle limit away at every event, so moving it later only notes the new moment, and the timer looks again
when it fires. Between events, while the client is being written to, no limit runs.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any

from engine.runtime.clock import Clock, Timer


class LimitReached(Exception):
    """A limit ended the wait. `why` names it: first_token, idle, total, deadline."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Guard:
    """A movable limit. `with guard: await ...` raises `LimitReached` where it is passed.

    Entering again continues with the limits that stand. Only one task may be inside at a time.
    """

    __slots__ = ("_at", "_cancelling", "_clock", "_fired", "_task", "_timer", "_timer_at", "_why")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._at: float | None = None
        self._why = ""
        self._timer: Timer | None = None
        self._timer_at = 0.0
        self._task: asyncio.Task[Any] | None = None
        self._cancelling = 0
        self._fired = False

    def limit(self, at: float | None, why: str) -> None:
        """The wait may last until `at` on the clock; None = for ever."""
        self._at = at
        self._why = why
        if self._task is not None:
            self._watch()

    def __enter__(self) -> Guard:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a limit needs a task to end")
        self._task = task
        self._cancelling = task.cancelling()
        self._watch()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task, self._task = self._task, None
        if self._fired:
            self._fired = False
            assert task is not None
            # Somebody else may have cancelled too: then it is theirs, and goes on up.
            if task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
                raise LimitReached(self._why) from error

    def close(self) -> None:
        """No limit any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _watch(self) -> None:
        at = self._at
        if at is None or (self._timer is not None and self._timer_at <= at):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        self._timer = self._clock.timer(max(0.0, at - self._clock.now_ms()), self._look)

    def _look(self) -> None:
        """The timer fired: the limit has come, was moved away, or nobody is waiting now."""
        self._timer = None
        if self._task is None or self._at is None:
            return
        # Timers may fire a clock tick early.
        if self._clock.now_ms() < self._at - 1.0:
            self._watch()
            return
        self._fired = True
        self._task.cancel()
