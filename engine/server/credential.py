"""The one place that knows how clients show who they are: a header; never the address.

Every format's own way is taken on every path: vendors' SDKs are pointed here with nothing but another
address. A request shows one credential; the same one in two headers is one, two different ones are a fault of
the client's, because what stands before this process may have looked at the other. In an address a key is
refused whatever it is: proxies, histories and logs keep addresses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote_to_bytes

from engine.errors import RequestError

#: Headers in which a client key or a token is shown.
HEADERS: Final = (b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key")
#: Parameters of an address in which some clients show one.
_PARAMETERS: Final = frozenset(
    {*HEADERS, b"key", b"apikey", b"api_key", b"access_token", b"token", b"id_token"}
)


def shown(head: Mapping[bytes, bytes]) -> bytes:
    """The credential that a request shows; empty where it shows none.

    Raises:
        RequestError: 400, it shows two.
    """
    found = b""
    for name in HEADERS:
        value = head.get(name)
        if value is None:
            continue
        if name == b"authorization":
            scheme, _, value = value.partition(b" ")
            if scheme.lower() != b"bearer":
                continue  # of a proxy on the way: it is no way in here
        found = _one(found, value.strip())
    return found


def _one(known: bytes, more: bytes) -> bytes:
    # A header that comes twice is joined by a comma, which no credential holds.
    if b"," in more or (known and more and known != more):
        raise RequestError(
            "the request shows two credentials; send one, in one header", code="two_credentials"
        )
    return known or more


def check_address(query: bytes) -> None:
    """Raises RequestError where a key stands in a request's address.

    query: what follows the `?`, as it came.
    """
    for part in query.split(b"&"):
        name, equals, value = part.partition(b"=")
        if equals and value and unquote_to_bytes(name).lower() in _PARAMETERS:
            raise RequestError(
                "a key stands in the request's address, where others keep it; take it for known, and send "
                "the next one as `authorization: Bearer KEY`",
                code="key_in_address",
            )
