"""Which proxy a call goes through, as the environment says: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY.

Read as curl reads them: the lower-case name wins, ALL_PROXY is for what has no proxy of its own, a proxy
without a scheme speaks HTTP. NO_PROXY holds names (which stand for their subdomains, too), `name:port`,
addresses, networks (`10.0.0.0/8`) or `*`, between commas. Loopback never goes through a proxy, nor do
link-local addresses, where a machine asks who it is. HTTP_PROXY in capitals is not read in a CGI script,
where a client could set it.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urlsplit

from engine.upstream.protocol import TransportError

_PORTS: Final = {"http": 80, "https": 443}
#: What a proxy itself may speak.
_SPOKEN: Final = frozenset({"http", "https"})

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Proxies:
    """The proxies of an environment.

    named: (scheme of a call, variable, its value). direct: the parts of NO_PROXY.
    """

    named: tuple[tuple[str, str, str], ...]
    direct: tuple[str, ...]

    @classmethod
    def of_environment(cls, env: Mapping[str, str] | None = None) -> Proxies:
        """Those that `env` names; default: the process's own environment."""
        env = os.environ if env is None else env
        named = []
        for scheme in ("https", "http"):
            name = next((n for n in _names(scheme, env) if env.get(n, "").strip()), None)
            if name is not None:
                value = env[name].strip()
                named.append((scheme, name, value if "://" in value else f"http://{value}"))
        without = env.get("no_proxy") or env.get("NO_PROXY") or ""
        return cls(tuple(named), tuple(part.strip().lower() for part in without.split(",") if part.strip()))

    def __bool__(self) -> bool:
        return bool(self.named)

    def of(self, url: str) -> str | None:
        """The proxy for a call to `url`; None: it goes direct.

        Raises:
            TransportError: the environment names a proxy that this engine cannot speak to.
        """
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port or _PORTS.get(parts.scheme)
        except ValueError:
            return None  # no URL: the transport says so
        found = next(((name, value) for scheme, name, value in self.named if scheme == parts.scheme), None)
        if found is None or not host or self._goes_direct(host, port):
            return None
        if _split(found[1]) is None:
            raise TransportError("connect", f"{found[0]} does not name an http:// or https:// proxy")
        return found[1]

    def shown(self) -> list[tuple[str, str, bool]]:
        """(variable, proxy without user and password, whether it can be used) for people."""
        rows = {name: _split(value) for _, name, value in self.named}
        return [
            (name, "" if parts is None else _place(parts), parts is not None) for name, parts in rows.items()
        ]

    def _goes_direct(self, host: str, port: int | None) -> bool:
        host = host.rstrip(".")
        address = _address(host)
        if host == "localhost" or (address is not None and (address.is_loopback or address.is_link_local)):
            return True
        return any(_covers(part, host, port, address) for part in self.direct)


def _names(scheme: str, env: Mapping[str, str]) -> tuple[str, ...]:
    capitals = () if scheme == "http" and "REQUEST_METHOD" in env else (f"{scheme.upper()}_PROXY",)
    return (f"{scheme}_proxy", *capitals, "all_proxy", "ALL_PROXY")


def _split(proxy: str) -> SplitResult | None:
    """The proxy's URL; None where it is none, or of a scheme that is not spoken."""
    try:
        parts = urlsplit(proxy)
        usable = parts.scheme in _SPOKEN and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    return parts if usable else None


def _place(parts: SplitResult) -> str:
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _address(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _covers(part: str, host: str, port: int | None, address: Address | None) -> bool:
    """Whether one part of NO_PROXY stands for a host."""
    if part == "*":
        return True
    if address is not None:
        try:
            if address in ipaddress.ip_network(part.strip("[]"), strict=False):
                return True
        except ValueError:
            pass
    name, colon, wanted = part.rpartition(":")
    if colon and wanted.isdigit() and (":" not in name or name.startswith("[")):
        if port != int(wanted):
            return False
        part = name.strip("[]")
    part = part.removeprefix("*").lstrip(".").rstrip(".")
    return bool(part) and (host == part or (address is None and host.endswith(f".{part}")))
