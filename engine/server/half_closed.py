"""Has a client that ended its side of the connection gone, or does it still read?

A FIN means either: `shutdown(SHUT_WR)` leaves the other direction open, `close()` does not, and the two look
alike until something is written. So bytes that mean nothing are written: before an answer the interim
response that every client of HTTP/1.1 must pass over (RFC 9110, 15.2), in a stream of events a comment. A
client that has gone answers with a reset, within one round trip. After a FIN nobody tells us of that reset,
so the socket's state is looked at, often at first.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import Final

BEFORE_ANSWER: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
#: One chunk with a comment of SSE.
BETWEEN_EVENTS: Final = b"3\r\n:\n\n\r\n"

#: Elsewhere a FIN counts as gone, as it does for most servers.
CAN_TELL: Final = sys.platform == "linux"

#: When the state is looked at, in seconds after the bytes. Later, the next write tells.
_LOOKS: Final = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
_CLOSED: Final = 7  # TCP_CLOSE of linux/tcp_states.h


class Asked:
    """A connection whose client was asked. One that is gone is aborted, which tells whoever serves it."""

    __slots__ = ("_began", "_left", "_loop", "_timer", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._began = loop.time()
        self._left = list(_LOOKS)
        self._timer = loop.call_at(self._began + self._left.pop(0), self._look)

    def stop(self) -> None:
        """The connection is closed."""
        self._timer.cancel()

    def _look(self) -> None:
        if self._transport.is_closing():
            return
        if _reset(self._transport):
            self._transport.abort()
        elif self._left:
            self._timer = self._loop.call_at(self._began + self._left.pop(0), self._look)


def _reset(transport: asyncio.Transport) -> bool:
    sock = transport.get_extra_info("socket")
    try:
        state: bytes = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)
    except OSError:
        return True
    return state[0] == _CLOSED
