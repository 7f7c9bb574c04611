"""A vendor in the process: answers after a moment, and keeps its own account of what it bills."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Final

from engine.upstream.protocol import Ask, Flow, Whole
from engine.wire.canonical import Choice, Message, Part, Reply, Usage

#: As in `workspace/providers.d/priced.yaml`, in nano-dollars a token.
INPUT: Final = 1_000
OUTPUT: Final = 20_000

#: How long an answer takes, in seconds.
_SOONEST: Final = 0.05
_LATEST: Final = 0.25


class Vendor:
    """Implements `engine.upstream.protocol.Upstream`. `billed` is in nano-dollars.

    at_once: answer without any wait, with the shortest answer.
    """

    def __init__(self, rng: Random, *, at_once: bool = False) -> None:
        self.billed = 0
        self.calls = 0
        self._rng = rng
        self._at_once = at_once

    async def whole(self, ask: Ask) -> Whole:
        usage = self.usage(ask.max_tokens or 1)
        self.bill(usage)
        if not self._at_once:
            await self.work()
        message = Message(role="assistant", content=[Part(type="text", text="hello")])
        return Whole(
            Reply(id="bench", choices=[Choice(index=0, message=message, finish_reason="stop")], usage=usage)
        )

    async def flow(self, ask: Ask) -> Flow | Whole:
        return await self.whole(ask)

    async def close(self) -> None:
        """Nothing is open."""

    def usage(self, max_tokens: int) -> Usage:
        """Of one call: any length up to what may be asked for."""
        return Usage(input_tokens=5, output_tokens=1 if self._at_once else self._rng.randint(0, max_tokens))

    def bill(self, usage: Usage) -> int:
        """Put a call on the account."""
        cost = usage["input_tokens"] * INPUT + usage["output_tokens"] * OUTPUT
        self.billed += cost
        self.calls += 1
        return cost

    async def work(self) -> None:
        await asyncio.sleep(self._rng.uniform(_SOONEST, _LATEST))
