"""What has to come to its end, whoever is cancelled meanwhile: what a ledger is told of what is over."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable


class Pending:
    """Tasks of a process that nobody may have to wait for."""

    __slots__ = ("_tasks",)

    def __init__(self) -> None:
        self._tasks: set[asyncio.Future[None]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def finish(self, waiting: Awaitable[None]) -> Awaitable[None]:
        """To be awaited, or not: it is done either way."""
        task = asyncio.ensure_future(waiting)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return asyncio.shield(task)
