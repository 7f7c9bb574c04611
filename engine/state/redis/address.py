"""Where a Redis or Valkey is: `redis://HOST:PORT/0`, `rediss://` for TLS, `redis+unix:///PATH` for a socket.

Several `HOST:PORT`, separated by commas, are tried in turn, so that a replica that was promoted is found. A
password never stands in an address.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_NETWORK = re.compile(r"(rediss?)://([^/@\s]+)(?:/([0-9]+))?")
_SOCKET = re.compile(r"redis\+unix://(/[^?@\s]*)(?:\?db=([0-9]+))?")
_PLACE = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:,\[\]]+)(?::([0-9]{1,5}))?")

PORT = 6379


@dataclass(frozen=True, slots=True)
class Place:
    """One server. `path`: of its socket; then host and port mean nothing."""

    host: str = ""
    port: int = PORT
    path: str | None = None

    def __str__(self) -> str:
        return self.path or (f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}")


@dataclass(frozen=True, slots=True)
class Address:
    """All servers that may be the one to ask, and what is said to each."""

    places: tuple[Place, ...]
    database: int = 0
    tls: bool = False

    def __str__(self) -> str:
        if self.places[0].path is not None:
            return f"redis+unix://{self.places[0].path}?db={self.database}"
        places = ",".join(map(str, self.places))
        return f"{'rediss' if self.tls else 'redis'}://{places}/{self.database}"


def parse(text: str) -> Address:
    """Read an address. Raises ValueError, which never repeats the text: it might hold a password."""
    socket = _SOCKET.fullmatch(text)
    if socket is not None:
        return Address((Place(path=socket[1]),), int(socket[2] or 0))
    network = _NETWORK.fullmatch(text)
    if network is None:
        raise ValueError("write redis://HOST:PORT/0, rediss:// for TLS, or redis+unix:///PATH")
    return Address(tuple(map(_place, network[2].split(","))), int(network[3] or 0), network[1] == "rediss")


def _place(text: str) -> Place:
    found = _PLACE.fullmatch(text)
    port = PORT if found is None or found[2] is None else int(found[2])
    if found is None or not 0 < port < 65_536:
        raise ValueError("a server is HOST:PORT, several are separated by commas")
    return Place(found[1].strip("[]"), port)
