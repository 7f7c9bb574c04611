"""A token that is had once for all who need it: fetched by one, waited for by many, renewed before it ends.

A `Lease` holds one token (or one set of keys). While it is good it costs a comparison. In the last fifth of
its life (at most five minutes) the first call that sees it starts a renewal beside the calls, which go on
with the old one; a renewal that fails is tried again after a pause and nobody notices as long as the old one
holds. Without a usable token the first caller fetches, and all others wait for the same fetch. A fetch that
failed is not repeated for a second, so that a burst of calls is one knock at the door.

The fetch is a task of its own: callers that give up do not end it. It has a time limit, and `close` ends it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from engine.upstream.schemes.failed import AuthFailed
from engine.upstream.secrets import SecretMissing

log = logging.getLogger("engine.upstream")

T = TypeVar("T")

Clock = Callable[[], float]

#: A token is renewed in the last part of its life, and not used at its very end: clocks differ, calls travel.
RENEW_SHARE: Final = 0.2
RENEW_MOST_S: Final = 300.0
END_SHARE: Final = 0.05
END_MOST_S: Final = 30.0
#: Pause after a fetch that failed, and after a renewal that did.
FAILED_S: Final = 1.0
RENEW_PAUSE_S: Final = 10.0
#: A token that a vendor refuses is thrown away, unless it is this young: a new one would fare no better.
YOUNG_S: Final = 30.0
#: How long a fetch may take, with all its steps.
FETCH_S: Final = 30.0


@dataclass(frozen=True, slots=True, repr=False)
class Fetched(Generic[T]):
    """A token, and when it ends (seconds since 1970)."""

    value: T
    expires: float

    def __repr__(self) -> str:
        return f"Fetched(***, expires={self.expires:.0f})"


class Lease(Generic[T]):
    """One token. fetch: gets a new one; it raises AuthFailed or SecretMissing.  whose: for the log."""

    def __init__(
        self, fetch: Callable[[], Awaitable[Fetched[T]]], whose: str, clock: Clock = time.time
    ) -> None:
        self._fetch = fetch
        self._whose = whose
        self._clock = clock
        self._held: Fetched[T] | None = None
        self._since = 0.0
        self._renew_at = 0.0
        self._unusable_at = 0.0
        self._task: asyncio.Task[None] | None = None
        self._fault: AuthFailed | SecretMissing | None = None
        self._fault_until = 0.0
        self._closed = False

    def fresh(self) -> bool:
        """Whether a usable token is here. Starts its renewal where that is due. Call it in the event loop."""
        now = self._clock()
        if self._held is None or now >= self._unusable_at:
            return False
        if now >= self._renew_at and self._task is None:
            self._start()
        return True

    def value(self) -> T:
        """The token that is here. Only after `fresh` or `get`."""
        assert self._held is not None
        return self._held.value

    async def get(self) -> T:
        """A usable token. Raises AuthFailed or SecretMissing, the same for all who waited."""
        while not self.fresh():
            if self._fault is not None and self._clock() < self._fault_until:
                raise self._fault.with_traceback(None)
            if self._closed:
                raise AuthFailed("connect", "no token is fetched any more: this upstream is closed")
            if self._task is None:
                self._start()
            assert self._task is not None
            await asyncio.wait([self._task])  # neither hands on a cancellation nor is ended by one
            if self._fault is not None:
                raise self._fault.with_traceback(None)
            if self._held is not None:  # however short its life is
                break
        return self.value()

    def refused(self) -> None:
        """The vendor did not take the token: the next call gets a new one, unless this one is quite new."""
        if self._clock() - self._since >= YOUNG_S:
            self._held = None

    def forget(self) -> None:
        """Throw the token away: it is another credential's now."""
        self._held = self._fault = None
        self._cancel()

    async def close(self) -> None:
        """End a fetch that is under way; there is none after it."""
        self._closed = True
        task = self._task
        self._cancel()
        if task is not None:
            await asyncio.wait([task])

    def _start(self) -> None:
        self._task = asyncio.create_task(self._run(), name=f"token for {self._whose}")

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _run(self) -> None:
        fault: AuthFailed | SecretMissing | None = None
        try:
            async with asyncio.timeout(FETCH_S):
                held = await self._fetch()
            self._keep(held)
        except (AuthFailed, SecretMissing) as error:
            fault = error
        except TimeoutError:
            fault = AuthFailed("timeout", f"no token came within {FETCH_S:.0f} seconds")
        except Exception as error:  # noqa: BLE001  # a fault of ours must not leave those who wait hanging
            log.error("%s: fetching a token broke: %s", self._whose, type(error).__name__)
            fault = AuthFailed("server", "fetching a token broke")
        finally:
            if self._task is asyncio.current_task():
                self._task = None
        self._fault = fault
        if fault is not None:
            self._failed(fault)

    def _keep(self, held: Fetched[T]) -> None:
        now = self._clock()
        life = max(0.0, held.expires - now)
        self._held, self._since = held, now
        self._renew_at = held.expires - min(RENEW_MOST_S, life * RENEW_SHARE)
        self._unusable_at = held.expires - min(END_MOST_S, life * END_SHARE)

    def _failed(self, fault: AuthFailed | SecretMissing) -> None:
        now = self._clock()
        self._fault_until = now + FAILED_S
        if self._held is not None and now < self._unusable_at:
            self._renew_at = now + RENEW_PAUSE_S
            log.warning("%s: renewing the token failed, the old one still serves: %s", self._whose, fault)
        else:
            log.warning("%s: no token: %s", self._whose, fault)
