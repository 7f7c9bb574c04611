"""Ports for servers that have to be known before they listen, or that nobody may listen at.

The kernel gives whoever connects, or listens at port 0, one of its own range; a port from there that was
closed a moment ago may be anybody's the next. These are from below it.
"""

from __future__ import annotations

import random
import socket

#: Below what Linux (32768), macOS and Windows (49152) give away, above what services use.
_OURS = range(18_000, 32_000)


def free_port() -> int:
    """A port on loopback at which nobody listens, and nobody will by chance."""
    for port in random.SystemRandom().sample(_OURS, 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("a hundred ports on loopback are all taken")
