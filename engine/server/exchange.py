"""One request to a path of the sidecar's own (not a dialect's), and the ways to answer it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

import orjson

from engine.errors import EngineError
from engine.runtime.snapshot import Snapshot
from engine.server.replies import (
    CLOSE,
    JSON,
    Headers,
    Message,
    Receive,
    Send,
    about,
    challenge,
    retry_after,
    send_whole,
)
from engine.server.service import Service
from engine.wire.dialect import BoundDialect


@dataclass(slots=True)
class Exchange:
    """A request and how to answer it. `speaks`: whose shape errors and lists have; None: no ingress."""

    scope: Message
    head: Mapping[bytes, bytes]
    receive: Receive
    send: Send
    service: Service
    snapshot: Snapshot
    speaks: BoundDialect | None
    request_id: str

    def query(self, name: str) -> str | None:
        """A parameter of the query; None where it is not given. The last one counts."""
        values = parse_qs(self.scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True).get(
            name
        )
        return values[-1] if values else None

    async def json(self, status: int, value: Any) -> None:
        await self.bytes(status, [JSON], orjson.dumps(value))

    async def bytes(self, status: int, headers: Headers, body: bytes) -> None:
        headers = [*self._about(), *headers]
        if self.scope["method"] == "HEAD":  # the length of what a GET would get, and nothing else
            headers.append((b"content-length", b"%d" % len(body)))
            await self.empty(status, headers, known=True)
        else:
            await send_whole(self.send, status, headers, body)

    async def empty(self, status: int, headers: Headers, *, known: bool = False) -> None:
        """An answer without a body. `known`: the headers hold all there is to say already."""
        told = headers if known else [*self._about(), *headers]
        await self.send({"type": "http.response.start", "status": status, "headers": told})
        await self.send({"type": "http.response.body", "body": b""})

    async def fail(self, error: EngineError, headers: Headers | None = None, *, close: bool = False) -> None:
        """The error in the dialect's shape."""
        more = [*(headers or ()), JSON, *retry_after(error), *challenge(error)]
        if close:
            more.append(CLOSE)
        if self.speaks is None:
            status, body = error.status, {"error": {"message": error.message, "code": error.code}}
        else:
            status, body = self.speaks.status(error), self.speaks.write_error(error)
        await self.bytes(status, more, orjson.dumps(body))

    def _about(self) -> Headers:
        headers = about(self.request_id, self.snapshot.revision.encode(), None)
        return [*headers, CLOSE] if self.service.draining else headers
