"""Which addresses belong to the open internet: nobody's own network, machine or cloud control plane.

Python's `is_global` is the base; what it lets through and still leads inside (site-local, addresses that
carry an IPv4 address, Azure's control plane on a public number) is refused here.
"""

from __future__ import annotations

import ipaddress
from typing import Final

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: Global unicast; the rest of IPv6 is local, reserved, or wraps IPv4 (NAT64, mapped, compatible).
_GLOBAL_V6: Final = ipaddress.IPv6Network("2000::/3")

_REFUSED: Final[tuple[Network, ...]] = tuple(
    ipaddress.ip_network(each)
    for each in (
        "100.64.0.0/10",  # carriers' own; Alibaba's metadata service is in it
        "168.63.129.16/32",  # Azure's control plane
        "192.0.0.0/24",  # protocol assignments; Oracle's metadata service is in it
        "192.88.99.0/24",  # relays of 6to4
        "198.18.0.0/15",  # benchmarks
        "240.0.0.0/4",
        "2001::/23",  # Teredo and others that wrap IPv4
        "2002::/16",  # 6to4: wraps IPv4
        "3fff::/20",  # documentation
    )
)


def is_public(text: str) -> bool:
    """Whether an address, as a resolver gives it, may be called on behalf of somebody outside."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:  # also one with a zone: link-local
        return False
    if not address.is_global or address.is_multicast or address.is_reserved or address.is_unspecified:
        return False
    if address.version == 6 and address not in _GLOBAL_V6:
        return False
    return not any(address.version == each.version and address in each for each in _REFUSED)
