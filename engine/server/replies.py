"""Writing whole answers: the headers that every answer of the sidecar carries, and its body in one piece.

An error's body is the dialect's own; where no dialect is spoken (an unknown path, a bad Host) it is that of
the plan's first ingress, so a client finds one shape of error whatever it did.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Final, cast

import orjson

from engine.errors import EngineError
from engine.runtime.record import DecisionRecord
from engine.wire.operations import AnyReply, TokenCount

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

CHALLENGE: Final = (b"www-authenticate", b'Bearer realm="engine"')
JSON: Final = (b"content-type", b"application/json")
CLOSE: Final = (b"connection", b"close")

#: What is still taken of a body that was refused, so that the client gets to read the answer.
LINGER_BYTES: Final = 512 * 1024
LINGER_S: Final = 1.0


def new_request_id() -> str:
    """An id for one request: 96 random bits."""
    return "req-" + os.urandom(12).hex()


def about(request_id: str, revision: bytes, record: DecisionRecord | None) -> Headers:
    """The contract's headers as far as they are known when the answer begins."""
    headers = [(b"x-engine-request-id", request_id.encode()), (b"x-engine-revision", revision)]
    if record is None:
        return headers
    if record.route is not None:
        headers.append((b"x-engine-route", record.route.encode()))
    if record.served_by is not None:
        headers.append((b"x-engine-deployment", record.served_by.encode()))
    headers.append((b"x-engine-calls", b"%d" % len(record.attempts)))
    if record.cache is not None:
        headers.append((b"x-engine-cache", record.cache.encode()))
    if record.dropped:
        headers.append((b"x-engine-dropped", ",".join(record.dropped).encode("ascii", "replace")))
    return headers


def cost(record: DecisionRecord) -> tuple[bytes, bytes]:
    """`x-engine-cost`: dollars with six decimals."""
    return (b"x-engine-cost", b"%d.%06d" % divmod(record.micros, 1_000_000))


def counted(reply: AnyReply | None) -> Iterable[tuple[bytes, bytes]]:
    """`x-engine-count`: whether a count of tokens is `exact`, a `bound` from above, or the `vendor`'s own."""
    how = cast(TokenCount, reply).get("counted") if reply is not None else None
    return () if how is None else ((b"x-engine-count", how.encode()),)


def retry_after(error: EngineError) -> Iterable[tuple[bytes, bytes]]:
    """`Retry-After` in whole seconds, rounded up, on answers that invite another try."""
    if error.status not in (429, 503) and (error.status != 402 or error.retry_after_ms is None):
        return ()
    seconds = -(-(error.retry_after_ms or 1000) // 1000)
    return ((b"retry-after", b"%d" % max(1, seconds)),)


def challenge(error: EngineError) -> Iterable[tuple[bytes, bytes]]:
    """`WWW-Authenticate` on answers that ask who it is."""
    return (CHALLENGE,) if error.status == 401 else ()


async def send_whole(send: Send, status: int, headers: Headers, body: bytes) -> None:
    """One answer in one piece. `headers` gets the length added."""
    headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def send_json(send: Send, status: int, headers: Headers, value: Any) -> None:
    """One answer of JSON."""
    headers.append(JSON)
    await send_whole(send, status, headers, orjson.dumps(value))


async def send_and_linger(send: Send, receive: Receive, status: int, headers: Headers, body: bytes) -> None:
    """Answer while the client is still sending, then take a little more before the connection is closed.

    Closing at once with unread bytes in the socket makes the system reset it, and the answer may be lost.
    """
    headers += [(b"content-length", b"%d" % len(body)), CLOSE]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": True})
    taken = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LINGER_S):
            while taken < LINGER_BYTES:
                message = await receive()
                taken += len(message.get("body", b""))
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    break
    await send({"type": "http.response.body", "body": b""})
