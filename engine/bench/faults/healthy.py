"""The answer of a vendor that is well, and those that are well but slow."""

from __future__ import annotations

from typing import Final

from engine.bench.faults.exchange import Exchange
from engine.bench.faults.fault import Play, fault, table


async def healthy(exchange: Exchange) -> None:
    """The whole text, streamed if asked for."""
    if not exchange.streamed:
        text = "".join(exchange.left)
        await exchange.json(200, exchange.voice.whole(text, exchange.model, len(exchange.left)))
        return
    await exchange.begin()
    await exchange.tokens()
    await exchange.finish()


async def _no_prefill(exchange: Exchange) -> None:
    if exchange.prefill is not None:
        words = "the last message may not be the assistant's: this model does not support prefill"
        await exchange.refuse(400, "invalid_value", words)
        return
    await healthy(exchange)


def _slow(seconds: float, *, head_first: bool) -> Play:
    async def play(exchange: Exchange) -> None:
        if not exchange.streamed or not head_first:
            await exchange.pause(seconds)
            await healthy(exchange)
            return
        await exchange.head()
        await exchange.pause(seconds)
        await exchange.chunk(exchange.voice.begin(exchange.model))
        await exchange.tokens()
        await exchange.finish()

    return play


async def _paced(exchange: Exchange) -> None:
    if not exchange.streamed:
        await healthy(exchange)
        return
    await exchange.begin()
    for at in range(len(exchange.left)):
        await exchange.tokens(at, at + 1)
        await exchange.pause(0.02)
    await exchange.finish()


async def _drip(exchange: Exchange) -> None:
    """A healthy answer, but one byte a second."""
    data = exchange.voice.token(exchange.left[0], exchange.model)
    await exchange.head(200, "text/event-stream" if exchange.streamed else "application/json")
    for byte in data * 1000:
        await exchange.chunk(bytes((byte,)))
        await exchange.pause(1)


HEALTHY: Final = table(
    fault("ok", "the whole text, streamed if asked for", "S01 S03 S05 U20", healthy),
    fault("ok-no-prefill", "healthy, but 400 where the last message is the assistant's", "S14", _no_prefill),
    fault("ok-paced", "healthy, a token every 20 ms", "U31", _paced),
    fault("slow-300ms", "healthy after 300 ms", "U4", _slow(0.3, head_first=False)),
    fault("first-token-20s", "headers at once, first token after 20 s", "S07", _slow(20, head_first=True)),
    fault("first-token-60s", "headers at once, first token after 60 s", "U22", _slow(60, head_first=True)),
    fault("drip", "one byte a second", "U21", _drip),
)
