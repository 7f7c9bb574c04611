"""The reference relay: the least a Python gateway can do, to compare with.

uvicorn (httptools, uvloop) and aiohttp: parse the body, set `model`, call upstream, read the usage,
answer. No routing, limits, records or metrics. A fixed yardstick, so do not tune it to a result.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import aiohttp
import orjson
import uvicorn

from engine.bench.loop import run

Message = MutableMapping[str, Any]


class Relay:
    """An ASGI app that passes chat completions on."""

    def __init__(self, upstream: str) -> None:
        self._url = upstream + "/v1/chat/completions"
        self._session: aiohttp.ClientSession | None = None
        self.tokens = 0

    async def close(self) -> None:
        """Close the connections to the upstream."""
        if self._session is not None:
            await self._session.close()

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        if scope["type"] != "http":
            return
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        parts = []
        more = True
        while more:
            message = await receive()
            parts.append(message.get("body", b""))
            more = message.get("more_body", False)
        body = orjson.loads(b"".join(parts))
        body["model"] = "bench-model"
        payload = orjson.dumps(body)
        headers = {"content-type": "application/json"}
        async with self._session.post(self._url, data=payload, headers=headers) as reply:
            if body.get("stream"):
                await send(_start(reply.status, b"text/event-stream"))
                async for chunk in reply.content.iter_any():
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
                await send({"type": "http.response.body", "body": b""})
                return
            data = await reply.read()
            self.tokens += orjson.loads(data)["usage"]["total_tokens"]
            await send(_start(reply.status, b"application/json", len(data)))
            await send({"type": "http.response.body", "body": data})


def _start(status: int, kind: bytes, length: int | None = None) -> Message:
    headers = [(b"content-type", kind)]
    if length is not None:
        headers.append((b"content-length", str(length).encode()))
    return {"type": "http.response.start", "status": status, "headers": headers}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m engine.bench.relay", description=__doc__)
    parser.add_argument("--upstream", required=True)
    args = parser.parse_args()
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    app = Relay(args.upstream)
    config = uvicorn.Config(app, lifespan="off", log_level="error", access_log=False, http="httptools")
    server = uvicorn.Server(config)
    print(json.dumps({"port": sock.getsockname()[1], "pid": os.getpid()}), flush=True)

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        gone = loop.run_in_executor(None, sys.stdin.read)
        gone.add_done_callback(lambda _: setattr(server, "should_exit", True))
        await server.serve(sockets=[sock])
        await app.close()

    run(serve())


if __name__ == "__main__":
    main()
