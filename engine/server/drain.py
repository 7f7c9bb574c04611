"""An orderly end: no new work, open requests go on for a while, then all connections are closed.

While it drains, `/readyz` says 503, idle connections are closed and every answer closes its own; requests
that still come over open connections are served. When the time is up, streams end with an error event and
others with 503.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from engine.server.listen import Listener
from engine.server.service import Service

#: Requests that are told to end get this long to say so to their clients.
_LAST_WORDS_S = 1.0


async def drain(
    service: Service, listeners: Sequence[Listener], limit_s: float, hurry: asyncio.Event
) -> bool:
    """End the service within `limit_s`; at once when `hurry` is set. True if nobody was cut off."""
    service.draining = True
    for listener in listeners:
        listener.close_idle(new=False)
    await _until_idle(service, limit_s, hurry)
    left = len(service.open)
    if left:
        service.log.warning("drain_cut", requests=left)
        for departure in list(service.open):
            departure.cancel("draining")
        if not hurry.is_set():
            await _until_idle(service, _LAST_WORDS_S, hurry)
    await asyncio.gather(*(listener.stop() for listener in listeners))
    return left == 0


async def _until_idle(service: Service, limit_s: float, hurry: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    end = loop.time() + limit_s
    while _busy(service) and not hurry.is_set() and loop.time() < end:
        try:
            async with asyncio.timeout(min(0.05, max(0.0, end - loop.time()))):
                await hurry.wait()
        except TimeoutError:
            pass


def _busy(service: Service) -> bool:
    """Somebody is being answered, or still sends a request, which holds its plan; or copies run."""
    return bool(service.open or service.copies() or service.current().users)
