"""HTTP requests between a worker and its supervisor: a request as words, an app's answer as words and bytes.

/admin and /metrics of the clients' address are reached at any worker, but told by the supervisor, which
knows all workers; a route's readiness is asked of a worker, which knows its deployments.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from engine.control.channel import ChannelClosed, Frame
from engine.errors import EngineError
from engine.server.app import App
from engine.server.body import ClientGone, read_body
from engine.server.exchange import Exchange
from engine.server.replies import CLOSE, Message, send_whole

Ask = Callable[[str, dict[str, Any]], Awaitable[Frame]]

#: No path that is asked elsewhere takes a body; this much is read of one all the same.
_BODY = 64 * 1024


async def forward(exchange: Exchange, ask: Ask) -> None:
    """Answer as the other process does. `ask`: asks it `http`."""
    scope = exchange.scope
    with contextlib.suppress(ClientGone):
        await read_body(exchange.receive, exchange.head.get(b"content-length"), _BODY)
        words = {
            "method": scope["method"],
            "path": scope["path"],
            "query": scope.get("query_string", b"").decode("latin-1"),
            "headers": [
                [name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]
            ],
        }
        try:
            told = await ask("http", words)
        except ChannelClosed:
            raise EngineError(
                "the sidecar is shutting down", status=503, code="shutting_down", failure="full"
            ) from None
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in told.words["headers"]]
        if exchange.service.draining:
            headers.append(CLOSE)
        if scope["method"] == "HEAD":
            await exchange.empty(told.words["status"], headers, known=True)
        else:
            headers = [header for header in headers if header[0] != b"content-length"]
            await send_whole(exchange.send, told.words["status"], headers, told.data)


async def answer(app: App, words: dict[str, Any]) -> Frame:
    """What `app` answers to a forwarded request."""
    scope: Message = {
        "type": "http",
        "http_version": "1.1",
        "method": words["method"],
        "path": words["path"],
        "query_string": words["query"].encode("latin-1"),
        "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in words["headers"]],
    }
    told: dict[str, Any] = {}
    body = bytearray()

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            told["status"] = message["status"]
            told["headers"] = [[n.decode("latin-1"), v.decode("latin-1")] for n, v in message["headers"]]
        else:
            body.extend(message.get("body", b""))

    await app(scope, receive, send)
    return Frame(told, bytes(body))
