"""Addresses: where the engine listens, and where calls go: https anywhere, http only to a private address."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, PlainValidator
from typing_extensions import TypeAliasType

from engine.spec.fault import fault, shown, wrong_type
from engine.spec.json_form import json_form

_HOST: Final = re.compile(r"\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\*")


def _address(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        raise wrong_type(value, "an address, HOST:PORT,", f"127.0.0.1:{value}")
    if not isinstance(value, str):
        raise wrong_type(value, "an address, HOST:PORT,", "127.0.0.1:8080")
    host, colon, port = value.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or not _HOST.fullmatch(host) or host == "*":
        example = f"0.0.0.0:{port}" if host in ("", "*") and port.isdigit() else "127.0.0.1:8080"
        raise wrong_type(value, "an address, HOST:PORT,", example)
    if int(port) > 65535:
        raise fault("E112", f"{shown(value)} has a port above 65535")
    return value


Address = TypeAliasType(
    "Address",
    Annotated[
        str,
        PlainValidator(_address),
        json_form(
            r"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?):[0-9]{1,5}$",
            "HOST:PORT; port 0 takes any free one.",
            "127.0.0.1:8080",
        ),
    ],
)


def _url(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"https?://[^\s/?#@]+(?:/[^\s?#]*)?", value):
        raise wrong_type(value, "an address that begins with https://", "https://api.acme.ai/v1")
    return value


Url = TypeAliasType(
    "Url",
    Annotated[
        str,
        PlainValidator(_url),
        json_form(
            r"^https?://[^\s/?#@]+(/[^\s?#]*)?$", "An http or https address.", "https://api.acme.ai/v1"
        ),
    ],
)

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


def checked_base_url(value: Any) -> str:
    """An address for calls, as it is. Raises a fault (E102, E403) for any other value."""
    return _base_url(_url(value))


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
