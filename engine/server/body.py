"""The request's body: read with a limit, parsed with limits.

Bytes are counted as they are read, not as they are announced; an announced length over the limit is refused
before anything is read. What orjson lets through and a gateway should not (deep nesting, one key twice,
U+0000) is looked for only where a cheap scan of the bytes says that it could be there.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

import orjson

from engine.errors import RequestError

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

#: Objects and lists inside one another. orjson writes 254 levels at most, and nobody means more than this.
MAX_DEPTH: Final = 128

#: A client that sends nothing more of its body for so long has gone.
BODY_IDLE_S: Final = 30.0


#: Keys by which is decided where a request goes and what it may cost, as they stand in a body: none of them
#: may be there twice. `"model"` is looked for however it is spaced; it is no word of values.
_DECIDES: Final = {
    "model": b'"model"',
    "stream": b'"stream":',
    "messages": b'"messages":',
    "max_tokens": b'"max_tokens":',
    "max_completion_tokens": b'"max_completion_tokens":',
    "max_output_tokens": b'"max_output_tokens":',
    "tools": b'"tools":',
}


class ClientGone(Exception):
    """The client left before its request was whole: nobody is there to be answered."""


class BodyTooLarge(RequestError):
    """413. The connection is closed after it, since the rest of the body is still on its way."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"the request's body is larger than {limit} bytes, this sidecar's body_limit",
            status=413,
            code="request_too_large",
        )


async def read_body(receive: Receive, announced: bytes | None, limit: int) -> bytes:
    """The whole body.

    announced: the value of `content-length`, or None. Raises BodyTooLarge, RequestError (408) or ClientGone.
    """
    if announced is not None and (not announced.isdigit() or len(announced) > 18 or int(announced) > limit):
        raise BodyTooLarge(limit)
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientGone
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False):
        if len(body) > limit:
            raise BodyTooLarge(limit)
        return body
    parts = bytearray(body)
    try:
        while message.get("more_body", False):
            if len(parts) > limit:
                raise BodyTooLarge(limit)
            async with asyncio.timeout(BODY_IDLE_S):
                message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            parts += message.get("body", b"")
    except TimeoutError:
        raise RequestError(
            f"nothing more of the request's body came for {BODY_IDLE_S:.0f} seconds",
            status=408,
            code="request_timeout",
        ) from None
    if len(parts) > limit:
        raise BodyTooLarge(limit)
    return bytes(parts)


def parse_body(raw: bytes) -> dict[str, Any]:
    """The body as an object. Raises RequestError with a place, never with the body's own text."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        if not raw.strip():
            raise RequestError(
                "the request's body is empty; it must be a JSON object", code="invalid_json"
            ) from None
        where = f"line {error.lineno}, column {error.colno}"
        raise RequestError(f"the request's body is not valid JSON ({where})", code="invalid_json") from None
    if type(body) is not dict:
        raise RequestError("the request's body must be a JSON object", code="invalid_json")
    # Each level has two brackets: what is shorter has no such depth.
    if (
        len(raw) > 2 * MAX_DEPTH
        and raw.count(b"{") + raw.count(b"[") > MAX_DEPTH
        and _deeper(body, MAX_DEPTH)
    ):
        raise RequestError(f"the request's body is nested more than {MAX_DEPTH} deep", code="invalid_json")
    for key, written in _DECIDES.items():
        if key in body and raw.count(written) > 1:
            _refuse_twins(raw)
            break
    if b"\\u0000" in raw and _has_nul(body):
        raise RequestError("a text in the request holds the character U+0000", code="invalid_json")
    return body


def _deeper(value: Any, levels: int) -> bool:
    """Whether containers are nested more than `levels` deep. Level by level, so the stack stays flat."""
    layer = [value]
    for _ in range(levels + 1):
        layer = [
            inner
            for outer in layer
            for inner in (outer.values() if type(outer) is dict else outer)
            if type(inner) is dict or type(inner) is list
        ]
        if not layer:
            return False
    return True


def _has_nul(value: Any) -> bool:
    layer = [value]
    while layer:
        below: list[Any] = []
        for item in layer:
            if type(item) is str:
                if "\0" in item:
                    return True
            elif type(item) is dict:
                below += item.keys()
                below += item.values()
            elif type(item) is list:
                below += item
        layer = below
    return False


def _refuse_twins(raw: bytes) -> None:
    """A key twice in the body itself: readers differ on which one counts, so neither does.

    Only the outermost object's keys are read by routing; the hook is called for it last.
    """
    last: list[tuple[str, Any]] = []

    def remember(pairs: list[tuple[str, Any]]) -> None:
        nonlocal last
        last = pairs

    json.loads(raw, object_pairs_hook=remember)
    seen: set[str] = set()
    for key, _ in last:
        if key in seen and key.isidentifier():
            raise RequestError(f"the key {key!r} stands twice in the body", code="duplicate_key", param=key)
        seen.add(key)
