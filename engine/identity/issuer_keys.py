"""One issuer's keys over time: fetched in the background, again and again, and when a token names a new one.

Nobody waits for a fetch but whose token cannot be judged without it, and those wait together for one. An
issuer that cannot be reached changes nothing for a while (`keep`): the last keys go on working. A token of an
unknown key asks for a fetch at most once in `COOL_S`, so that whoever makes up keys moves nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from engine.identity.fetch import NotFetched
from engine.identity.key_set import KeySet
from engine.observe.log import Log

#: Least time between two fetches that tokens ask for.
COOL_S: Final = 10.0
#: Pauses after a fetch that failed: doubled each time, up to the last.
_AGAIN_S: Final = (1.0, 60.0)

Fetch = Callable[[], Awaitable[KeySet]]


class IssuerKeys:
    """The keys of one issuer. All times are seconds of `now`, a clock that only goes forward.

    fetch: the keys as they are now; raises NotFetched. refresh_s: between two fetches. keep_s: how long keys
    are good that could not be fetched again. changed: told when a key was taken out.
    """

    def __init__(
        self,
        name: str,
        fetch: Fetch,
        *,
        refresh_s: float,
        keep_s: float,
        now: Callable[[], float],
        log: Log,
        changed: Callable[[], None],
    ) -> None:
        self.name = name
        self.refresh_s = refresh_s
        self.keep_s = keep_s
        self.failing: str | None = None
        self.fetched_at: float | None = None
        self._fetch = fetch
        self._now = now
        self._log = log
        self._changed = changed
        self._keys: KeySet | None = None
        self._asked_at = -COOL_S
        self._running: asyncio.Task[None] | None = None
        self._loop: asyncio.Task[None] | None = None

    @property
    def keys(self) -> KeySet | None:
        """Those that are good now. None: there never were any, or the last are too old."""
        if self.fetched_at is None or self._now() - self.fetched_at > self.keep_s:
            return None
        return self._keys

    def start(self) -> None:
        """Fetch in the background from now on."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop().create_task(self._go_on())

    def stop(self) -> None:
        """Begin no more fetches; one that is under way, and who waits for it, comes to its end."""
        if self._loop is not None:
            self._loop.cancel()
            self._loop = None

    async def close(self) -> None:
        """Nobody waits any more."""
        self.stop()
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    def may_ask(self) -> bool:
        """Whether a token of an unknown key gets a fetch: one is under way, or the last is long ago."""
        return self._running is not None or self._now() - self._asked_at >= COOL_S

    async def ask(self) -> None:
        """Wait for a fetch that began after this was asked, or is under way. It may bring nothing new."""
        await asyncio.shield(self._begin())

    def _begin(self) -> asyncio.Task[None]:
        if self._running is None:
            self._asked_at = self._now()
            self._running = asyncio.get_running_loop().create_task(self._take())
        return self._running

    async def _go_on(self) -> None:
        pause = _AGAIN_S[0]
        while True:
            await asyncio.shield(self._begin())
            if self.failing is None:
                pause = _AGAIN_S[0]
                await asyncio.sleep(self.refresh_s)
            else:
                await asyncio.sleep(min(pause, self.refresh_s))
                pause = min(pause * 2, _AGAIN_S[1])

    async def _take(self) -> None:
        """One fetch, to its end. Raises nothing."""
        try:
            found = await self._fetch()
        except NotFetched as why:
            self._failed(str(why))
        except Exception as error:  # noqa: BLE001 - the loop of fetches must not end; the log has the place
            self._log.fault("issuer_fault", error, issuer=self.name)
            self._failed(f"a fault in the engine: {type(error).__name__}")
        else:
            self._taken(found)
        finally:
            self._running = None

    def _taken(self, found: KeySet) -> None:
        before, self._keys, self.fetched_at = self._keys, found, self._now()
        if self.failing is not None:
            self._log.info("issuer_keys_back", issuer=self.name, keys=len(found))
        self.failing = None
        if before is not None and not before.prints <= found.prints:
            self._changed()

    def _failed(self, why: str) -> None:
        if self.failing is None:
            left = None if self.fetched_at is None else self.keep_s - (self._now() - self.fetched_at)
            good = None if left is None else round(max(0.0, left))
            self._log.warning("issuer_keys_not_fetched", issuer=self.name, why=why, good_for_s=good)
        self.failing = why
