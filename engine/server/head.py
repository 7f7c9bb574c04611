"""The request's head: its headers as one map, and the checks that HTTP servers leave to the application.

A `Host` that is missing, double or not of RFC 3986's form is refused (what follows it in the chain could
read it otherwise). So is a request that a web page of another origin sends: the sidecar listens on this
machine without a key, and any page a person visits can make their browser post to it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import Final

from engine.errors import RequestError
from engine.server.credential import HEADERS

_HOST: Final = re.compile(
    rb"(?:\[[0-9A-Fa-f:.]{2,45}(?:%25[0-9A-Za-z._~-]{1,32})?\]"  # IP-literal
    rb"|(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2}){1,253})"  # IPv4address / reg-name
    rb"(?::[0-9]{0,5})?"
)

#: Hosts seen to be well formed. Few names reach a sidecar; whoever sends many fills this once.
_GOOD: set[bytes] = set()
_GOOD_MAX: Final = 256


def read_head(raw: Iterable[tuple[bytes, bytes]], http_version: str = "1.1") -> dict[bytes, bytes]:
    """Headers by lower-case name. A repeated one is joined by a comma, as RFC 9110 allows.

    Raises RequestError for a bad Host, a credential that stands twice, a transfer coding that somebody on the
    way could read otherwise, and a request of another origin's page.
    """
    head: dict[bytes, bytes] = {}
    for name, value in raw:
        if name in head:
            if name == b"host":
                raise RequestError("the request has two Host headers", code="bad_host")
            if name in HEADERS:
                raise RequestError(
                    f"the request has two {name.decode()} headers; whoever reads it on the way could take "
                    "the other one",
                    code="two_credentials",
                )
            head[name] += b", " + value
        else:
            head[name] = value
    host = head.get(b"host")
    if host not in _GOOD:
        _check_host(host, http_version)
    if b"transfer-encoding" in head and head[b"transfer-encoding"].lower() != b"chunked":
        raise RequestError(
            "of transfer codings only `chunked` is read", status=501, code="bad_transfer_encoding"
        )
    if b"origin" in head:
        _check_origin(head)
    return head


def _check_host(host: bytes | None, http_version: str) -> None:
    if host is None:
        if http_version == "1.0":
            return
        raise RequestError("the request has no Host header", code="bad_host")
    if not _HOST.fullmatch(host):
        raise RequestError("the Host header is not a host and an optional port", code="bad_host")
    if len(_GOOD) < _GOOD_MAX:
        _GOOD.add(host)


def _check_origin(head: dict[bytes, bytes]) -> None:
    origin = head[b"origin"].lower()
    scheme, _, authority = origin.partition(b"://")
    if authority and authority == head.get(b"host", b"").lower() and scheme in (b"http", b"https"):
        return
    raise RequestError(
        "requests from a web page of another origin are not answered", status=403, code="cross_origin"
    )


def is_loopback_host(host: bytes | None) -> bool:
    """Whether a Host names this machine itself: `localhost` or a loopback address.

    Anything else that reaches a loopback address got there by a name made to resolve to it (DNS rebinding).
    """
    if host is None:
        return False
    name = host.decode("latin-1").lower()
    if name.startswith("["):
        name = name[1:].partition("]")[0]
    else:
        name = name.partition(":")[0]
    return is_loopback(name)


def is_loopback(name: str) -> bool:
    """Whether a host name or address stays on this machine."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
