"""What is kept for all hosts: where clients are sticky, and answers that may be given again.

Each process keeps its own copy, as it does without a store, and looks into the store where its copy is older
than a second (answers: than a minute) or there is none. What it keeps goes to the store a moment later, many
values in one call, and nobody waits for that. So a store that is away costs nothing but what others would
have known.

A value stands in the store as JSON with the place it belongs to, a version and a checksum. What does not
fit what was asked for (another's value, another version's, one that is cut or huge) is passed over and
counted. Names in keys are digests: they may be people's.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import logging
import zlib
from collections.abc import Awaitable
from typing import Any, Final

from engine.state.kept import Kept
from engine.state.redis.connection import Away, Command
from engine.state.redis.store import RedisStore
from engine.version import VERSION

log = logging.getLogger("engine.state")

#: Spaces that all hosts share, and how old this process's copy may be, in ms. The others hold what each
#: process can work out by itself.
SHARED: Final = {"sticky": 1_000, "answers": 60_000}
#: Bytes of one value in the store; larger ones are not shared.
LARGEST: Final = 1_000_000
#: Values that wait to be sent, and their bytes.
_MOST: Final = 2_000
_ROOM: Final = 16 * 2**20
_AT_ONCE: Final = 100
_PAUSE: Final = 0.005


class SharedKept:
    """The shared spaces, over what this process keeps. One loop's."""

    def __init__(self, store: RedisStore, own: Kept) -> None:
        self._store = store
        self._own = own
        self._seen = Kept()  # until when a copy is fresh
        self._waiting: dict[str, tuple[bytes, int]] = {}
        self._size = 0
        self._sending: asyncio.Task[None] | None = None
        self.hits = self.misses = self.ignored = self.dropped = 0

    def recall(self, space: str, key: str, now_ms: int) -> Any | Awaitable[Any]:
        """This process's copy while it is fresh; else what the store has."""
        own = self._own.recall(space, key, now_ms)
        if space not in SHARED or not self._store.link.up:
            return own
        if own is not None and self._seen.recall(space, key, now_ms) is not None:
            return own
        return self._ask(space, key, own, now_ms)

    def keep(self, space: str, key: str, value: Any, ttl_ms: int, now_ms: int) -> None:
        """Keep it here, and soon in the store."""
        self._own.keep(space, key, value, ttl_ms, now_ms)
        if space not in SHARED:
            return
        self._seen.keep(space, key, True, min(ttl_ms, SHARED[space]), now_ms)
        name = digest(space, key)
        data = encode(name, value)
        if data is None or not self._store.link.up:
            return
        if len(self._waiting) >= _MOST or self._size + len(data) > _ROOM:
            self.dropped += 1
            return
        there = self._waiting.pop(name, None)
        self._size += len(data) - (0 if there is None else len(there[0]))
        self._waiting[name] = (data, ttl_ms)
        if self._sending is None:
            self._sending = asyncio.get_running_loop().create_task(self._send(), name="state-keep")

    def figures(self) -> dict[str, int]:
        """Found in the store, not found there, passed over, not sent."""
        return {"hits": self.hits, "misses": self.misses, "ignored": self.ignored, "dropped": self.dropped}

    async def close(self) -> None:
        """Send what waits."""
        if self._sending is not None:
            await self._sending

    async def _ask(self, space: str, key: str, own: Any, now_ms: int) -> Any:
        name = digest(space, key)
        try:
            data, left = await self._store.link.call(
                ("GETRANGE", _place(name), 0, LARGEST), ("PTTL", _place(name))
            )
        except Away:
            return own
        if not data:
            self.misses += 1
            return own
        found, value = decode(name, data)
        if not found:
            self.ignored += 1
            if self.ignored == 1:
                log.warning("state store: a kept value of %s is not what was kept: ignored", space)
            return own
        self.hits += 1
        ttl_ms = max(1, left)
        self._own.keep(space, key, value, ttl_ms, now_ms)
        self._seen.keep(space, key, True, min(ttl_ms, SHARED[space]), now_ms)
        return value

    async def _send(self) -> None:
        try:
            while self._waiting:
                await asyncio.sleep(_PAUSE)
                names = list(self._waiting)[:_AT_ONCE]
                commands: list[Command] = []
                for name in names:
                    data, ttl_ms = self._waiting.pop(name)
                    self._size -= len(data)
                    commands.append(("SET", _place(name), data, "PX", max(1, ttl_ms)))
                answers = await self._store.link.each(commands)
                self.dropped += sum(isinstance(answer, Away) for answer in answers)
        finally:
            self._sending = None


def digest(space: str, key: str) -> str:
    """The name of a place: nothing of the key can be read in it."""
    return hashlib.sha256(f"{space}\0{key}".encode("utf-8", "surrogatepass")).hexdigest()


def encode(name: str, value: Any) -> bytes | None:
    """A text or bytes for the place of this name; None: it cannot be shared, or is too large."""
    if isinstance(value, str):
        kind, text = "text", value
    elif isinstance(value, bytes):
        kind, text = "bytes", base64.b64encode(value).decode()
    else:
        return None
    check = zlib.crc32(text.encode("utf-8", "surrogatepass"))
    data = json.dumps({"v": VERSION, "key": name, kind: text, "check": check}).encode()
    return data if len(data) <= LARGEST else None


def decode(name: str, data: bytes) -> tuple[bool, Any]:
    """Whether it is what `encode` made for this place, and the value."""
    if len(data) > LARGEST:
        return False, None
    try:
        told = json.loads(data)
        if not isinstance(told, dict) or told["v"] != VERSION or told["key"] != name:
            return False, None
        text = told["text"] if "text" in told else told["bytes"]
        if zlib.crc32(text.encode("utf-8", "surrogatepass")) != told["check"]:
            return False, None
        return True, text if "text" in told else base64.b64decode(text, validate=True)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False, None


def _place(name: str) -> str:
    return f"engine:kept:{{{name}}}"
