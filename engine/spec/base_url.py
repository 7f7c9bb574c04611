"""Addresses that calls go to: https anywhere, plain http only where nobody else listens."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator

from engine.spec.fault import fault, shown, wrong_type
from engine.spec.scalars import Url

_PRIVATE_SUFFIXES: Final = (".local", ".internal", ".lan", ".svc", ".localhost", ".home.arpa")


def is_private_host(host: str) -> bool:
    """Whether plain HTTP may go there: loopback, a private address, or a name of an inner network."""
    name = host.strip("[]").rstrip(".").lower()
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name == "localhost" or "." not in name or name.endswith(_PRIVATE_SUFFIXES)
    return address.is_loopback or (
        address.is_private and not address.is_link_local and not address.is_unspecified
    )


def _base_url(url: str) -> str:
    try:
        host = urlsplit(url).hostname
    except ValueError:  # brackets that hold no IPv6 address
        host = None
    if not host:
        raise wrong_type(url, "an address with a host", "https://api.acme.ai/v1")
    if url.startswith("http://") and not is_private_host(host):
        raise fault(
            "E403",
            f"plain http to {shown(host)}, no private address: prompts and keys could be read",
            f"write https://{url.removeprefix('http://')}",
        )
    return url


#: https anywhere; http only to a private address.
BaseUrl = Annotated[Url, AfterValidator(_base_url)]
