"""Where a Redis or Valkey is, and where the password for it is read.

    redis://HOST:PORT/0
    rediss://HOST:PORT,OTHER:PORT/0?user=NAME&password=env:NAME&ca=/path/to/certificates.pem
    redis+unix:///PATH?db=0&password=file:/run/secrets/valkey

`rediss` is TLS. Several servers are tried in turn, so that a replica that was promoted is found. A password
never stands in an address, only where it is: an environment variable or a file, read at each connection.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_NETWORK = re.compile(r"(rediss?)://([^/@?#\s]+)(?:/([0-9]+))?(?:\?(\S*))?")
_SOCKET = re.compile(r"redis\+unix://(/[^?@#\s]*)(?:\?(\S*))?")
_PLACE = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:,\[\]]+)(?::([0-9]{1,5}))?")
_PASSWORD = re.compile(r"(env|file):(.+)")

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
class Login:
    """What is said when a connection opens. `ca`: a file of certificates to trust beside the system's."""

    user: str | None = None
    password: str | None = None
    ca: str | None = None


@dataclass(frozen=True, slots=True)
class Address:
    """All servers that may be the one to ask, and what is said to each.

    password: where it is read, `env:NAME` or `file:PATH`.
    """

    places: tuple[Place, ...]
    database: int = 0
    tls: bool = False
    user: str | None = None
    password: str | None = None
    ca: str | None = None

    def __str__(self) -> str:
        """Without who is logged in there."""
        if self.places[0].path is not None:
            return f"redis+unix://{self.places[0].path}?db={self.database}"
        places = ",".join(map(str, self.places))
        return f"{'rediss' if self.tls else 'redis'}://{places}/{self.database}"

    def login(self) -> Login:
        """What to say now. Raises ValueError where the password cannot be read; what it is, is never told."""
        return Login(self.user, None if self.password is None else _read(self.password), self.ca)


def parse(text: str) -> Address:
    """Read an address. Raises ValueError, which never repeats the text: it might hold a password."""
    socket = _SOCKET.fullmatch(text)
    if socket is not None:
        said = _said(socket[2], ("db", "user", "password"))
        return Address(
            (Place(path=socket[1]),), _number(said.get("db", "0")), user=said.get("user"),
            password=said.get("password"),
        )  # fmt: skip
    network = _NETWORK.fullmatch(text)
    if network is None:
        raise ValueError("write redis://HOST:PORT/0, rediss:// for TLS, or redis+unix:///PATH")
    said = _said(network[4], ("user", "password", "ca"))
    places = tuple(map(_place, network[2].split(",")))
    tls = network[1] == "rediss"
    if "ca" in said and not tls:
        raise ValueError("`ca` is for rediss://: without TLS no certificate is looked at")
    return Address(places, int(network[3] or 0), tls, said.get("user"), said.get("password"), said.get("ca"))


def _place(text: str) -> Place:
    found = _PLACE.fullmatch(text)
    port = PORT if found is None or found[2] is None else int(found[2])
    if found is None or not 0 < port < 65_536:
        raise ValueError("a server is HOST:PORT, several are separated by commas")
    return Place(found[1].strip("[]"), port)


def _said(text: str | None, known: tuple[str, ...]) -> Mapping[str, str]:
    """What follows the `?`."""
    said: dict[str, str] = {}
    for part in (text or "").split("&") if text else ():
        name, _, value = part.partition("=")
        if name not in known or not value or name in said:
            raise ValueError(f"after the ? stand {', '.join(known)}, each once, as NAME=VALUE")
        said[name] = value
    if "password" in said and not _PASSWORD.fullmatch(said["password"]):
        raise ValueError("write password=env:NAME or password=file:/PATH, and put the password there")
    return said


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise ValueError("the database is a number")
    return int(text)


def _read(place: str) -> str:
    kind, _, name = place.partition(":")
    if kind == "env":
        text = os.environ.get(name, "").strip()
        if not text:
            raise ValueError(f"the password: the environment variable {name} is not set")
        return text
    try:
        text = Path(name).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ValueError(f"the password: {name} cannot be read: {reason}") from None
    if not text:
        raise ValueError(f"the password: {name} is empty")
    return text
