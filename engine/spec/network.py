"""Ranges of addresses: `10.0.0.0/8`, `2001:db8::/32`, `203.0.113.7`."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Any

from pydantic import PlainValidator
from typing_extensions import TypeAliasType

from engine.spec.fault import fault, shown, wrong_type
from engine.spec.json_form import json_form
from engine.spec.one_or_more import OneOrMore


def _network(value: Any) -> str:
    if not isinstance(value, str):
        raise wrong_type(value, "an address or a range of addresses", "10.0.0.0/8 or 203.0.113.7")
    try:
        found = ipaddress.ip_network(value, strict=False)
    except ValueError:
        raise fault(
            "E292",
            f"{shown(value)} is no range of addresses",
            "write 10.0.0.0/8, 2001:db8::/32 or 203.0.113.7",
        ) from None
    if "/" in value and ipaddress.ip_address(value.partition("/")[0]) != found.network_address:
        raise fault(
            "E292",
            f"{shown(value)} begins in the middle of its range",
            f"write {found}, or the address without a length",
        )
    if isinstance(found, ipaddress.IPv6Network) and found.network_address.ipv4_mapped is not None:
        inner = f"{found.network_address.ipv4_mapped}/{max(0, found.prefixlen - 96)}"
        raise fault(
            "E292", f"{shown(value)} holds IPv4 addresses, which are compared as IPv4", f"write {inner}"
        )
    return str(found)


Network = TypeAliasType(
    "Network",
    Annotated[
        str,
        PlainValidator(_network),
        json_form(
            r"^[0-9A-Fa-f.:]+(/[0-9]{1,3})?$", "An address, or a range of them.", "10.0.0.0/8", "203.0.113.7"
        ),
    ],
)

#: One range or several.
Networks = OneOrMore[Network]
