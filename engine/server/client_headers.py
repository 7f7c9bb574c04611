"""The client's headers as routing sees them: text by lower-case name, decoded when asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeVar, overload

from engine.server.credential import HEADERS

T = TypeVar("T")

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

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.get(name) is not None

    @overload
    def get(self, name: str, /) -> str | None: ...
    @overload
    def get(self, name: str, /, default: str | T) -> str | T: ...
    def get(self, name: str, /, default: Any = None) -> Any:
        """As `Mapping`'s own, which raises and catches for every header that is not there."""
        raw = name.encode("latin-1", "replace")
        value = None if raw in HIDDEN else self._raw.get(raw)
        return default if value is None else value.decode("latin-1")

    def __iter__(self) -> Iterator[str]:
        return (name.decode("latin-1") for name in self._raw if name not in HIDDEN)

    def __len__(self) -> int:
        return sum(1 for _ in self)
