"""One process's way to the store: the link to all of it, what it hears, and who it is told to be."""

from __future__ import annotations

import time

from engine.state.redis.address import Address
from engine.state.redis.feed import Feed
from engine.state.redis.shards import Shards


class RedisStore:
    """Made by `open`; what uses it is closed before it is."""

    def __init__(self, link: Shards) -> None:
        self.link = link
        self.feed = Feed(link)
        link.clock.wall = wall_ms

    @classmethod
    async def open(
        cls,
        address: Address,
        *,
        settle_ms: int | None = None,
        deadline_ms: int | None = None,
    ) -> RedisStore:
        """Look for it. Where it is not there, that is told, and it is looked for in the background."""
        store = cls(Shards(address, deadline_ms=deadline_ms, settle_ms=settle_ms))
        await store.link.open()
        store.feed.start()
        return store

    def now_ms(self) -> int:
        """The server's time, as well as it is known."""
        return wall_ms() + self.link.clock.offset_ms

    async def close(self) -> None:
        await self.feed.close()
        await self.link.close()


def wall_ms() -> int:
    return time.time_ns() // 1_000_000
