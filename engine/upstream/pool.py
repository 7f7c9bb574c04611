"""The connections to one origin: those in use, and those kept for the next call.

The one used last is taken first, so that what a burst has opened grows old and goes. A kept connection is
looked at before it serves again: a call written to one that the other side has closed would fail.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from engine.upstream.h1 import Connection

#: Idle connections are kept this long; a vendor's load balancer closes after 60 s or more.
KEEP_ALIVE_S: Final = 55.0
#: Idle connections kept for one origin.
IDLE_CAP: Final = 512


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a connection goes."""

    host: str
    port: int
    tls: bool


class Pool:
    """An `h1.Owner`. Made on the loop that its connections live on."""

    def __init__(self, origin: Origin, loop: asyncio.AbstractEventLoop) -> None:
        self.origin = origin
        self.closed = False
        self._loop = loop
        self._open: set[Connection] = set()
        self._idle: list[Connection] = []  # the longest idle first
        self._sweep: asyncio.TimerHandle | None = None

    @property
    def open(self) -> int:
        """Connections with a socket, idle or not."""
        return len(self._open)

    def take(self) -> Connection | None:
        """An idle connection to write to. Nothing may be awaited before that."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.usable:
                continue
            if self._loop.time() - connection.idle_since <= KEEP_ALIVE_S and connection.quiet():
                return connection
            connection.abort()
        return None

    def close(self) -> None:
        """Close all connections, also those in use and those that are yet to come."""
        self.closed = True
        self._idle.clear()
        for connection in tuple(self._open):
            connection.abort()
        if self._sweep is not None:
            self._sweep.cancel()

    # --- what connections tell

    def opened(self, connection: Connection) -> None:
        self._open.add(connection)
        if self.closed:
            connection.abort()

    def freed(self, connection: Connection) -> None:
        if self.closed or len(self._idle) >= IDLE_CAP:
            connection.abort()
            return
        connection.idle_since = self._loop.time()
        self._idle.append(connection)
        if self._sweep is None:
            self._sweep = self._loop.call_later(KEEP_ALIVE_S, self._expire)

    def lost(self, connection: Connection) -> None:
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def _expire(self) -> None:
        """Close what has been idle for too long."""
        now = self._loop.time()
        while self._idle and now - self._idle[0].idle_since >= KEEP_ALIVE_S:
            self._idle.pop(0).abort()
        self._sweep = None
        if self._idle:
            left = self._idle[0].idle_since + KEEP_ALIVE_S - now
            self._sweep = self._loop.call_later(left, self._expire)
