"""Ranges of addresses, and whose request it is behind proxies."""

from __future__ import annotations

import ipaddress

import pytest

from engine.policies.networks import Networks, client_address, read_address


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("10.1.2.3", True),
        ("11.0.0.0", False),
        ("::ffff:10.1.2.3", True),
        ("::ffff:11.1.2.3", False),
        ("2001:db8::1", True),
        ("2001:db9::1", False),
        ("203.0.113.7", True),
        ("203.0.113.8", False),
        ("[2001:db8::1]:443", True),
        ("10.1.2.3:55555", True),
        ("fe80::1%eth0", False),
        ("::10.1.2.3", False),  # an IPv6 address of its own, not an IPv4 one
        ("unknown", False),
        ("", False),
        ("10.1.2", False),
        ("010.1.2.3", False),  # octal to some, decimal to others
        ("0x0a.1.2.3", False),
        ("10.1.2.3 evil", False),
    ],
)
def test_ranges(text: str, inside: bool) -> None:
    ours = Networks(("10.0.0.0/8", "2001:db8::/32", "203.0.113.7/32"))
    assert (read_address(text) in ours) is inside


def test_a_range_of_ipv4_in_ipv6() -> None:
    inside = Networks(("::ffff:10.0.0.0/104",))
    assert read_address("10.1.2.3") in inside
    assert read_address("::ffff:10.1.2.3") in inside
    assert read_address("11.1.2.3") not in inside


def test_a_range_of_one_version_holds_none_of_the_other() -> None:
    everything4, everything6 = Networks(("0.0.0.0/0",)), Networks(("::/0",))
    assert ipaddress.ip_address("1.2.3.4") in everything4
    assert ipaddress.ip_address("1.2.3.4") not in everything6
    assert ipaddress.ip_address("::1") not in everything4
    assert not Networks(())


PROXIES = ("10.0.0.0/8", "fd00::/8")


@pytest.mark.parametrize(
    ("peer", "told", "client"),
    [
        ("203.0.113.7", None, "203.0.113.7"),
        ("203.0.113.7", "192.0.2.1", "203.0.113.7"),  # no proxy of ours: its word is nothing
        ("10.0.0.1", "192.0.2.1", "192.0.2.1"),
        ("10.0.0.1", "192.0.2.66, 192.0.2.1", "192.0.2.1"),  # the left one anybody could have written
        ("10.0.0.1", "192.0.2.1, 10.9.9.9", "192.0.2.1"),
        ("10.0.0.1", "192.0.2.66, 192.0.2.1, fd00::7, 10.9.9.9", "192.0.2.1"),
        ("10.0.0.1", "10.7.7.7, 10.9.9.9", "10.7.7.7"),
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "10.7.7.7, unknown", None),
        ("10.0.0.1", "192.0.2.1, , 10.9.9.9", None),
        ("10.0.0.1", "192.0.2.1,", None),
        ("::ffff:10.0.0.1", "::ffff:192.0.2.1", "192.0.2.1"),
        ("fd00::1", '"[2001:db8::1]:4711"', "2001:db8::1"),
        ("10.0.0.1", "192.0.2.1:4711", "192.0.2.1"),
        (None, "192.0.2.1", None),
        ("10.0.0.1", ", ".join(["192.0.2.66", *["10.1.1.1"] * 40]), "10.1.1.1"),
    ],
)
def test_whose_request_it_is(peer: str | None, told: str | None, client: str | None) -> None:
    wanted = None if client is None else ipaddress.ip_address(client)
    assert client_address(peer, told, Networks(PROXIES)) == wanted


def test_without_trusted_proxies_the_header_is_nothing() -> None:
    assert client_address("10.0.0.1", "192.0.2.1", Networks(())) == ipaddress.ip_address("10.0.0.1")
