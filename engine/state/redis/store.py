"""One process's way to the store: the link, what it hears, and who it is told to be."""

from __future__ import annotations

import time

from engine.state.redis import link
from engine.state.redis.address import Address
from engine.state.redis.feed import Feed
from engine.state.redis.link import Link


class RedisStore:
    """Made by `open`; what uses it is closed before it is."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.feed = Feed(link)
        link.era.wall = wall_ms

    @classmethod
    async def open(
        cls,
        address: Address,
        *,
        settle_ms: int | None = None,
        deadline_ms: int | None = None,
    ) -> RedisStore:
        """Look for it. Where it is not there, that is told, and it is looked for in the background."""
        settle = link.SETTLE_MS if settle_ms is None else settle_ms
        deadline = link.DEADLINE_MS if deadline_ms is None else deadline_ms
        store = cls(link.Link(address, deadline_ms=deadline, settle_ms=settle))
        await store.link.open()
        store.feed.start()
        return store

    def now_ms(self) -> int:
        """The server's time, as well as it is known."""
        return wall_ms() + self.link.era.offset_ms

    async def close(self) -> None:
        await self.feed.close()
        await self.link.close()


def wall_ms() -> int:
    return time.time_ns() // 1_000_000
