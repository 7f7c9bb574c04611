"""The one place that knows how clients show who they are: headers, and one field of the query.

Every format's own way is taken on every path: vendors' SDKs are pointed here with nothing but another
address. A request shows one credential; the same one shown twice is one, two different ones are a fault of
the client's, because what stands before this process may have looked at the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

from engine.errors import RequestError

#: Headers in which a client key or a token is shown.
HEADERS: Final = (b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key")
#: The field of a query that Google's clients show it in.
QUERY: Final = b"key"


def shown(head: Mapping[bytes, bytes], query: bytes = b"") -> bytes:
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
    if b"key=" in query:
        for name, value in parse_qsl(query):
            if name == QUERY:
                found = _one(found, value)
    return found


def _one(known: bytes, more: bytes) -> bytes:
    # A header that comes twice is joined by a comma, which no credential holds.
    if b"," in more or (known and more and known != more):
        raise RequestError(
            "the request shows two credentials; send one, in one header", code="two_credentials"
        )
    return known or more
