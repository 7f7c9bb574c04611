"""Requests that come twice under one `idempotency-key`: one is served, the others get its answer.

What is kept are the ASGI messages of the first one's answer, so that whatever the format, whole or streamed,
a repeat is byte for byte the same; one that comes while the first is still being served follows it live.

| a request with a key | while the first is served | after it was answered | after it failed or was left |
|---|---|---|---|
| with the same body | follows it | gets the kept answer | is served |
| with another body | 422 | 422 | is served |

Only good answers are kept: whoever repeats after a failure wants another try. Keys are told apart by the
client key behind them (without client keys by what is shown with them), and by format and operation. In
memory, in each process: at most `ENTRIES` answers and `BYTES` together, the oldest go first, and none stays
longer than the setting `idempotency` says.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from engine.errors import RequestError
from engine.observe.metrics import Metrics
from engine.server.credential import HEADERS
from engine.server.departure import Departure
from engine.server.limit_headers import NOW, POLICY
from engine.server.replies import Message, Send

HEADER: Final = b"idempotency-key"
REPLAYED: Final = (b"idempotent-replayed", b"true")
ENTRIES: Final = 10_000
BYTES: Final = 64 * 1024 * 1024


class Entry:
    """The answer to the first request under a key, as far as it has come.

    over: None while it is served; then whether the answer is whole.
    """

    __slots__ = ("_changed", "digest", "kept_at", "messages", "over", "size")

    def __init__(self, digest: bytes) -> None:
        self.digest = digest
        self.messages: list[Message] = []
        self.size = 0
        self.over: bool | None = None
        self.kept_at = 0.0
        self._changed = asyncio.Event()

    def recording(self, send: Send) -> Send:
        """A `send` that keeps what it sends."""

        async def record(message: Message) -> None:
            self.messages.append(dict(message))
            self.size += len(message.get("body", b""))
            self._tell()
            await send(message)

        return record

    def end(self, *, whole: bool) -> None:
        """Nothing more comes."""
        self.over = whole
        self._tell()

    async def follow(self, departure: Departure, send: Send) -> bool:
        """Send all of it, waiting for what is not there yet. False: it broke off before there was anything.

        Raises BrokenOff where it did so after something was sent.
        """
        sent = 0
        while True:
            while sent < len(self.messages):
                message = self.messages[sent]
                if sent == 0:
                    # It is counted in no limit, and how those stood is over.
                    headers = [each for each in message["headers"] if each[0] not in (POLICY, NOW)]
                    message = {**message, "headers": [*headers, REPLAYED]}
                departure.writes += 1
                await send(message)
                departure.writes += 1
                sent += 1
            if self.over:
                return True
            if self.over is False:
                if sent:
                    raise BrokenOff
                return False
            await self._changed.wait()

    def _tell(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


class BrokenOff(Exception):
    """The answer that was being followed ended early: its own client left."""


class Repeats:
    """Answers by key. `keep_s`: how long; 0 = the header means nothing. `counts`: what became of repeats."""

    def __init__(self, metrics: Metrics, now: Callable[[], float]) -> None:
        self.keep_s = 0.0
        self._now = now
        self._serving: dict[bytes, Entry] = {}
        self._kept: OrderedDict[bytes, Entry] = OrderedDict()
        self._bytes = 0
        self.counts = {"replayed": 0, "followed": 0, "refused": 0}
        metrics.counter(
            "engine_idempotent_requests",
            "Requests that repeated a key: answered from memory (replayed) or with the one being served "
            "(followed), or refused for another body (refused).",
            ("how",),
            lambda: [((how,), float(count)) for how, count in self.counts.items()],
        )
        metrics.gauge(
            "engine_idempotent_bytes", "Answers kept for repeated keys.", (), lambda: (((), self._bytes),)
        )

    def scope(self, head: Mapping[bytes, bytes], path: str, who: str = "") -> bytes | None:
        """What a request repeats under; None: nothing. Raises RequestError for a key that is none.

        who: the id of its client key; empty where nobody has one: then what it shows tells it from others.
        """
        key = head.get(HEADER)
        if key is None or not self.keep_s:
            return None
        if not 0 < len(key) <= 255 or not key.isascii() or not key.decode("ascii").isprintable():
            raise RequestError(
                "idempotency-key must be 1 to 255 printable ASCII characters", code="invalid_header"
            )
        shown = (who.encode(),) if who else tuple(head.get(name, b"") for name in HEADERS)
        return hashlib.sha256(b"\0".join((*shown, path.encode(), key))).digest()

    def find(self, scope: bytes, body: Any) -> Entry | None:
        """The answer that a request is to get; None: it is the first. RequestError: for another body."""
        self._forget()
        entry = self._serving.get(scope) or self._kept.get(scope)
        if entry is None:
            return None
        if entry.digest != digest(body):
            self.counts["refused"] += 1
            raise RequestError(
                "this idempotency-key was used with another body",
                status=422,
                code="idempotency_key_reused",
                param="idempotency-key",
            )
        self.counts["replayed" if entry.over else "followed"] += 1
        return entry

    def begin(self, scope: bytes, body: Any) -> Entry:
        """The first request under a key is served from now on."""
        entry = self._serving[scope] = Entry(digest(body))
        return entry

    def end(self, scope: bytes, entry: Entry, *, good: bool) -> None:
        """It is over. good: whoever repeats it shall get the same."""
        del self._serving[scope]
        entry.end(whole=bool(entry.messages) and not entry.messages[-1].get("more_body", False))
        if good and entry.over and entry.size <= BYTES // 16:
            entry.kept_at = self._now()
            self._kept[scope] = entry
            self._bytes += entry.size
            self._forget()

    def _forget(self) -> None:
        """What is too old, and the oldest of what is too much."""
        oldest = self._now() - self.keep_s
        while self._kept:
            scope, entry = next(iter(self._kept.items()))
            if entry.kept_at > oldest and self._bytes <= BYTES and len(self._kept) <= ENTRIES:
                break
            del self._kept[scope]
            self._bytes -= entry.size


def digest(body: Any) -> bytes:
    """Of a body as JSON: the order of its keys and its blanks are nothing."""
    return hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).digest()
