"""Something that several snapshots hold together, and that lives until the last of them has let it go."""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar


class Closable(Protocol):
    """What is closed once nobody holds it."""

    async def close(self) -> None: ...


T = TypeVar("T", bound=Closable)


class Shared(Generic[T]):
    """Something that several snapshots may hold: an upstream, a transport. The last to let go closes it."""

    __slots__ = ("_holders", "key", "value")

    def __init__(self, value: T, key: str = "") -> None:
        self.value = value
        self.key = key  # what it was made from: whoever needs the same may share it
        self._holders = 0

    def hold(self) -> Shared[T]:
        self._holders += 1
        return self

    async def let_go(self) -> None:
        self._holders -= 1
        if self._holders == 0:
            await self.value.close()
