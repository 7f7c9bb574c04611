"""Callers that are cancelled at some moment of their wait: none may be given what is another's."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Awaitable, Callable

#: Calls of one test; `make nightly` makes many more.
CALLS = int(os.environ.get("ENGINE_CANCELLED_CALLS", "3000"))


async def cancelled_calls(ask: Callable[[str], Awaitable[str]], calls: int = CALLS) -> None:
    """Each caller asks for a text of its own, 30 at a time; every other one is cancelled."""
    chance = random.Random(7)
    foreign: list[str] = []
    answered = 0

    async def one(text: str) -> None:
        nonlocal answered
        answer = await ask(text)
        answered += 1
        if answer != text:
            foreign.append(answer)

    for base in range(0, calls, 30):
        tasks = [asyncio.create_task(one(f"text {base + number}")) for number in range(30)]
        for task in tasks[::2]:
            for _ in range(chance.randrange(12)):
                await asyncio.sleep(0)
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert foreign == []
    assert answered > calls // 6
