"""Address ranges, and which address a request came from when it came through proxies. IPv4 and IPv6.

An IPv4 address that is written as IPv6 (`::ffff:10.0.0.1`) is the IPv4 address: sockets that take both kinds
show it so.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Range = ipaddress.IPv4Network | ipaddress.IPv6Network

#: Addresses of one `x-forwarded-for` that are looked at; chains of proxies are short.
_HOPS: Final = 32


class Networks:
    """Some address ranges. `texts` as the compiler checked them."""

    __slots__ = ("_ranges",)

    def __init__(self, texts: Iterable[str]) -> None:
        #: By version: (network's number, mask) of each range.
        self._ranges: dict[int, list[tuple[int, int]]] = {4: [], 6: []}
        for text in texts:
            each = _as_v4(ipaddress.ip_network(text))
            self._ranges[each.version].append((int(each.network_address), int(each.netmask)))

    def __contains__(self, address: Address | None) -> bool:
        """Whether it lies in one of them. An unknown address lies in none."""
        if address is None:
            return False
        number = int(address)
        return any(number & mask == network for network, mask in self._ranges[address.version])

    def __bool__(self) -> bool:
        return bool(self._ranges[4] or self._ranges[6])


def _as_v4(network: Range) -> Range:
    """A range of IPv4 addresses that is written as IPv6."""
    if network.version == 6 and network.prefixlen >= 96 and network.network_address.ipv4_mapped is not None:
        return ipaddress.IPv4Network((network.network_address.ipv4_mapped, network.prefixlen - 96))
    return network


def read_address(text: str) -> Address | None:
    """An address as sockets and proxies write it: maybe with a zone, maybe with a port. None: it is none."""
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def client_address(peer: str | None, forwarded_for: str | None, trusted: Networks) -> Address | None:
    """Whose request it is.

    Args:
        peer: who connected, as the socket says; None where it has no address (a Unix socket).
        forwarded_for: the values of `x-forwarded-for`, joined by commas. Proxies add at the right, so the
            last address that is no trusted proxy's is the one that a trusted proxy saw; what stands left of
            it anybody could have written.
        trusted: the proxies whose word counts.

    Returns:
        None where nobody trustworthy says.
    """
    address = None if peer is None else read_address(peer)
    if not forwarded_for or address not in trusted:
        return address
    for text in reversed(forwarded_for.rsplit(",", _HOPS)[-_HOPS:]):
        address = read_address(text)
        if address not in trusted:
            return address
    return address
