"""Faults below HTTP: connections that are refused their answer, cut, reset, or silent."""

from __future__ import annotations

import asyncio
from typing import Final

from engine.bench.faults.exchange import Exchange, Link
from engine.bench.faults.fault import AtAccept, Fault, fault, table
from engine.bench.faults.healthy import healthy


async def _reset(exchange: Exchange) -> None:
    exchange.reset()


async def _close(exchange: Exchange) -> None:
    exchange.end()


async def _silent(exchange: Exchange) -> None:
    await exchange.for_ever()


async def _head_then_silent(exchange: Exchange) -> None:
    await exchange.head(200, "text/event-stream" if exchange.streamed else "application/json")
    await exchange.for_ever()


async def _close_after(exchange: Exchange) -> None:
    """A whole answer that promises to keep the connection, which then closes."""
    await healthy(exchange)
    await exchange.pause(0.01)
    exchange.end()


async def _close_on_reuse(exchange: Exchange) -> None:
    """The first request of a connection is answered; the second closes it, unanswered."""
    link = exchange.link
    if link.requests > 1:
        exchange.end()
        return
    await healthy(exchange)


async def _reset_on_reuse(exchange: Exchange) -> None:
    if exchange.link.requests > 1:
        exchange.reset()
        return
    await healthy(exchange)


async def _early_refusal(exchange: Exchange) -> None:
    """400 with the request's body unread, and the socket is read no more."""
    exchange.link.transport.pause_reading()
    await exchange.refuse(400, "too_large", "refused before the body was read", "connection: close")
    await exchange.pause(1)
    exchange.end()


async def _unread(exchange: Exchange) -> None:
    """The body is never read and nothing is answered: whoever uploads gets stuck."""
    exchange.link.transport.pause_reading()
    await asyncio.sleep(3600)


async def _accept_reset(link: Link) -> None:
    link.abort()


async def _accept_close(link: Link) -> None:
    link.end()


async def _accept_silent(link: Link) -> None:
    await link.closed.wait()


async def _accept_garbage(link: Link) -> None:
    await link.send(b"SSH-2.0-OpenSSH_9.6\r\n")
    await link.closed.wait()


def _accept(name: str, what: str, serves: str, play: AtAccept) -> Fault:
    return Fault(name, what, tuple(serves.split()), accept=play)


SOCKETS: Final = table(
    fault("reset", "reads the request, then resets (RST) before any byte", "U6 S05", _reset),
    fault("close", "reads the request, then closes (FIN) before any byte", "U7", _close),
    fault("silent", "reads the request and never answers", "U4 S06", _silent),
    fault("head-then-silent", "headers at once, then nothing", "U5 U22", _head_then_silent),
    fault("close-after", "answers, keeps the connection, closes it 10 ms later", "U30", _close_after),
    fault("close-on-reuse", "closes (FIN) on a connection's second request", "U30", _close_on_reuse),
    fault("reset-on-reuse", "resets (RST) on a connection's second request", "U30", _reset_on_reuse),
    fault("early-400", "400 while the body is still being sent", "U29", _early_refusal, early=True),
    fault("unread", "never reads the body, never answers", "U29", _unread, early=True),
    _accept(
        "accept-reset", "resets every connection as it comes, in a TLS handshake too", "U3", _accept_reset
    ),
    _accept("accept-close", "closes every connection as it comes", "U3", _accept_close),
    _accept("accept-silent", "accepts and says nothing, in a TLS handshake too", "U3 U4", _accept_silent),
    _accept("accept-garbage", "greets with a line that is not HTTP", "U23", _accept_garbage),
)
