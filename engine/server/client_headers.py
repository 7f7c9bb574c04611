"""The client's headers as routing sees them: text by lower-case name, decoded when asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from engine.server.credential import HEADERS

#: What shows who somebody is stays out of routing, and so out of records and upstream calls.
HIDDEN: Final = frozenset({*HEADERS, b"cookie", b"proxy-authorization"})


class ClientHeaders(Mapping[str, str]):
    """A view of a request's headers. Most requests look at none, so nothing is copied."""

    __slots__ = ("_raw",)

    def __init__(self, raw: Mapping[bytes, bytes]) -> None:
        self._raw = raw

    def __getitem__(self, name: str) -> str:
        raw = name.encode("latin-1", "replace")
        if raw in HIDDEN:
            raise KeyError(name)
        return self._raw[raw].decode("latin-1")

    def __iter__(self) -> Iterator[str]:
        return (name.decode("latin-1") for name in self._raw if name not in HIDDEN)

    def __len__(self) -> int:
        return sum(1 for _ in self)
